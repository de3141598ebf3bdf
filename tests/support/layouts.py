"""Arrays in every memory layout that a step accepts, each inside a larger buffer.

Each maker takes a dtype and gives a view of a fresh buffer filled with a canary, and the buffer as
bytes, so that a test can see that nothing outside of the view was touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Made = tuple[Array, NDArray[np.uint8]]
CANARY = 0xA5


def buffer(elements: int, dtype: Any, shift: int = 0) -> tuple[NDArray[np.uint8], Array]:
    """Return canary bytes with a margin, and the elements in their middle, shifted by bytes."""
    size = np.dtype(dtype).itemsize
    raw = np.full((elements + 16) * size, CANARY, np.uint8)
    # An aligned start whatever the allocator gave, so that `shift` alone decides on alignment.
    start = -raw.ctypes.data % size + 4 * size + shift
    return raw, raw[start : start + elements * size].view(dtype)


def _plain(shape: tuple[int, ...], order: Any = "C", shift: int = 0) -> Callable[[Any], Made]:
    def make(dtype: Any) -> Made:
        raw, flat = buffer(int(np.prod(shape)), dtype, shift)
        return flat.reshape(shape, order=order), raw

    return make


def _cut(
    shape: tuple[int, ...], index: Any, transpose: tuple[int, ...] | None = None
) -> Callable[[Any], Made]:
    def make(dtype: Any) -> Made:
        whole, raw = _plain(shape)(dtype)
        view = whole[index]
        return (view.transpose(transpose) if transpose else view), raw

    return make


S = np.s_
LAYOUTS: dict[str, Callable[[Any], Made]] = {
    "C": _plain((7, 5)),
    "Fortran": _plain((7, 5), "F"),
    "long": _plain((1543,)),
    "0-d": _plain(()),
    "one element": _plain((1, 1, 1)),
    "empty": _plain((3, 0, 2)),
    "unaligned": _plain((700,), shift=1),
    "every second": _cut((1400,), S[::2]),
    "backwards": _cut((700,), S[::-1]),
    "backwards both": _cut((30, 40), S[::-1, ::-1]),
    "one axis backwards": _cut((30, 40), S[:, ::-1]),
    "column": _cut((600, 3), S[:, 1]),
    "window": _cut((40, 50), S[3:31, 7:44]),
    "3-d transposed": _cut((9, 10, 11), S[:], (2, 0, 1)),
    "3-d steps, swapped": _cut((9, 20, 11), S[1::2, ::-3, :], (1, 2, 0)),
    "window, transposed": _cut((40, 50), S[3:31, 7:44], (1, 0)),
}

# A gradient is only read: it may be all of the above and more.
GRADIENTS: dict[str, Callable[[Array], Array]] = {
    "C": lambda g: np.ascontiguousarray(g).reshape(g.shape),
    "Fortran": lambda g: np.asfortranarray(g).reshape(g.shape, order="F"),
    "like": lambda g: g.copy(order="K"),
    "backwards": lambda g: g[(slice(None, None, -1),) * g.ndim].copy()[
        (slice(None, None, -1),) * g.ndim
    ],
    "broadcast": lambda g: np.broadcast_to(g.flat[0] if g.size else g.dtype.type(1), g.shape),
    "unaligned": lambda g: _fill(_plain(g.shape, shift=3)(g.dtype)[0], g),
    "every third": lambda g: _fill(np.zeros((*g.shape, 3), g.dtype)[..., 1], g),
    "read-only": lambda g: _read_only(g.copy()),
}


def _fill(target: Array, values: Array) -> Array:
    target[...] = values
    return target


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array
