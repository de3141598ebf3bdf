"""The hyperparameters of a group of parameters: changing them, and writing them as plain values.

Their ranges are the core's to judge. Parameters and state are in optimizer.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gradstep import _core, checks, schedules
from gradstep.names import FixedAttributes, called_here, level_of_caller
from gradstep.structure import Structure

# By which rule of the core a group with given hyperparameters steps, and what the core is told: by
# its name, by the name that the user knows, and the value.
RuleOf: TypeAlias = Callable[[Mapping[str, Any]], str]
Told: TypeAlias = Callable[[Mapping[str, Any]], list[tuple[str, str, Any]]]


class Group(FixedAttributes, MutableMapping[str, Any]):
    """The hyperparameters of one group, by the names of the optimizer's arguments.

    Assigning checks the value and takes effect at the next step. Names cannot be added or removed.
    """

    def __init__(self, stepper: _core.Stepper, index: int, rule_of: RuleOf, told: Told) -> None:
        self._stepper = stepper
        self._rule_of = rule_of
        self._told = told
        self._index = index

    @property
    def index(self) -> int:
        """The position of the group in the optimizer."""
        return self._index

    @property
    def _values(self) -> dict[str, Any]:
        # The core keeps them, so that they change in one call with what it makes of them. Never
        # changed, only replaced.
        return self._stepper.given(self.index)  # type: ignore[no-any-return]

    @property
    def rule(self) -> str:
        """The name of the core's rule by which the group steps."""
        return self._rule_of(self._values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        change_all(self._stepper, [self.changed({name: value})])

    def update(self, *given: Any, **values: Any) -> None:
        """Change several values: all of them, or none where one is refused."""
        change_all(self._stepper, [self.changed(dict(*given, **values))])

    def __delitem__(self, name: str) -> None:
        raise TypeError("hyperparameters can be changed but not removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Group({self.listed()})"

    def listed(self) -> str:
        """Return all values as arguments are written."""
        return ", ".join(f"{name}={value!r}" for name, value in self._values.items())

    def changed(self, new: Mapping[str, Any]) -> Change:
        """Return the change to other values, by name."""
        values = self._values
        start = [known_as for name, known_as, _ in self._told(values) if name == "initial_v"]
        for name, value in new.items():
            if name not in values:
                raise ValueError(
                    f"no hyperparameter {checks.shown(name)}{called_here(name, values)} "
                    f"(there are {', '.join(values)})"
                )
            same = isinstance(value, int | float) and value == values[name]
            if name in start and not same:
                raise ValueError(
                    f"{name} is what v started from, and changes nothing now; fill state[...]['v']"
                )
        return Change(self, values, {**values, **new})

    def _instead_of_setting(self, name: str) -> str:
        if name in self._values:
            return f"; a group is a mapping: write group[{name!r}] = ..."
        return called_here(name, self._values)

    def restored(self, saved: Mapping[str, Any]) -> tuple[Change, list[str]]:
        """Return the change to what `saved` has, and the names that it leaves to this group."""
        values = self._values
        kept = saved.get("own", [])
        if not isinstance(kept, list) or not set(kept) <= set(values):
            raise ValueError(
                f"group {self.index} of the state has an 'own' of {checks.shown(kept)}"
            )
        names = {*values, "own", "start", "products"} - set(kept)
        wrong = names.symmetric_difference(saved) - {"own", "products"}
        if wrong:
            raise ValueError(
                f"group {self.index} of the state lacks or has too much: {sorted(map(str, wrong))}"
            )
        try:
            restored = {
                name: values[name] if name in kept else from_plain(saved[name]) for name in values
            }
        except RecursionError as error:
            raise ValueError(
                f"group {self.index} of the state is nested too deeply, or holds itself"
            ) from error
        start = checks.count("start", saved["start"])
        return Change(self, values, restored, start, _products(saved.get("products", {}))), kept


@dataclass(frozen=True)
class ByName:
    """Parameters of which some have other hyperparameters; see `by_name`."""

    params: Any
    overrides: Mapping[str, Mapping[str, Any]]

    def indices(self, structure: Structure) -> list[int]:
        """Return for each array 0, or counted from 1 which of the overrides it has."""
        patterns = list(self.overrides)
        names = set(structure.names)

        def fits(name: str, pattern: str) -> bool:
            # A whole name means that parameter, also where it holds brackets.
            return name == pattern if pattern in names else fnmatchcase(name, pattern)

        indices = []
        for name in structure.names:
            fitting = (i for i, pattern in enumerate(patterns) if fits(name, pattern))
            indices.append(1 + next(fitting, -1))
        idle = [pattern for i, pattern in enumerate(patterns) if 1 + i not in indices]
        if idle:
            raise ValueError(
                f"the pattern {idle[0]!r} fits no parameter, or only such as an earlier one fits; "
                f"the parameters are {', '.join(structure.names)}"
            )
        return indices


@dataclass(frozen=True)
class Masked:
    """Parameters of which those where `mask` is False have other hyperparameters."""

    params: Any
    mask: Any
    values: Mapping[str, Any]

    @property
    def overrides(self) -> Mapping[str, Mapping[str, Any]]:
        """What is said of them, and the hyperparameters."""
        return {"masked": self.values}

    def indices(self, structure: Structure) -> list[int]:
        """Return for each array 0, or 1 where it is masked."""
        return [0 if taken else 1 for taken in structure.spread(self.mask)]


def by_name(params: Any, overrides: Mapping[str, Mapping[str, Any]]) -> ByName:
    """Give some parameters other hyperparameters, chosen by name.

    Parameters
    ----------
    params
        One array, a list or tuple of arrays, or a dict (nesting allowed).
    overrides : mapping
        Patterns of names, and the hyperparameters of the parameters they fit, as in
        ``{"b*": {"weight_decay": 0.0}}``. ``*`` stands for any characters, ``?`` for one, ``[ab]``
        for one of those. A pattern that is a parameter's whole name means that parameter, brackets
        and all. Where several fit a name, the first one counts. Nested names are joined by
        dots and matched whole: of ``{"l": {"W": ..., "b": ...}}`` ``"l.*"`` takes both, ``"*b"`` one.

    Returns
    -------
    ByName
        What an optimizer takes as `params`. Gradients keep the structure of `params`.

    Raises
    ------
    TypeError
        If `overrides` is no mapping of mappings.
    ValueError
        By the optimizer, if a pattern fits nothing or a hyperparameter is wrong.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> params = {"W1": np.ones(1), "b1": np.ones(1)}
    >>> opt = gs.AdamW(gs.by_name(params, {"b*": {"weight_decay": 0.0}}), lr=0.1, weight_decay=0.5)
    >>> opt.step({"dW1": np.zeros(1), "db1": np.zeros(1)})
    >>> params
    {'W1': array([0.95]), 'b1': array([1.])}
    """
    taken = {}
    for pattern, values in checks.mapping("overrides", overrides).items():
        if not isinstance(pattern, str):
            raise TypeError(f"a pattern must be text, got {checks.shown(pattern)}")
        taken[pattern] = checks.mapping(f"overrides[{pattern!r}]", values)
    return ByName(params, taken)


class Change(NamedTuple):
    """What a group is to become."""

    group: Group
    before: Mapping[str, Any]  # `_values` as they were when the change was thought of
    values: Mapping[str, Any]  # all that it is to have
    start: int | None = None  # None: as it is
    products: dict[str, tuple[float, float]] | None = None  # None: go on from those that are kept


def change_all(stepper: _core.Stepper, changes: Sequence[Change]) -> None:
    """Change groups: all of them, or nothing where any is refused."""
    prepared = stepper.prepare_change(planned(changes))
    for change in changes:
        if warn_of_dropped_schedules(change.before, change.values):
            break  # once, for whatever is assigned to all groups
    _core.commit([prepared])


def warn_of_dropped_schedules(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Warn where a number takes the place of a schedule, and say whether it does."""
    now = dict(_members(after))
    for name, value in _members(before):
        number = now.get(name)
        followed = callable(value) and not isinstance(value, schedules.Constant)
        if followed and number is not None and not callable(number):
            warnings.warn(
                f"{name} followed a schedule, and is {number!r} from now on. A schedule times a "
                "number is a schedule, as in group['lr'] *= 0.5; to drop the schedule without this "
                f"warning, assign gradstep.schedules.Constant({number!r})",
                stacklevel=level_of_caller(),
            )
            return True
    return False


def _members(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield all values by name, those of a pair one by one: ``betas[0]``."""
    for name, value in values.items():
        if isinstance(value, tuple):
            yield from ((f"{name}[{i}]", member) for i, member in enumerate(value))
        else:
            yield name, value


def planned(changes: Sequence[Change]) -> list[_core.Change]:
    """Return changes as the core takes them.

    It refuses what was thought of before another thread changed the same group.
    """
    plans: list[_core.Change] = []
    for group, before, values, start, products in changes:
        rule, told, taken = resolved(values, group._rule_of, group._told)
        plans.append((group.index, rule, told, before, taken, start, products))
    return plans


def resolved(
    values: Mapping[str, Any], rule_of: RuleOf, told: Told
) -> tuple[str, list[tuple[str, str, Any]], dict[str, Any]]:
    """Return the rule of a group with these hyperparameters, what the core is told, and the group's own values."""
    taken = {name: own(value) for name, value in values.items()}
    return rule_of(taken), told(taken), taken


def _products(saved: object) -> dict[str, tuple[float, float]]:
    """Return saved products over the steps taken: each is the sum of two numbers."""
    products = {}
    for name, value in checks.mapping("products of the state", saved).items():
        pair = isinstance(value, list | tuple) and len(value) == 2
        if not pair or not all(isinstance(number, float) for number in value):
            raise ValueError(
                f"a product of the state must be two floats, got {checks.shown(value)}"
            )
        products[str(name)] = (float(value[0]), float(value[1]))
    return products


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a group as plain ones, and under ``"own"`` the names that have none."""
    plain: dict[str, Any] = {}
    kept = []
    for name, value in values.items():
        try:
            plain[name] = _to_plain(value)
        except TypeError:
            kept.append(name)
    return {**plain, "own": kept}


_PLAIN = frozenset({float, bool, int, str, type(None)})


def own(value: Any) -> Any:
    """Return a value that nobody else can change: a plain number where it stands for one.

    What is neither a number nor a schedule passes, for the core to refuse by its name.
    """
    if type(value) in _PLAIN:  # nearly always, and a function waits for it
        return value
    if isinstance(value, list | tuple):
        return tuple([e if isinstance(e, list | tuple) else own(e) for e in value])
    if isinstance(value, np.bool_):
        return bool(value)
    if callable(value) or isinstance(value, int | float) or not _core.is_number(value):
        return value
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return value


def _to_plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_plain(entry) for entry in value]
    return schedules.to_config(value) if callable(value) else value


def from_plain(value: Any) -> Any:
    """Return a value of a group from a plain one."""
    if isinstance(value, list | tuple):
        return tuple(from_plain(entry) for entry in value)
    return schedules.from_config(value) if isinstance(value, Mapping) else value
