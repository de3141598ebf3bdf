"""The arrays of `MiniBatches`: their checks, where their examples lie, and how these are copied.

The core copies examples (cpp/binding/gather.cpp), or NumPy does if that is as fast or the core cannot.
Which examples a batch has is decided in minibatches.py.
"""

from __future__ import annotations

import mmap
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep._core as _core
from gradstep._typing import Array
from gradstep.checks import is_whole, shown

# The least bytes in one piece for which the core is faster than NumPy.
_PIECE = 32

# An example is scattered if it reaches over this many times its own bytes: then nearly every number
# of it is fetched from memory with a cache line of others.
_SCATTERED = 8

# Bytes of an array that stays in the processor's caches, where scattered examples cost little.
_SMALL = 1 << 18


class Source:
    """The examples of one array, and how some of them are copied.

    Axis 0 of `rows` counts the examples. Its other axes are in the order of memory, so that numbers
    that lie together are copied together.
    """

    def __init__(self, array: Array, axis: int) -> None:
        axis %= array.ndim
        order = sorted(range(array.ndim), key=lambda a: (a != axis, -abs(array.strides[a])))
        self.rows = array.transpose(order)
        self._back = sorted(range(array.ndim), key=order.__getitem__)
        self.turned = order != list(range(array.ndim))
        self._mapped = _is_mapped(array)
        self.in_pieces = self._lies_in_pieces()

    def _lies_in_pieces(self) -> bool:
        """Whether the core, which copies an example piece by piece, is faster than NumPy."""
        piece = _core.bytes_in_one_piece(self.rows)
        return piece >= _PIECE or 0 < piece == self.rows.nbytes // len(self.rows)

    def prepare(self) -> None:
        """Lay the examples in rows if they are scattered over the memory."""
        rows = self.rows
        if self.in_pieces or self._mapped or rows.nbytes < _SMALL:
            return
        reach = [(n - 1) * abs(stride) for n, stride in zip(rows.shape, rows.strides, strict=True)]
        # A copy of a view that shows the same memory many times could be larger than the machine.
        repeats = rows.nbytes > sum(reach) + rows.itemsize
        scattered = sum(reach[1:]) > _SCATTERED * (rows.nbytes // len(rows))
        if scattered and not repeats and _core.bytes_in_one_piece(rows) > 0:
            self.rows = _core.copy_in_rows(rows)
        self.in_pieces = self._lies_in_pieces()  # also where this was interrupted the last time

    def copied(self, cut: slice) -> Array:
        """Return a copy of neighbouring examples, in the axes of the array."""
        return self.restored(self.rows[cut].copy(order="K"))

    def indexed(self, chosen: NDArray[np.int64]) -> Array:
        """Return a copy of the chosen examples, in the axes of the array, made by NumPy."""
        # Indexing rather than ndarray.take, which first copies all of an array that is not
        # C-contiguous: 150 ms instead of 0.03 ms for a batch of 64 out of 60000 × 784 in columns.
        return self.restored(self.rows[chosen])

    def restored(self, batch: Array) -> Array:
        """Return a batch that was taken from `rows` in the axes of the array."""
        return batch.transpose(self._back) if self.turned else batch


def _is_mapped(array: Array) -> bool:
    """Whether the memory is a file's, as far as the chain of views tells."""
    owner: Any = array
    while owner is not None and not isinstance(owner, (np.memmap, mmap.mmap)):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner is not None


def as_array(position: int, given: Any) -> Array:
    """Return `given` as a plain ndarray over the same memory; TypeError if it is not an array."""
    expected = f"array {position} must be a NumPy array"
    got = f"got {'None' if given is None else type(given).__name__}"
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(f"{expected} without a mask, {got}; fill it with .filled(value)")
    expected += f" or an object that exports its memory as one, {got}"
    protocols = ("__array_interface__", "__array_struct__", "__array__")
    # A NumPy scalar and bytes export memory too, but they are not meant as examples.
    scalar = isinstance(given, (bytes, np.generic))
    try:
        if not scalar and (any(hasattr(given, name) for name in protocols) or _has_buffer(given)):
            return np.asarray(given)
        if hasattr(given, "__dlpack__"):
            return np.from_dlpack(given)
    except Exception as error:  # other frameworks raise any kind
        raise TypeError(f"{expected}, of which the memory cannot be read: {error}") from error
    if is_whole(given):
        fix = f"the batch size is a keyword, batch_size={shown(int(given))}"
    elif hasattr(given, "toarray"):
        fix = "make it dense with .toarray()"
    else:
        fix = "pass numpy.asarray(...) of it if it holds examples"
    raise TypeError(f"{expected}; {fix}")


def _has_buffer(given: Any) -> bool:
    try:
        memoryview(given)
    except TypeError:
        return False
    return True


def number_of_examples(arrays: list[Array], axis: int) -> int:
    """Return the number of examples m that all arrays have along `axis`; ValueError if they differ."""
    for i, array in enumerate(arrays):
        if not -array.ndim <= axis < array.ndim:
            needed = shown(axis + 1 if axis >= 0 else -axis)
            wanted = f"(1, {array.size})" if axis == 1 else f"{needed}-D"
            fix = f"reshape it to {wanted}{_other_axis(arrays, axis)}"
            if array.ndim == 0:
                fix = "pass an array of examples"
            raise ValueError(
                f"array {i} must have an axis {shown(axis)}, got shape {array.shape}; {fix}"
            )
        m, first = array.shape[axis], arrays[0].shape[axis]
        if m != first:
            raise ValueError(
                f"array {i} must have {first} examples along axis {axis}, like array 0 (shape "
                f"{arrays[0].shape}), got {m} (shape {array.shape}); give all the same number"
                f"{_other_axis(arrays, axis)}"
            )
        if m == 0:
            raise ValueError(
                f"array {i} must have at least one example along axis {axis}, got shape "
                f"{array.shape}; check how the data was loaded or sliced"
            )
    shared: int = arrays[0].shape[axis]
    return shared


def _other_axis(arrays: list[Array], axis: int) -> str:
    """Return the advice to take another axis, if there is one on which all arrays agree."""
    deep = min(array.ndim for array in arrays)
    agreed = [
        (lengths.pop(), other)
        for other in (*range(deep), *range(-deep, 0))
        if other != axis and len(lengths := {array.shape[other] for array in arrays}) == 1
    ]
    # The longest of several: as a rule there are more examples than features.
    m, other = max(agreed, default=(0, 0), key=operator.itemgetter(0))
    return f", or pass axis={other} if the examples are the {m} along that axis" if m > 1 else ""
