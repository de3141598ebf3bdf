"""The hyperparameters of a group of parameters, and changing them.

The core checks their ranges. Parameters and state are in base.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import gradstep._core as _core
import gradstep.checks as checks
from gradstep.names import FixedAttributes, called_here, level_of_caller
from gradstep.optimizers.spec import STARTS, Spec
from gradstep.schedules.base import Constant
from gradstep.values import from_state


class Group(FixedAttributes, MutableMapping[str, Any]):
    """The hyperparameters of one group, by the names of the optimizer's arguments.

    Assigning checks the value and takes effect at the next step. Names cannot be added or removed.
    """

    def __init__(self, stepper: _core.Stepper, index: int, spec: Spec) -> None:
        self._stepper = stepper
        self._index = index
        self._spec = spec

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
        return self._spec.resolve(self._values).rule

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
        for name, value in new.items():
            if name not in values:
                raise ValueError(
                    f"no hyperparameter {checks.shown(name)}{called_here(name, values)} "
                    f"(there are {', '.join(values)})"
                )
            same = isinstance(value, int | float) and value == values[name]
            if self._spec.arguments.get(name) in STARTS and not same:
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
        values, plain = self._values, dict(saved)
        start, products = plain.pop("start", None), plain.pop("products", {})
        restored, kept = from_state(f"group {self.index} of the state", plain, values)
        start = checks.count("start", start)
        return Change(self, values, restored, start, _products(products)), kept


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
        followed = callable(value) and not isinstance(value, Constant)
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
        rule, core_args, own_values = group._spec.resolve(values)
        plans.append((group.index, rule, core_args, before, own_values, start, products))
    return plans


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
