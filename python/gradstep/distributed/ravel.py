"""Arrays of any shape as runs of elements, in one order that all ranks agree on."""

from __future__ import annotations

import numpy as np

from gradstep._typing import Array


def order_of(array: Array) -> tuple[int, ...]:
    """Return the axes from the one with the largest stride to the one with the smallest."""
    return tuple(sorted(range(array.ndim), key=lambda axis: (-abs(array.strides[axis]), axis)))


def index_of(position: int, shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of the element at a position in that order of the axes."""
    index = [0] * len(shape)
    for axis in reversed(order):
        position, index[axis] = divmod(position, shape[axis])
    return tuple(index)


class Flat:
    """An array's elements one behind the other, with its axes in the given order.

    Where they lie like that in memory, runs of them are windows on it; else they are copied.
    """

    def __init__(self, array: Array, order: tuple[int, ...]) -> None:
        turned = array.transpose(order)
        self.dense: Array | None = turned.reshape(-1) if turned.flags.c_contiguous else None
        self._turned = turned

    def read(self, start: int, stop: int) -> Array:
        """Return a run: a window where there can be one, else a copy."""
        if self.dense is not None:
            return self.dense[start:stop]
        copied: Array = self._turned.flat[start:stop]
        return copied

    def write(self, start: int, stop: int, values: Array) -> None:
        """Fill a run."""
        if self.dense is not None:
            self.dense[start:stop] = values
        else:
            self._turned.flat[start:stop] = values


class Weighted:
    """The elements of a `Flat`, multiplied by a weight in a copy."""

    def __init__(self, flat: Flat, weight: float) -> None:
        self._flat = flat
        self._weight = weight

    def read(self, start: int, stop: int) -> Array:
        """Return a run."""
        with np.errstate(all="ignore"):  # what is not finite is the step's business
            weighted: Array = self._flat.read(start, stop) * self._weight
        return weighted
