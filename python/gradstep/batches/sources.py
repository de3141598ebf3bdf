"""Where the examples of an array lie, and which way they are copied.

The core copies them (cpp/binding/gather.cpp), or NumPy where the core cannot or need not.
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

# Bytes in one piece that are worth a copy of their own: NumPy copies shorter ones as fast.
_PIECE = 32

# An example is scattered where it reaches over this many times its own bytes: then nearly every
# number of it is fetched from memory with a cache line of others.
_SCATTERED = 8

# Bytes of an array that stays in the processor's caches, where scattered examples cost little.
_SMALL = 1 << 18


class Source:
    """The examples of one array, and the way to copy some of them.

    They are counted by axis 0 of `rows`, and its other axes stand in the order of memory, so that
    what lies together is copied together.
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
        """Whether the core's way of copying an example, piece by piece, is the fast one."""
        piece = _core.bytes_in_one_piece(self.rows)
        return piece >= _PIECE or 0 < piece == self.rows.nbytes // len(self.rows)

    def prepare(self) -> None:
        """Lay the examples in rows where they are scattered over the memory."""
        rows = self.rows
        if self.in_pieces or self._mapped or rows.nbytes < _SMALL:
            return
        reach = [(n - 1) * abs(stride) for n, stride in zip(rows.shape, rows.strides, strict=True)]
        # Of a view that shows the same memory many times, a copy could be larger than the machine.
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
    """Return `given` as a plain ndarray over the same memory, or say what it is instead."""
    problem = f"array {position} is {named(given)}, expected a NumPy array"
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(f"{problem} without a mask; fill it with .filled(value) first")
    protocols = ("__array_interface__", "__array_struct__", "__array__")
    # A NumPy scalar and bytes export memory too, but nobody means them as examples.
    scalar = isinstance(given, (bytes, np.generic))
    try:
        if not scalar and (any(hasattr(given, name) for name in protocols) or _has_buffer(given)):
            return np.asarray(given)
        if hasattr(given, "__dlpack__"):
            return np.from_dlpack(given)
    except Exception as error:  # another framework's own, of any kind
        raise TypeError(f"{problem}; reading its memory failed: {error}") from error
    if is_whole(given):
        mend = f"the batch size is a keyword, batch_size={shown(int(given))}"
    elif hasattr(given, "toarray"):
        mend = "make it dense with .toarray()"
    else:
        mend = "pass numpy.asarray(...) of it if it holds examples"
    raise TypeError(f"{problem} or an object that exports its memory as one; {mend}")


def _has_buffer(given: Any) -> bool:
    try:
        memoryview(given)
    except TypeError:
        return False
    return True


def number_of_examples(arrays: list[Array], axis: int) -> int:
    """Return the m that all arrays share along `axis`."""
    for i, array in enumerate(arrays):
        if not -array.ndim <= axis < array.ndim:
            needed = shown(axis + 1 if axis >= 0 else -axis)
            wanted = f"(1, {array.size})" if axis == 1 else f"{needed}-D"
            mend = f"reshape it to {wanted}{_other_axis(arrays, axis)}"
            if array.ndim == 0:
                mend = "pass an array of examples"
            raise ValueError(
                f"array {i} has shape {array.shape}, which has no axis {shown(axis)}; {mend}"
            )
        m, first = array.shape[axis], arrays[0].shape[axis]
        if m != first:
            raise ValueError(
                f"array {i} has {m} examples along axis {axis} (shape {array.shape}), array 0 has "
                f"{first} (shape {arrays[0].shape}); give all the same number"
                f"{_other_axis(arrays, axis)}"
            )
        if m == 0:
            raise ValueError(
                f"array {i} has shape {array.shape}: no examples along axis {axis}, expected at "
                "least one; check how the data was loaded or sliced"
            )
    shared: int = arrays[0].shape[axis]
    return shared


def _other_axis(arrays: list[Array], axis: int) -> str:
    """Return the advice to take another axis, where there is one that all arrays agree on."""
    deep = min(array.ndim for array in arrays)
    agreed = [
        (lengths.pop(), other)
        for other in (*range(deep), *range(-deep, 0))
        if other != axis and len(lengths := {array.shape[other] for array in arrays}) == 1
    ]
    # Of several the longest: there are more examples than features, as a rule.
    m, other = max(agreed, default=(0, 0), key=operator.itemgetter(0))
    return f", or pass axis={other} if the examples are the {m} along that axis" if m > 1 else ""


def named(given: Any) -> str:
    """Return what a refused argument is, in a sentence that begins with its name and "is"."""
    return "None" if given is None else f"of type {type(given).__name__}"
