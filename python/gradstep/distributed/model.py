"""The parameters as the user knows them, on every rank: their names, groups, and order in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradstep._core as _core
from gradstep._typing import Array
from gradstep.distributed.agreement import Ranks
from gradstep.distributed.ravel import order_of
from gradstep.optimizers.selection import ByName, Masked
from gradstep.optimizers.sgd import SGD


class Whole:
    """The parameters as the user knows them, and how each lies in memory.

    An optimizer without state judges them, and the gradients of each step, as any optimizer would.
    """

    def __init__(self, params: Any) -> None:
        self.optimizer = SGD(bare(params))
        layout = self.optimizer._layout
        trees = layout.trees()
        self.names: list[str] = [name for s in layout.structures for name in s.names]
        self.arrays: list[Array] = [
            _core.as_array(leaf, "params")
            for structure, tree in zip(layout.structures, trees, strict=True)
            for leaf in structure.flatten(tree)
        ]
        group = {name: i for i, names in enumerate(layout.members) for name in names}
        self.groups = [group[name] for name in self.names]
        self.orders = [order_of(array) for array in self.arrays]

    def described(self) -> list[tuple[str, int, str]]:
        """Return what ranks have to have in common: names, groups, dtypes and shapes."""
        return [
            (name, group, f"{array.dtype}{array.shape}")
            for name, group, array in zip(self.names, self.groups, self.arrays, strict=True)
        ]

    def difference(self, first: Sequence[tuple[str, int, str]], ranks: Ranks) -> str | None:
        """Return how these differ from the ones of rank 0, if they do."""
        mine = self.described()
        if [*first] == mine:
            return None
        here = {name: (group, what) for name, group, what in mine}
        there = {name: (group, what) for name, group, what in first}

        def shown(side: Mapping[str, tuple[int, str]], name: str) -> str:
            if name not in side:
                return "not there"
            group, what = side[name]
            return f"{what} in group {group}" if max(self.groups, default=0) else what

        problems = [
            f"{name}: {shown(there, name)} on rank 0, {shown(here, name)} on rank {ranks.rank}"
            for name in {**there, **here}
            if there.get(name) != here.get(name)
        ]
        return "; ".join(problems) or "they come in another order"


def bare(params: Any) -> Any:
    """Return parameters in their groups, without hyperparameters."""
    if isinstance(params, ByName):
        return ByName(params.params, {pattern: {} for pattern in params.overrides})
    if isinstance(params, Masked):
        return Masked(params.params, params.mask, {})
    if isinstance(params, list | tuple) and all(
        isinstance(entry, Mapping) and "params" in entry for entry in params
    ):
        return [{"params": entry["params"]} for entry in params]
    return params


def with_overrides(params: Any, local: Sequence[Mapping[str, Array]]) -> Any:
    """Return a rank's share of the parameters in their groups, with the hyperparameters."""
    if isinstance(params, ByName | Masked):
        overrides: list[Mapping[str, Any]] = [{}, *params.overrides.values()]
    elif (
        isinstance(params, list | tuple)
        and isinstance(params[0], Mapping)
        and "params" in params[0]
    ):
        overrides = [{k: v for k, v in entry.items() if k != "params"} for entry in params]
    else:
        return local[0]
    shares = [*local, *[{} for _ in overrides[len(local) :]]]
    return [{"params": share, **more} for share, more in zip(shares, overrides, strict=True)]


def unmasked(params: Any, hyperparameters: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return parameters in the groups that a mask of optax's makes, which is one of the whole."""
    for name in ("mask", "weight_decay_mask"):
        mask = hyperparameters.get(name)
        if mask is not None:
            params = Masked(params, mask(params) if callable(mask) else mask, {"weight_decay": 0.0})
            # Still told, so that an optimizer without a mask refuses it.
            hyperparameters = {**hyperparameters, name: None}
    return params, hyperparameters
