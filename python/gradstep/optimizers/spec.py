"""How the hyperparameters of an optimizer class reach the core: one frozen description of each class.

The formulas are in cpp/engine/rules.hpp, and the core checks the ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import gradstep.checks as checks
from gradstep.values import frozen

Values: TypeAlias = Mapping[str, Any]
# Of each argument the core's name for it, the user's name (for errors), and the value.
CoreArgs: TypeAlias = list[tuple[str, str, Any]]
# Makes core arguments of the argument with this name.
Convert: TypeAlias = Callable[[str, Values], CoreArgs]


class Resolved(NamedTuple):
    """By which rule a group steps, and with what."""

    rule: str
    core_args: CoreArgs
    values: dict[str, Any]  # the group's own, which nobody else can change


@dataclass(frozen=True)
class Spec:
    """What the core needs to know of an optimizer class.

    Parameters
    ----------
    rule : str or callable
        The row in the core's table of rules, or what selects it, given all values.
    arguments : mapping
        What becomes of arguments that the core has under another name: that name, or a function
        such as `pair` and `selects`. All others go to the core as they are.
    constants : mapping
        Core arguments that the user cannot change.
    state_depends_on : set of str
        The arguments that decide which arrays of state are kept.
    optional : set of str
        The arguments that are left out where they are None.
    rate : str
        What the learning rate is called.
    """

    rule: str | Callable[[Values], str]
    arguments: Mapping[str, str | Convert] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    state_depends_on: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    rate: str = "lr"

    def but(
        self,
        arguments: Mapping[str, str | Convert] | None = None,
        constants: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> Spec:
        """Return the same with further arguments and constants, and other fields replaced."""
        return replace(
            self,
            arguments={**self.arguments, **(arguments or {})},
            constants={**self.constants, **(constants or {})},
            **others,
        )

    def resolve(self, given: Values) -> Resolved:
        """Return by which rule a group with these hyperparameters steps, and with what."""
        values = {name: frozen(value) for name, value in given.items()}
        rule = self.rule if isinstance(self.rule, str) else self.rule(values)
        core_args: CoreArgs = [(name, name, value) for name, value in self.constants.items()]
        for name, value in values.items():
            convert = self.arguments.get(name, name)
            if value is None and name in self.optional:
                continue
            if isinstance(convert, str):
                core_args.append((convert, name, value))
            else:
                core_args += convert(name, values)
        return Resolved(rule, core_args, values)

    def is_fixed(self, name: str) -> bool:
        """Whether an argument decides on the state by itself, so that a group cannot change it."""
        return name in self.state_depends_on and self.arguments.get(name) is selects


def selects(name: str, values: Values) -> CoreArgs:
    """Check a flag that selects the rule, and means nothing else to the core."""
    checks.flag(name, values[name])
    return []


def pair(first: str, second: str) -> Convert:
    """Return what makes two core arguments of a pair."""

    def convert(name: str, values: Values) -> CoreArgs:
        value = values[name]
        if not isinstance(value, tuple) or len(value) != 2:
            raise ValueError(
                f"{name} must be a pair of numbers or schedules, got {checks.shown(value)}"
            )
        return [(first, f"{name}[0]", value[0]), (second, f"{name}[1]", value[1])]

    return convert


def by_default(other: str) -> Convert:
    """Return what makes a core argument that is the value of another argument where it is None."""

    def convert(name: str, values: Values) -> CoreArgs:
        source = other if values[name] is None else name
        return [(name, source, values[source])]

    return convert


def is_zero(value: object) -> bool:
    """Whether a hyperparameter is the number 0; a schedule is not, whatever it returns."""
    return isinstance(value, int | float) and value == 0


# What state starts from, where that is not zero: the core argument, and the array of state.
STARTS: Mapping[str, str] = {"initial_v": "v"}
