"""Whole states from the shares of all ranks, and this rank's share of a whole state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gradstep._typing import Array
from gradstep.distributed.model import Whole
from gradstep.distributed.shard import Share
from gradstep.optimizers.state_dict import LoadTarget


def empty(whole: Whole, having: Sequence[bool] | None = None) -> list[Array | None]:
    """Return an array for each parameter of the groups `having` one, in the agreed order."""
    return [
        None
        if having is not None and not having[group]
        else np.empty([array.shape[axis] for axis in order], array.dtype).transpose(
            sorted(range(array.ndim), key=order.__getitem__)
        )
        for array, order, group in zip(whole.arrays, whole.orders, whole.groups, strict=True)
    ]


class LocalTarget(LoadTarget):
    """What a whole state is compared with, and cut to: this rank's share."""

    def __init__(
        self,
        whole: Whole,
        share: Share,
        kept: Sequence[Sequence[str]],
        local: Mapping[str, Mapping[str, Array]],
    ) -> None:
        """Take what state each group keeps, and the state of this rank's share."""
        self._whole = whole
        self._share = share
        self._local = local
        like = {
            name: _stand_in(array) for name, array in zip(whole.names, whole.arrays, strict=True)
        }
        self.members = whole.optimizer._layout.members
        self.state = {
            name: dict.fromkeys(kept[group], like[name])
            for name, group in zip(whole.names, whole.groups, strict=True)
        }
        self.averages = like

    def states(self, fitting: Sequence[Sequence[Array] | None]) -> list[list[Array]]:
        """Return this rank's share of the arrays that fit, else its own."""
        share = self._share
        return [
            [*self._local[label].values()]
            if (saved := fitting[piece.parameter]) is None
            else [share.cut(array, self._whole, piece) for array in saved]
            for label, piece in zip(share.labels, share.placed, strict=True)
        ]

    def average(
        self, fitting: Sequence[Sequence[Array] | None], own: Sequence[Array]
    ) -> list[Array]:
        """Return the same of averages."""
        return [
            mine
            if (saved := fitting[piece.parameter]) is None
            else self._share.cut(saved[0], self._whole, piece)
            for mine, piece in zip(own, self._share.placed, strict=True)
        ]


def _stand_in(array: Array) -> Array:
    """Return an array of that shape and dtype which takes no memory, to compare others with."""
    one = np.zeros(1, array.dtype)
    return as_strided(one, array.shape, (0,) * array.ndim)
