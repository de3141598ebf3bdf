"""What an optimizer is over: parameters in groups, their state, and the form in which gradients come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import gradstep.checks as checks
from gradstep._typing import Array
from gradstep.optimizers.groups import Group
from gradstep.optimizers.spec import STARTS, CoreArgs
from gradstep.pytree import Container, Structure, containers_and_leaves


class GroupSpec(NamedTuple):
    """A group to come, as the core takes it."""

    label: str  # before what is wrong with it
    rule: str
    core_args: CoreArgs
    values: dict[str, Any]

    def start(self, parameter: str, state: Mapping[str, Array]) -> None:
        """Fill new state with what it starts from, where that is not zero."""
        for name, known_as, value in self.core_args:
            if name not in STARTS:
                continue
            array = state[STARTS[name]]
            if value > float(np.finfo(array.dtype).max):
                raise ValueError(
                    f"{self.label}{known_as} must be finite in {array.dtype}, the type of "
                    f"parameter {parameter!r}, got {checks.shown(value)}"
                )
            array[...] = value


class Layout(NamedTuple):
    """What an optimizer is over, replaced as a whole: an interruption finds one or the other."""

    params: Any
    # In which structures gradients come: one, or where `listed` a list of them, one for each group.
    structures: tuple[Structure, ...]
    listed: bool
    groups: tuple[Group, ...]
    members: tuple[tuple[str, ...], ...]  # of each group, the names of its parameters
    state: Mapping[str, Mapping[str, Array]]

    def held(self) -> tuple[list[Container], list[tuple[str, Any]]]:
        """Return what holds the parameters now, and each with the expression for it."""
        return containers_and_leaves(self.structures, self.listed, self.params)

    def trees(self) -> list[Any]:
        """Return the parameters by themselves, in their structures."""
        return [entry["params"] for entry in self.params] if self.listed else [self.params]


def expected(layout: Layout) -> tuple[Callable[[Any], Sequence[Any]], list[Any], bool]:
    """Return how gradients come, as the core takes it."""
    if not layout.listed:
        structure = layout.structures[0]
        return structure.flatten_gradients, structure.flat_keys(), structure.is_flat_list()

    def flatten(grads: Any) -> Sequence[Any]:
        if not isinstance(grads, list | tuple):
            raise TypeError(
                f"grads must be a list with one entry for each group, got {type(grads).__name__}"
            )
        if len(grads) != len(layout.structures):
            raise ValueError(
                f"grads must have one entry for each of the {len(layout.structures)} groups, "
                f"got {len(grads)}"
            )
        return [
            leaf
            for i, (structure, tree) in enumerate(zip(layout.structures, grads, strict=True))
            for leaf in structure.flatten_gradients(tree, f"grads[{i}]")
        ]

    return flatten, [], False


def has_numbers(group: Mapping[Any, Any]) -> bool:
    """Whether a mapping is one group by itself: it holds numbers, which cannot be parameters."""
    return any(isinstance(value, int | float | str) for value in group.values())


def is_list_of_groups(params: object) -> bool:
    """Whether these are groups; ValueError where some entries are and others are not."""
    if not isinstance(params, list | tuple) or not params:
        return False
    groups = [isinstance(entry, Mapping) and "params" in entry for entry in params]
    if any(groups) and not all(groups):
        raise ValueError(
            f"entry {groups.index(False)} of params is no group; where one entry is a dict with "
            "the key 'params', all have to be"
        )
    return all(groups)
