"""Threads: whether they share an interpreter's lock, and how to share out even the smallest step."""

from __future__ import annotations

import contextlib
import sysconfig
from collections.abc import Iterator

import gradstep as gs
from gradstep import _core

# One, two and more threads than a machine may have cores.
THREADS = [1, 2, 5]

# A CPython without the interpreter's lock.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@contextlib.contextmanager
def shared_out(threads: int, *, together: bool = True) -> Iterator[None]:
    """Share every step among this many threads; where `together`, none begins before all are there."""
    before = _core.get_work_per_thread()
    _core.set_work_per_thread(1, 1)
    _core.set_rendezvous(together)
    try:
        with gs.threads(threads):
            yield
    finally:
        _core.set_rendezvous(False)
        _core.set_work_per_thread(*before)
