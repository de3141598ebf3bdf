"""Loads the compiled core so that OpenMP's threads sleep between steps.

By default libgomp's workers spin for milliseconds after a parallel region and hold the cores that
NumPy's own threads want next; docs/design.md has what that does to a training loop. libgomp reads
its wait policy once, when it is loaded, so that is set here and taken away again at once. What the
user has set is left alone. How many threads there are is decided in parallel.py.
"""

from __future__ import annotations

import importlib
import os
import sys


def _openmp_is_loaded() -> bool:
    """Whether another package has brought the OpenMP runtime that the core will use."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes  # NumPy has imported it already

    try:
        ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True


def _load() -> bool:
    """Import the core and return whether OpenMP's workers will spin between steps."""
    policy = os.environ.get("OMP_WAIT_POLICY")
    ours = policy is None and "GOMP_SPINCOUNT" not in os.environ and not _openmp_is_loaded()
    if ours:
        os.environ["OMP_WAIT_POLICY"] = "passive"
    try:
        importlib.import_module("gradstep._core")
    finally:
        if ours:
            del os.environ["OMP_WAIT_POLICY"]
    return not ours and (policy or "").lower() != "passive"


WORKERS_SPIN = _load()

# How many elements of a step pay for one thread. Threads that sleep have to be woken, for some 10 µs;
# threads that spin hold a core for milliseconds afterwards, which only a long step is worth.
# docs/design.md, "Threads", has the measurements.
_core = importlib.import_module("gradstep._core")
_core.set_elements_per_thread(16_000_000 if WORKERS_SPIN else 250_000)
