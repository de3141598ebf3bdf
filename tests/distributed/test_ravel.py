"""Arrays as one row of elements."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradstep.distributed.ravel import RaveledArray, memory_order

BASE = np.arange(4 * 6 * 10, dtype=np.float64)
VIEWS = {
    "C": BASE.reshape(4, 6, 10),
    "Fortran": BASE.reshape((4, 6, 10), order="F"),
    "transposed": BASE.reshape(4, 6, 10).transpose(1, 2, 0),
    "strided": BASE.reshape(4, 6, 10)[:, ::2, ::3],
    "transposed and strided": BASE.reshape(4, 6, 10)[::3, :, ::2].transpose(2, 0, 1),
    "backwards": BASE[::-1],
    "axes backwards": BASE.reshape(4, 6, 10)[::-1, :, ::-1],
    "0-d": BASE[3:4].reshape(()),
    "one element": BASE[3:4].reshape(1, 1),
    "empty": BASE[:0].reshape(3, 0, 2),
    "a column": BASE.reshape(24, 10)[:, 3],
    "an axis of length one": BASE.reshape(4, 6, 10)[:, :1],
}
DENSE = {"C", "Fortran", "transposed", "0-d", "one element", "empty"}


@pytest.mark.parametrize("name", VIEWS)
def test_runs_of_an_array(name: str) -> None:
    array = VIEWS[name].copy(order="K") if name in DENSE else VIEWS[name]
    order = memory_order(array)
    assert sorted(order) == list(range(array.ndim))
    flat = RaveledArray(array, order)
    assert (flat.dense is not None) == (name in DENSE)
    # The last axis of the order varies fastest.
    expected = [
        array[tuple(index[order.index(axis)] for axis in range(array.ndim))]
        for index in itertools.product(*(range(array.shape[axis]) for axis in order))
    ]
    assert len(expected) == array.size
    rng = np.random.default_rng(0)
    for start, stop in [(0, array.size), (0, 0), *np.sort(rng.integers(0, array.size + 1, (9, 2)))]:
        run = flat.read(start, stop)
        assert run.ndim == 1
        assert run.flags.c_contiguous
        assert run.tolist() == expected[start:stop]
        assert np.shares_memory(run, array) == (name in DENSE and stop > start)


@pytest.mark.parametrize("name", VIEWS)
def test_filling_runs_of_an_array(name: str) -> None:
    view = VIEWS[name]
    # The same layout in another buffer, where no element around it may change.
    buffer = np.full_like(BASE, -1.0)
    start = (view.ctypes.data - BASE.ctypes.data) // 8 if view.size else 0
    array = np.lib.stride_tricks.as_strided(buffer[start:], view.shape, view.strides)
    for order in itertools.permutations(range(array.ndim)):
        buffer[:] = -1.0
        flat = RaveledArray(array, order)
        values = np.arange(array.size) + 100.0
        cuts = [0, array.size // 3, array.size // 2, array.size]
        for first, last in itertools.pairwise(cuts):
            flat.write(first, last, values[first:last])
        assert array.transpose(order).ravel().tolist() == values.tolist()
        assert np.count_nonzero(buffer == -1.0) == buffer.size - array.size


def test_memory_order() -> None:
    assert memory_order(np.zeros((2, 3, 4))) == (0, 1, 2)
    assert memory_order(np.zeros((2, 3, 4), order="F")) == (2, 1, 0)
    assert memory_order(np.zeros((2, 3, 4)).transpose(2, 0, 1)) == (1, 2, 0)
    assert memory_order(np.zeros((5, 5))[::-1, ::-2]) == (0, 1)
    assert memory_order(np.zeros(())) == ()
