"""Save a run while it goes on: a copy in memory first, and a thread that writes it behind.

What is written, and how, is save's in parts.py.
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
from gradstep.checkpoints.parts import pack, require_names, require_names_alike, together
from gradstep.names import FixedAttributes

# One save at a time, so that there is one copy in memory at most.
_turn = threading.Lock()
_latest: BackgroundSave | None = None


class BackgroundSave(FixedAttributes):
    """A save that is under way, or has ended; `save_in_background` makes these.

    Attributes
    ----------
    path : str
        Where the file will be, from the root.

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
        self._process = os.getpid()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._told = False
        # Not a daemon: at the interpreter's exit the write is finished.
        self._thread = threading.Thread(
            target=self._write, args=(packed,), name=f"saves {path}", daemon=False
        )

    @property
    def path(self) -> str:
        """The file."""
        return self._path

    def _instead_of_setting(self, name: str) -> str:
        return ""  # nobody makes one by hand

    @property
    def done(self) -> bool:
        """Whether the file is on the disk, or the save has failed.

        Raises
        ------
        RuntimeError
            In a forked child, which has no such thread.
        """
        self._require_own()
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
            What the save has failed with; see `save`.
        RuntimeError
            In a forked child, which has no such thread: only the process that began a save can wait
            for it.
        """
        self._require_own()
        ended = self._ended.wait(timeout)
        if ended and self._error is not None:
            self._told = True
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
            if self._thread.ident is None:  # for want of threads: there is nothing to wait for
                self._ended.set()

    def _write(self, packed: archive.Packed | None) -> None:
        try:
            if packed is not None:  # else another rank writes
                atomic_file.write_whole(self.path, partial(archive.write, packed))
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits
            traceback.clear_frames(error.__traceback__)
            self._error = error
        finally:
            del packed  # an error would go on holding it, as it does the frames above
            self._ended.set()

    def _raise_untold(self) -> None:
        """Wait to the end, and raise what nobody has been told of."""
        if self._thread.ident is None and not self._ended.is_set():  # a signal's handler is early
            raise BlockingIOError(
                errno.EWOULDBLOCK,
                "another save to the same path is being begun; wait until it is done",
                self.path,
            )
        self._ended.wait()
        if self._error is not None and not self._told:
            self._told = True
            raise self._error

    def _require_own(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                f"the save to {self.path!r} was begun by another process, which this one was forked "
                "from; wait for it there"
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
        ``wait()`` returns when the file is on the disk, or raises what went wrong.

    Raises
    ------
    TypeError, ValueError
        As `save` does, before anything is begun.
    OSError
        What an earlier save in the background failed with, if nobody waited for that one. This save
        has not been begun then.

    Notes
    -----
    All is copied when this returns: steps that follow do not change what is written. That takes as
    much memory as the file has bytes. A save that follows waits for the one before, wherever that
    writes to, and `save` to the same path waits, too. The interpreter waits at its end, and writes
    to stderr what has failed if nobody has waited for it: its exit code does not say so, therefore
    wait for the last one yourself.

    Of several ranks, as in `save`, only rank 0 writes: what it fails with is raised there alone.

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
    global _latest
    with _turn:
        with together(parts, "save"):  # what one rank may meet alone
            require_names(parts)
            if _latest is not None:
                _latest._raise_untold()
        # The folder one is in may change until it is written.
        place = os.path.abspath(atomic_file.text(path)) if atomic_file.text(path) else ""
        require_names_alike(parts)
        with together(parts, "save"):
            packed = pack(parts, copied=True)
        saving = BackgroundSave(place, packed)
        del packed
        _latest = saving
        # Before the start, or this older one would overwrite what a save in between has written.
        atomic_file.announce(place, saving._raise_untold)
        saving._start()
    return saving


def _tell_at_exit() -> None:
    """Say what nobody has been told of, when all threads have ended."""
    latest = _latest
    if latest is None or latest._error is None or latest._told or sys.stderr is None:
        return
    error = latest._error
    with contextlib.suppress(OSError, ValueError):  # it is closed
        print(
            f"gradstep: the save in the background to {latest.path!r} has failed, and nobody has "
            f"waited for it: {type(error).__name__}: {error}",
            file=sys.stderr,
        )


atexit.register(_tell_at_exit)


def _forget() -> None:
    """Begin anew in a forked child, which has neither the thread nor whoever held the lock."""
    global _turn, _latest
    _turn, _latest = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
