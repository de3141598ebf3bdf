"""The hyperparameters of a group of parameters: changing them, and writing them as plain values.

Their ranges are the core's to judge. Parameters and state are in optimizer.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradstep import _core, checks, schedules


class Group(MutableMapping[str, Any]):
    """The hyperparameters of one group, by the names of the optimizer's arguments.

    Assigning checks the value and takes effect at the next step. Names cannot be added or removed.
    """

    def __init__(
        self,
        stepper: _core.Stepper,
        values: Mapping[str, Any],
        rule_of: Callable[[Mapping[str, Any]], str],
        core_values: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self._stepper = stepper
        self._rule_of = rule_of
        self._core_values = core_values
        taken = {name: own(value) for name, value in values.items()}
        self.index = stepper.add_group(rule_of(taken), core_values(taken), taken)

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
        change_all(self._stepper, [self.changed(name, value)])

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

    def changed(self, name: str, value: Any) -> Change:
        """Return the change to one other value."""
        values = self._values
        if name not in values:
            raise ValueError(
                f"no hyperparameter {checks.shown(name)}; there are {', '.join(values)}"
            )
        return Change(self, values, {**values, name: value})

    def restored(self, saved: Mapping[str, Any]) -> tuple[Change, list[str]]:
        """Return the change to what `saved` has, and the names that it leaves to this group."""
        values = self._values
        kept = saved.get("own", [])
        if not isinstance(kept, list) or not set(kept) <= set(values):
            raise ValueError(
                f"group {self.index} of the state has an 'own' of {checks.shown(kept)}"
            )
        names = {*values, "own", "start"} - set(kept)
        wrong = names.symmetric_difference(saved) - {"own"}
        if wrong:
            raise ValueError(
                f"group {self.index} of the state lacks or has too much: {sorted(map(str, wrong))}"
            )
        try:
            restored = {
                name: values[name] if name in kept else _from_plain(saved[name]) for name in values
            }
        except RecursionError as error:
            raise ValueError(
                f"group {self.index} of the state is nested too deeply, or holds itself"
            ) from error
        return Change(self, values, restored, checks.count("start", saved["start"])), kept


class Change(NamedTuple):
    """What a group is to become."""

    group: Group
    before: Mapping[str, Any]  # `_values` as they were when the change was thought of
    values: Mapping[str, Any]  # all that it is to have
    start: int | None = None  # None: as it is


def change_all(
    stepper: _core.Stepper,
    changes: Sequence[Change],
    t: int | None = None,
    states: Sequence[Sequence[Any]] | None = None,
) -> None:
    """Change groups, and t and all state where given: all of it, or nothing where any is refused."""
    planned = []
    for group, before, values, start in changes:
        taken = {name: own(value) for name, value in values.items()}
        core = group._core_values(taken)
        planned.append((group.index, group._rule_of(taken), core, before, taken, start))
    # One call, so that an interruption finds all of it done or nothing. The core refuses what was
    # thought of before another thread changed the same group.
    stepper.change(planned, t, states)


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


def _from_plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_from_plain(entry) for entry in value)
    return schedules.from_config(value) if isinstance(value, Mapping) else value
