"""Arrays of any shape as one row of elements, in an order that all ranks agree on."""

from __future__ import annotations

import numpy as np

from gradstep._typing import Array


def memory_order(array: Array) -> tuple[int, ...]:
    """Return the axes from the one with the largest stride to the one with the smallest."""
    return tuple(sorted(range(array.ndim), key=lambda axis: (-abs(array.strides[axis]), axis)))


def unravel(position: int, shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of the element at a position in that order of the axes."""
    index = [0] * len(shape)
    for axis in reversed(order):
        position, index[axis] = divmod(position, shape[axis])
    return tuple(index)


class RaveledArray:
    """An array's elements as one row, with its axes in the given order.

    If they lie in memory in this order, runs of them are views; else runs are copied.
    """

    def __init__(self, array: Array, order: tuple[int, ...]) -> None:
        transposed = array.transpose(order)
        self.dense: Array | None = transposed.reshape(-1) if transposed.flags.c_contiguous else None
        self._transposed = transposed

    def read(self, start: int, stop: int) -> Array:
        """Return a run: a view if the array is dense, else a copy."""
        if self.dense is not None:
            return self.dense[start:stop]
        copied: Array = self._transposed.flat[start:stop]
        return copied

    def write(self, start: int, stop: int, values: Array) -> None:
        """Fill a run."""
        if self.dense is not None:
            self.dense[start:stop] = values
        else:
            self._transposed.flat[start:stop] = values


class WeightedArray:
    """The elements of a `RaveledArray` times a weight; runs are always copies."""

    def __init__(self, raveled: RaveledArray, weight: float) -> None:
        self._raveled = raveled
        self._weight = weight

    def read(self, start: int, stop: int) -> Array:
        """Return a run."""
        with np.errstate(all="ignore"):  # the step itself looks for what is not finite
            weighted: Array = self._raveled.read(start, stop) * self._weight
        return weighted
