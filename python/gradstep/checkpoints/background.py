"""Saves in the background: a copy of a run in memory first, then a thread that writes it.

There is one such save at a time in a process, and a later save to the same path waits for it. The parts
and the file are the same as those of `save`: see parts.py and atomic_file.py.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import sys
import threading
import traceback
from functools import partial
from typing import Any

import gradstep.checkpoints.archive as archive
import gradstep.checkpoints.atomic_file as atomic_file
import gradstep.checkpoints.ranks as ranks
from gradstep.checkpoints.parts import pack, require_names
from gradstep.names import FixedAttributes

# Held while a save begins, so that there is at most one copy in memory.
_beginning = threading.Lock()
_last_save: BackgroundSave | None = None


class BackgroundSave(FixedAttributes):
    """A save in the background, which `save_in_background` returns.

    Attributes
    ----------
    path : str
        The absolute path of the file.

    Examples
    --------
    >>> import os, tempfile
    >>> import gradstep as gs
    >>> path = os.path.join(tempfile.mkdtemp(), "run.ckpt")
    >>> saving = gs.save_in_background(path, epoch=1)
    >>> saving.wait(), saving.done
    (True, True)
    >>> isinstance(saving, gs.BackgroundSave)
    True
    """

    def __init__(self, path: str, packed: archive.Packed | None) -> None:
        self._path = path
        self._target = os.path.realpath(path)
        self._process = os.getpid()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._raised = False  # whether somebody has been told of the error
        # Not a daemon: the interpreter's exit waits for the write.
        self._thread = threading.Thread(
            target=self._write, args=(packed,), name=f"saves {path}", daemon=False
        )

    @property
    def path(self) -> str:
        """The absolute path of the file."""
        return self._path

    def _instead_of_setting(self, name: str) -> str:
        return ""  # users do not make these

    @property
    def done(self) -> bool:
        """Whether the file is on the disk, or the save has failed.

        Raises
        ------
        RuntimeError
            In a forked child, which has no such thread.
        """
        self._require_same_process()
        return self._ended.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the file is on the disk, for at most `timeout` seconds.

        Returns
        -------
        bool
            Whether it is.

        Raises
        ------
        OSError
            The error of the save, if it has failed; see `save`.
        RuntimeError
            In a forked child, which has no such thread: only the process that began a save can wait
            for it.
        """
        self._require_same_process()
        ended = self._ended.wait(timeout)
        if ended and self._error is not None:
            self._raised = True
            raise self._error
        return ended

    def __repr__(self) -> str:
        if os.getpid() != self._process:
            state = "of another process"
        elif not self._ended.is_set():
            state = "under way"
        else:
            state = "done" if self._error is None else f"failed: {self._error}"
        return f"<BackgroundSave {self.path!r}: {state}>"

    def _start(self) -> None:
        try:
            self._thread.start()
        finally:
            if self._thread.ident is None:  # the system has no more threads
                self._ended.set()

    def _write(self, packed: archive.Packed | None) -> None:
        try:
            if packed is not None:  # otherwise another rank writes
                atomic_file.write_whole(self.path, partial(archive.write, packed))
        except BaseException as error:  # noqa: BLE001 - `wait` raises it
            traceback.clear_frames(error.__traceback__)
            self._error = error
        finally:
            del packed  # the traceback of an error would keep it in memory
            self._ended.set()

    def _finish(self) -> None:
        """Wait for the end, and raise the error if it has not been raised yet."""
        # A signal handler may come here before the thread has started.
        if self._thread.ident is None and not self._ended.is_set():
            raise BlockingIOError(
                errno.EWOULDBLOCK,
                "another save to the same path is being begun; wait until it is done",
                self.path,
            )
        self._ended.wait()
        if self._error is not None and not self._raised:
            self._raised = True
            raise self._error

    def _require_same_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                f"the save to {self.path!r} was begun by a process that this one was forked from; wait "
                "for it there"
            )


def save_in_background(path: atomic_file.StrPath, /, **parts: Any) -> BackgroundSave:
    """Save a run as `save` does, from a copy, while the training goes on.

    Parameters
    ----------
    path, **parts
        As for `save`.

    Returns
    -------
    BackgroundSave
        ``wait()`` returns when the file is on the disk, or raises the error of the save.

    Raises
    ------
    TypeError, ValueError
        As `save` does, before anything has begun.
    OSError
        The error of an earlier save in the background, if that one was not waited for. This save
        has not begun then.

    Notes
    -----
    Everything is copied when this returns: later steps do not change the file. The copy takes as
    much memory as the file has bytes. The next save in the background waits for this one, whatever
    its path is, and so does a `save` to the same path. The interpreter waits at its exit, too. If
    the save has failed and was not waited for, the interpreter writes the error to stderr, but its
    exit code is 0; so wait for the last save yourself.

    With several ranks, only rank 0 writes, as in `save`, and an error is raised there alone.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, gradstep as gs
    >>> w = np.ones(3)
    >>> path = os.path.join(tempfile.mkdtemp(), "run.ckpt")
    >>> saving = gs.save_in_background(path, w=w, step=1)
    >>> w += 1
    >>> saving.wait()
    True
    >>> gs.load(path, w=w)["step"], w
    (1, array([1., 1., 1.]))
    """
    global _last_save
    with _beginning:
        with ranks.agreement(parts, "save"):
            require_names(parts)
            if _last_save is not None:
                _last_save._finish()
        # The working directory may change before the file is written.
        absolute = os.path.abspath(atomic_file.text(path)) if atomic_file.text(path) else ""
        ranks.require_same_names(parts)
        with ranks.agreement(parts, "save"):
            packed = pack(parts, copied=True)
        saving = BackgroundSave(absolute, packed)
        del packed
        # Before the start: a save that comes in between would be overwritten by this older one.
        _last_save = saving
        saving._start()
    return saving


def wait_for_save(path: atomic_file.StrPath) -> None:
    """Wait for a save of this process to the same path in the background; raise a new error of it."""
    last = _last_save
    if last is not None and last._target == os.path.realpath(atomic_file.text(path)):
        last._finish()


def _report_at_exit() -> None:
    """Write an error that was not raised to stderr, after all threads have ended."""
    last = _last_save
    if last is None or last._error is None or last._raised or sys.stderr is None:
        return
    error = last._error
    with contextlib.suppress(OSError, ValueError):  # stderr is closed
        print(
            f"gradstep: the save in the background to {last.path!r} has failed, and nobody has "
            f"waited for it: {type(error).__name__}: {error}",
            file=sys.stderr,
        )


atexit.register(_report_at_exit)


def _reset_after_fork() -> None:
    """Begin anew in a forked child, which has neither the thread nor the holder of the lock."""
    global _beginning, _last_save
    _beginning, _last_save = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
