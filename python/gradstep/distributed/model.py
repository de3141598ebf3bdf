"""The whole model, as the user gave it: names, groups and memory order of its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import gradstep._core as _core
from gradstep._typing import Array
from gradstep.distributed.agreement import Communicator
from gradstep.distributed.ravel import memory_order
from gradstep.optimizers.layout import expected
from gradstep.optimizers.selection import ByName, Masked
from gradstep.optimizers.sgd import SGD


class Model:
    """All parameters in their structure.

    An optimizer without state checks them, and the gradients of each step, as for any optimizer.
    """

    def __init__(self, params: Any) -> None:
        self._checker = SGD(without_hyperparameters(params))
        self.layout = self._checker._layout
        trees = self.layout.trees()
        self.names: list[str] = [name for s in self.layout.structures for name in s.names]
        self.arrays: list[Array] = [
            _core.as_array(leaf, "params")
            for structure, tree in zip(self.layout.structures, trees, strict=True)
            for leaf in structure.flatten(tree)
        ]
        group = {name: i for i, names in enumerate(self.layout.members) for name in names}
        self.groups = [group[name] for name in self.names]
        self.orders = [memory_order(array) for array in self.arrays]

    @property
    def stepper(self) -> _core.Stepper:
        """The core's view of all parameters, which checks them and their gradients."""
        return self._checker._stepper

    def flatten_gradients(self, grads: Any) -> Sequence[Any]:
        """Return one gradient for each parameter."""
        flatten, _, _ = expected(self.layout)
        return flatten(grads)

    def unflatten(self, arrays: Iterable[Any]) -> Any:
        """Put one array for each parameter into the structure of the model."""
        each = iter(arrays)
        trees = [structure.unflatten(each) for structure in self.layout.structures]
        return trees if self.layout.listed else trees[0]

    def zeros(self) -> Any:
        """Return gradients of zero, which take no memory."""
        return self.unflatten(np.broadcast_to(w.dtype.type(0), w.shape) for w in self.arrays)

    def align(self, comm: Communicator, call: str) -> None:
        """Require the same parameters on all ranks, and agree on an order of their elements."""
        first, orders = comm.broadcast((self._description(), self.orders), 0)
        with comm.agreement(call):
            difference = self._difference(first, comm.rank)
            if difference:
                raise ValueError(f"parameters differ from those of rank 0: {difference}")
        # If the order in memory differs between ranks, all use the order of indices.
        for others in comm.allgather(self.orders):
            for i, (one, other) in enumerate(zip(orders, others, strict=True)):
                if one != other:
                    orders[i] = tuple(range(len(one)))
        self.orders = orders

    def _description(self) -> list[tuple[str, int, str]]:
        """Return what must be the same on all ranks: names, groups, dtypes and shapes."""
        return [
            (name, group, f"{array.dtype}{array.shape}")
            for name, group, array in zip(self.names, self.groups, self.arrays, strict=True)
        ]

    def _difference(self, first: Sequence[tuple[str, int, str]], rank: int) -> str | None:
        """Return how the parameters of this rank differ from those of rank 0, if they do."""
        mine = self._description()
        if [*first] == mine:
            return None
        here = {name: (group, kind) for name, group, kind in mine}
        there = {name: (group, kind) for name, group, kind in first}

        def shown(side: Mapping[str, tuple[int, str]], name: str) -> str:
            if name not in side:
                return "missing"
            group, kind = side[name]
            return f"{kind} in group {group}" if max(self.groups, default=0) else kind

        problems = [
            f"{name}: {shown(there, name)} on rank 0, {shown(here, name)} on rank {rank}"
            for name in {**there, **here}
            if there.get(name) != here.get(name)
        ]
        return "; ".join(problems) or "they are in another order"


def without_hyperparameters(params: Any) -> Any:
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


def with_hyperparameters(params: Any, local: Sequence[Mapping[str, Array]]) -> Any:
    """Return the arrays of a shard, `local` by group, with the hyperparameters of `params`."""
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
    groups = [*local, *[{} for _ in overrides[len(local) :]]]
    return [{"params": arrays, **more} for arrays, more in zip(groups, overrides, strict=True)]


def group_by_mask(params: Any, hyperparameters: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return parameters in the groups of a mask of optax's, which fits only the whole model."""
    for name in ("mask", "weight_decay_mask"):
        mask = hyperparameters.get(name)
        if mask is not None:
            params = Masked(params, mask(params) if callable(mask) else mask, {"weight_decay": 0.0})
            # Still passed on, so that an optimizer without a mask refuses it.
            hyperparameters = {**hyperparameters, name: None}
    return params, hyperparameters
