"""Lets even the smallest step be shared out, with every member of the team taking part."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import gradstep as gs
from gradstep import _core


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
