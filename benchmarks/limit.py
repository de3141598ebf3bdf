"""The memory's own limit: limit.c, compiled here with the system's compiler and called by ctypes.

Where that fails the rest of the comparison runs without it. How it is timed is in timing.py.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from cases import Array, numbers
from timing import Sampler, Times

COMMAND = [os.environ.get("CC", "cc"), "-O3", "-march=native", "-pthread", "-shared", "-fPIC"]
NAME = "limit, threads: "


@functools.cache
def _compiled() -> tuple[Any, str]:
    """Return the function, or None and the reason why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "limit.so")
        command = [*COMMAND, str(Path(__file__).with_suffix(".c")), "-o", str(library)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
            function = ctypes.CDLL(str(library)).limit
        except subprocess.CalledProcessError as error:
            return None, error.stderr.strip() or str(error)
        except OSError as error:
            return None, str(error)
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [pointer] * 4 + [integer, ctypes.c_int, integer]
    function.restype = ctypes.c_double
    return function, ""


def unavailable() -> str:
    """Return why there is no limit, empty where there is one."""
    return _compiled()[1]


def of_step(w: Array, g: Array, m: Array, v: Array, threads: int) -> Sampler:
    """Pass over the seven streams of Adam's step."""
    return _sampler(w, g, m, v, threads)


def of_average(v: Array, x: Array, threads: int) -> Sampler:
    """Pass over the three streams of an average."""
    return _sampler(None, x, None, v, threads)


def _sampler(w: Array | None, g: Array, m: Array | None, v: Array, threads: int) -> Sampler:
    function, reason = _compiled()
    if function is None:
        raise RuntimeError(reason)

    def sample(passes: int) -> float:
        # The addresses are taken here so that the arrays live as long as this function.
        addresses = [None if array is None else array.ctypes.data for array in (w, g, m, v)]
        return float(function(*addresses, g.size, threads, passes))

    return sample


def samplers(elements: int, threads: int, *, streams: int) -> dict[str, Sampler]:
    """Return the passes over one run of memory with 1 and with `threads` threads, none where it fails.

    Both pass over the same arrays. What is reported is the better, `best`: the second thread of a
    small step costs more than it brings.
    """
    if unavailable():
        return {}
    rng = np.random.default_rng(3)
    arrays = [numbers((elements,), 0.01, rng) for _ in range(4 if streams == 7 else 2)]
    w, m = arrays[2:] if streams == 7 else (None, None)
    return {f"{NAME}{n}": _sampler(w, arrays[1], m, arrays[0], n) for n in sorted({1, threads})}


def best(seconds: dict[str, Times]) -> dict[str, Any] | None:
    """Take the limits out of what was measured and return the better, with its threads."""
    limits = {name: seconds.pop(name) for name in list(seconds) if name.startswith(NAME)}
    if not limits:
        return None
    name = min(limits, key=lambda name: limits[name]["median"])
    return {**limits[name], "threads": int(name.removeprefix(NAME))}
