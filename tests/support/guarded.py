"""Arrays flush against memory that may not be touched: one byte too far ends the process.

Run by itself, it steps every loop of the core in such arrays; test_guard_pages.py does so and looks
at how it ended.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep as gs
from gradstep import _core
from support.anything import CORE_FLAGS, CORE_NUMBERS, RULES, arrays_of
from support.oracle import LOOPS
from support.teams import shared_out

Array = NDArray[Any]
PAGE = mmap.PAGESIZE
PROT_NONE = 0
SIZES = [*range(1, 71), 511, 512, 513, 4097]


class Guarded:
    """Memory of this many bytes, or more, between two pages that may be neither read nor written."""

    def __init__(self, bytes_: int) -> None:
        self.size = -(-bytes_ // PAGE) * PAGE
        self._map = mmap.mmap(-1, self.size + 2 * PAGE)
        begin = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        library = ctypes.CDLL(None, use_errno=True)
        for at in (begin, begin + PAGE + self.size):
            if library.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(PAGE), PROT_NONE) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")

    def array(self, n: int, dtype: Any, *, at_end: bool, stride: int = 1) -> Array:
        """Return n elements, every so many; the highest, or the lowest, touches the border."""
        apart = abs(stride)
        size = ((n - 1) * apart + 1) * np.dtype(dtype).itemsize
        start = PAGE + (self.size - size if at_end else 0)
        memory = np.frombuffer(self._map, np.uint8, size, start)
        whole: Array = memory.view(dtype)
        return whole[::stride]


def filled(memory: list[Guarded], n: int, dtype: Any, at_end: bool, stride: int) -> list[Array]:
    arrays = [m.array(n, dtype, at_end=at_end, stride=stride) for m in memory]
    for array in arrays:
        array[...] = 0.5
    return arrays


def step_every_loop(at_end: bool, sizes: list[int]) -> None:
    """Step parameters, gradients and moments, each in pages of its own."""
    memory = [Guarded(2 * 8 * max(SIZES)) for _ in range(5)]
    product = Guarded(8)
    for case, dtype in itertools.product(LOOPS, (np.float32, np.float64)):
        print(_core.isa(), case, np.dtype(dtype), flush=True)
        for stride in (1, 2, -1):
            # Strided elements are copied in tiles, whatever the rule.
            for n in sizes if stride == 1 else sizes[LOOPS.index(case) % 7 :: 7]:
                w, g, *states = filled(memory, n, dtype, at_end, stride)
                given = dict(zip(case.states, states, strict=False))
                if "mu_product" in arrays_of(case.function):
                    given["mu_product"] = product.array(1, np.float64, at_end=at_end)
                    given["mu_product"][...] = 1.0
                case.call(w, g, given, t=1, lr=0.1)


def step_every_other_rule(at_end: bool, sizes: list[int]) -> None:
    """The same with the rules that no function has: those of other packages."""
    memory = [Guarded(2 * 8 * max(SIZES)) for _ in range(5)]
    tried = {"ewa"} | {case.rule for case in LOOPS}
    told = [(name, name, 0.5) for name in CORE_NUMBERS]
    told += [(name, name, True) for name in CORE_FLAGS]
    for rule, dtype in itertools.product(sorted({*RULES} - tried), (np.float32, np.float64)):
        print(_core.isa(), rule, np.dtype(dtype), flush=True)
        for stride, n in itertools.product((1, 2, -1), sizes):
            w, g, *states = filled(memory, n, dtype, at_end, stride)
            stepper = _core.new_stepper()
            stepper.add_group(rule, told)
            stepper.add_parameter(0, "w", w, states[: len(_core.state_names(rule))])
            stepper.step([g])


def average(at_end: bool) -> None:
    """Average arrays and series that lie so."""
    memory = [Guarded(8 * max(SIZES)) for _ in range(2)]
    for dtype, n in itertools.product((np.float32, np.float64), SIZES):
        v, x = filled(memory, n, dtype, at_end, 1)
        print(_core.isa(), "averages of", n, np.dtype(dtype), flush=True)
        gs.functional.ewa(v, x)
        for columns in (1, 7, n):
            spare = n % columns
            series = x[spare:] if at_end else x[: n - spare]
            gs.ewa(series.reshape(-1, columns), bias_correction=True)


def gather(at_end: bool) -> None:
    """Copy examples in rows and in columns out of such arrays."""
    for dtype, features in itertools.product(
        (np.uint8, np.float32, np.float64), (1, 3, 17, 64, 100)
    ):
        print("batches of", features, np.dtype(dtype), flush=True)
        for n in (1, 7, 65):
            memory = Guarded(n * features * 8)
            examples = memory.array(n * features, dtype, at_end=at_end)
            for array, axis in ((examples.reshape(n, -1), 0), (examples.reshape(-1, n), 1)):
                for _ in gs.MiniBatches(array, batch_size=8, axis=axis, seed=0):
                    pass


if __name__ == "__main__":
    if sys.argv[1:] == ["beyond"]:
        border = Guarded(PAGE).array(PAGE, np.uint8, at_end=True)
        ctypes.string_at(border.ctypes.data, PAGE + 1)
    for end in (True, False):
        print("at the end:", end, flush=True)
        with gs.threads(1):
            gather(end)
            for isa in _core.isas():
                _core.use_isa(isa)
                average(end)
                step_every_loop(end, SIZES)
                step_every_other_rule(end, SIZES)
        with shared_out(3, together=False):
            step_every_loop(end, SIZES[-1:] * 7)
            step_every_other_rule(end, SIZES[-1:])
