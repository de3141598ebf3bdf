"""From the shards of all ranks to the state of the whole model, and back to this rank's shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gradstep._typing import Array
from gradstep.distributed.collectives import Collectives
from gradstep.distributed.model import Model
from gradstep.distributed.ravel import RaveledArray
from gradstep.distributed.shard import Shard
from gradstep.optimizers.state_dict import LoadTarget


def empty_arrays(model: Model, groups: Sequence[bool] | None = None) -> list[Array | None]:
    """Return an array like each parameter, in the agreed order; None outside of these groups."""
    return [
        None
        if groups is not None and not groups[group]
        else np.empty([array.shape[axis] for axis in order], array.dtype).transpose(
            sorted(range(array.ndim), key=order.__getitem__)
        )
        for array, order, group in zip(model.arrays, model.orders, model.groups, strict=True)
    ]


def gather_arrays(
    collectives: Collectives,
    model: Model,
    shard: Shard,
    own: Sequence[Array | None],
    targets: Sequence[Array | None],
    groups: Sequence[bool] | None = None,
    root: int | None = None,
) -> None:
    """Fill `targets`, one for each parameter, from `own` of all ranks, one for each local array."""
    if shard.is_whole:
        for array, piece in zip(own, shard.pieces, strict=True):
            target = targets[piece.parameter]
            if array is not None and target is not None:
                target[...] = array
        return
    raveled = [
        None if target is None else RaveledArray(target, order)
        for target, order in zip(targets, model.orders, strict=True)
    ]
    for bucket, (first, last) in zip(shard.buckets, shard.spans, strict=True):
        if groups is None or groups[model.groups[bucket.pieces[0].parameter]]:
            part = [array for array in own[first:last] if array is not None]
            collectives.finish(collectives.gather(0, bucket, part, raveled, root))


class LocalTarget(LoadTarget):
    """Compares a state of the whole model with this rank's, and cuts it to this rank's shard."""

    def __init__(
        self,
        model: Model,
        shard: Shard,
        state_names: Sequence[Sequence[str]],
        local: Mapping[str, Mapping[str, Array]],
    ) -> None:
        """Take the names of each group's state, and the state of this rank's shard."""
        self._model = model
        self._shard = shard
        self._local = local
        like = {
            name: _stand_in(array) for name, array in zip(model.names, model.arrays, strict=True)
        }
        self.members = model.layout.members
        self.state = {
            name: dict.fromkeys(state_names[group], like[name])
            for name, group in zip(model.names, model.groups, strict=True)
        }
        self.averages = like

    def states(self, fitting: Sequence[Sequence[Array] | None]) -> list[list[Array]]:
        """Return this rank's shard of the arrays that fit, else its own state."""
        shard = self._shard
        return [
            [*self._local[label].values()]
            if (saved := fitting[piece.parameter]) is None
            else [shard.cut(array, self._model, piece) for array in saved]
            for label, piece in zip(shard.labels, shard.pieces, strict=True)
        ]

    def average(
        self, fitting: Sequence[Sequence[Array] | None], own: Sequence[Array]
    ) -> list[Array]:
        """Return the same of averages."""
        return [
            mine
            if (saved := fitting[piece.parameter]) is None
            else self._shard.cut(saved[0], self._model, piece)
            for mine, piece in zip(own, self._shard.pieces, strict=True)
        ]


def _stand_in(array: Array) -> Array:
    """Return an array of that shape and dtype that takes no memory, for comparisons."""
    one = np.zeros(1, array.dtype)
    return as_strided(one, array.shape, (0,) * array.ndim)
