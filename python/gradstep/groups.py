"""The hyperparameters of a group of parameters: changing them, and writing them as plain values.

Their ranges are the core's to judge. Parameters and state are in optimizer.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from gradstep import _core, schedules


class Group(MutableMapping[str, Any]):
    """The hyperparameters of one group, by the names of the optimizer's arguments.

    Assigning checks the value and takes effect at the next step. Names cannot be added or removed.
    """

    def __init__(
        self,
        stepper: _core.Stepper,
        values: dict[str, Any],
        rule_of: Callable[[Mapping[str, Any]], str],
        core_values: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self._stepper = stepper
        self._values = values
        self._rule_of = rule_of
        self._core_values = core_values
        self.rule = rule_of(values)
        self.index = stepper.add_group(self.rule, core_values(values))

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._values:
            raise ValueError(f"no hyperparameter {name!r}; there are {', '.join(self._values)}")
        values = {**self._values, name: value}
        self.check(values)
        self.replace(values)

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

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise where these values cannot be this group's; nothing is changed."""
        rule = self._rule_of(values)
        trial = _core.Stepper()
        trial.t = self._stepper.t
        trial.add_group(rule, self._core_values(values))
        if rule != self.rule:
            raise ValueError(
                f"the group steps by {self.rule!r}, but this would need {rule!r}, which keeps other "
                "state: choose it when the optimizer is made"
            )

    def replace(self, values: dict[str, Any]) -> None:
        """Take over values that were checked."""
        self._stepper.set(self.index, self._core_values(values))
        self._values = values

    def plain(self) -> dict[str, Any]:
        """Return the values as plain ones, and under ``"own"`` the names that have none."""
        plain: dict[str, Any] = {}
        own = []
        for name, value in self._values.items():
            try:
                plain[name] = _to_plain(value)
            except TypeError:
                own.append(name)
        return {**plain, "own": own}

    def restored(self, saved: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return all values as `saved` has them, and the names that it leaves to this group."""
        own = list(saved.get("own", ()))
        missing = [name for name in self._values if name not in saved and name not in own]
        if missing:
            raise ValueError(f"the state of group {self.index} has no {missing[0]!r}")
        values = {
            name: self._values[name] if name in own else _from_plain(saved[name])
            for name in self._values
        }
        return values, own


def _to_plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_to_plain(entry) for entry in value]
    if callable(value):
        return schedules.to_config(value)
    return value.item() if isinstance(value, np.generic | np.ndarray) else copy.copy(value)


def _from_plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_from_plain(entry) for entry in value)
    return schedules.from_config(value) if isinstance(value, Mapping) else value
