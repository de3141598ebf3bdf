"""The number of threads that a step may use, and the facts that the core knows of this processor.

Whether a step of a given size uses them all is decided in cpp/engine/threads.cpp.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import gradstep._core as _core
import gradstep.checks as checks


class _Block:
    """An open `with` block of `threads`."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.replaced = 0  # the number before the block; known when it is entered


_open: list[_Block] = []  # in the order in which they were entered
_lock = threading.RLock()  # a signal handler may have a block of its own


def _close(blocks: list[_Block]) -> None:
    """Hand the number that each block replaced to the block entered next, or set it."""
    for block in reversed(blocks):
        i = _open.index(block)
        if i + 1 < len(_open):
            _open[i + 1].replaced = block.replaced
        else:
            _core.set_num_threads(block.replaced)
        del _open[i]


def _leave(block: _Block) -> None:
    with _lock:
        if block in _open:  # not interrupted on the way in
            # Later blocks of the same thread have ended, or were interrupted on the way in.
            entered = _open[_open.index(block) :]
            _close([each for each in entered if each.thread == block.thread])


def _forget() -> None:
    """Begin anew in a forked child, which has neither the other threads nor the lock's holder."""
    global _lock
    _lock = threading.RLock()
    _close([block for block in _open if block.thread != threading.get_ident()])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def set_num_threads(n: int) -> None:
    """Set the largest number of threads that a step may use, in the whole process.

    Parameters
    ----------
    n : int
        At least 1; may exceed the number of cores. Small steps use fewer. If blocks of `threads` are
        open, it holds until the one that was entered last ends.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer of at least 1.

    Examples
    --------
    >>> import gradstep as gs
    >>> before = gs.get_num_threads()
    >>> gs.set_num_threads(1)
    >>> gs.get_num_threads()
    1
    >>> gs.set_num_threads(before)
    """
    _core.set_num_threads(_checked(n))


def _checked(n: int) -> int:
    return checks.count("the number of threads", n, least=1, below=2**31)


def get_num_threads() -> int:
    """Return the largest number of threads that a step may use.

    At import it is ``GRADSTEP_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the number of cores that
    the process's affinity and its container's quota allow.

    Examples
    --------
    >>> import gradstep as gs
    >>> gs.get_num_threads() >= 1
    True
    """
    return _core.get_num_threads()


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Set the number of threads for the duration of a ``with`` block, in the whole process.

    Parameters
    ----------
    n : int
        As in `set_num_threads`, with the same errors.

    Notes
    -----
    Blocks of several threads may overlap. The number of the block that was entered last holds until
    that block ends, and the last one to end restores the number from before the first.

    Examples
    --------
    >>> import gradstep as gs
    >>> with gs.threads(3):
    ...     gs.get_num_threads()
    3
    """
    number = _checked(n)
    block = _Block()
    try:
        with _lock:
            block.replaced = get_num_threads()
            _open.append(block)
            _core.set_num_threads(number)
        yield
    finally:
        _leave(block)


def cpu_info() -> dict[str, Any]:
    """Return the processor's levels, the number of threads, and whether the build found OpenMP.

    Returns
    -------
    dict
        ``"isa"``: the instruction-set level in use; ``"isas"``: the levels that this processor can
        run, lowest first; ``"threads"``: the largest number of threads a step may use;
        ``"openmp"``: whether the build found OpenMP: then a limit set on its runtime, by
        threadpoolctl for instance, is obeyed.

    Notes
    -----
    The environment variable ``GRADSTEP_ISA`` forces a level at import, for tests and bug reports.

    Examples
    --------
    >>> import gradstep as gs
    >>> info = gs.cpu_info()
    >>> info["isa"] in info["isas"]
    True
    """
    return {
        "isa": _core.isa(),
        "isas": _core.isas(),
        "threads": get_num_threads(),
        "openmp": _core.has_openmp(),
    }


def default_num_threads() -> int:
    """Return the number of threads to start with; see `get_num_threads`."""
    ours = os.environ.get("GRADSTEP_NUM_THREADS")
    if ours:
        if not ours.strip().isdecimal() or not 1 <= int(ours) < 2**31:
            raise ImportError(f"GRADSTEP_NUM_THREADS must be an integer >= 1, got {ours!r}")
        return int(ours)
    # A list has the numbers of nested regions, of which ours is the outermost.
    outermost = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if outermost.isdecimal() and 1 <= int(outermost) < 2**31:
        return int(outermost)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = container_quota()
    return max(1, min(cores or 1, int(quota) if quota is not None else cores or 1))


def container_quota(root: str = "/") -> float | None:
    """Return how many cores' worth of time the control group grants; None if it sets no limit.

    Parameters
    ----------
    root : str
        Where ``proc`` and ``sys`` are mounted.
    """
    quotas = []
    for line in _text_of(root, "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        unified = controllers == ""
        if not unified and "cpu" not in controllers.split(","):
            continue
        # A limit on any group above holds, too. Inside a container the path may be the host's, and
        # then only the mount point itself can be read.
        names = [name for name in path.split("/") if name]
        for mount in ("", "unified") if unified else ("cpu", controllers):
            for depth in range(len(names) + 1):
                group = os.path.join(root, "sys/fs/cgroup", mount, *names[:depth])
                quotas += _quota_of(group, unified)
    return min(quotas, default=None)


def _quota_of(group: str, unified: bool) -> list[float]:
    files = ("cpu.max",) if unified else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    try:
        quota, period = " ".join(_text_of(group, name) for name in files).split()
        return [int(quota) / int(period)] if int(quota) > 0 else []
    except (ValueError, ZeroDivisionError):  # no such file, or "max": no limit
        return []


def _text_of(folder: str, name: str) -> str:
    """Return the content of a file, nothing if it cannot be read."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


set_num_threads(default_num_threads())
