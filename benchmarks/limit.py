"""The memory's own limit: limit.c, compiled here with the system's compiler and called by ctypes.

Where that fails the rest of the comparison runs without it. Timing is in compare.py.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cases import numbers

COMMAND = [os.environ.get("CC", "cc"), "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"]


class Limit:
    """The compiled loop, or the reason why there is none."""

    def __init__(self) -> None:
        self.unavailable: str | None = None
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder, "limit.so")
            command = [*COMMAND, str(Path(__file__).with_suffix(".c")), "-o", str(library)]
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
                self._function = ctypes.CDLL(str(library)).limit
            except subprocess.CalledProcessError as error:
                self.unavailable = error.stderr.strip() or str(error)
                return
            except OSError as error:
                self.unavailable = str(error)
                return
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self._function.argtypes = [pointer] * 4 + [integer, ctypes.c_int, integer]
        self._function.restype = None

    def start(self, elements: int, thread_counts: set[int]) -> dict[int, Callable[[int], None]]:
        """Return, for each number of threads, a function that passes `repeats` times.

        All pass over the same arrays: one run of memory with as many elements as the case.
        """
        rng = np.random.default_rng(3)
        arrays = [numbers((elements,), 0.01, rng) for _ in range(4)]

        def passes(threads: int) -> Callable[[int], None]:
            def run(repeats: int) -> None:
                # The addresses are taken here so that the arrays live as long as this function.
                addresses = [array.ctypes.data for array in arrays]
                self._function(*addresses, elements, threads, repeats)

            return run

        return {threads: passes(threads) for threads in sorted(thread_counts)}
