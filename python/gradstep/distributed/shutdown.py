"""How a job ends: all ranks where one cannot go on, and a goodbye of each that has come to its end."""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np

import gradstep.distributed.watchdog as watcher
from gradstep.distributed.mpi import mpi

_GONE = 1  # the tag of what a rank says last
_READING = 0.5  # seconds that the launcher has for the last words of a rank
# What a rank leaves with the launcher that ends before it has met the others: there it disturbs nobody
# whose messages it knows nothing of.
_ENDED_ALONE = "gradstep-rank-{}-has-ended"  # without blanks, at which launchers cut
_LOOKS = 0.25  # seconds between looks at it

_process = 0  # which one has the hook: a forked child is no rank
_goodbyes: list[Goodbye] = []


def end(message: str) -> None:
    """End all ranks, with a message that begins with this rank's name."""
    try:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        watcher.leave(job_ends=True)
        world = mpi().COMM_WORLD
        name = f"rank {world.Get_rank()} of {world.Get_size()}"
        place = f"process {os.getpid()} on {socket.gethostname()}"
        with contextlib.suppress(OSError):
            os.write(2, f"gradstep: {name} {message} ({place}); all ranks are ended\n".encode())
        # The launcher passes on what it has read by then, and loses the rest.
        time.sleep(_READING)
    finally:  # also where somebody interrupts the wait
        mpi().COMM_WORLD.Abort(1)
        os._exit(1)  # where that returns


def told(error: BaseException) -> str:
    """Return what to say of an exception; its text is the user's code, which may fail in turn."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - the first one counts
        return type(error).__name__


def watch() -> None:
    """End the job where this process raises to its end, and say goodbye where it ends well; once."""
    global _process
    if _process == os.getpid():
        return
    _process = os.getpid()
    previous = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        previous(kind, error, traceback)
        if _is_one_of_several():
            end(f"has raised {told(error)}")

    sys.excepthook = hook
    atexit.register(_leave)


def _is_one_of_several() -> bool:
    MPI = sys.modules.get("mpi4py.MPI")  # not to be started for this
    return (
        MPI is not None
        and os.getpid() == _process
        and MPI.Is_initialized()
        and not MPI.Is_finalized()
        and MPI.COMM_WORLD.Get_size() > 1
    )


class Goodbye:
    """What the ranks of a communicator tell each other at their end: how many acts they took part in.

    Each tells the next one. Who waits in a later act than the one before has known waits in vain.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        rank, size = comm.Get_rank(), comm.Get_size()
        self.ranks = size
        self._behind, self._before = (rank + 1) % size, (rank - 1) % size
        self._left: int | None = None
        self.acts = 0  # begun by now
        _goodbyes.append(self)

    def look(self) -> None:
        """End the job where the rank before has ended, and nothing can come of the act under way."""
        if self._left is None and self._comm.Iprobe(source=self._before, tag=_GONE):
            said = np.empty(1, "i8")
            self._comm.Recv(said, self._before, _GONE)
            self._left = int(said[0])
        # It may have ended where all that it had to do for this act was done.
        if self._left is not None and self._left < self.acts:
            end(f"waits for rank {_of_job(self._comm)[self._before]}, which has ended")

    def say(self) -> list[Any]:
        """Begin to say it to the rank behind, and to hear it from the one before."""
        requests = [self._comm.Isend(np.array([self.acts], "i8"), self._behind, _GONE)]
        if self._left is None:
            requests.append(self._comm.Irecv(np.empty(1, "i8"), self._before, _GONE))
        return requests


def meet(comm: Any) -> Any:
    """Return a duplicate of a communicator, made by all of its ranks; end the job where one never comes."""
    duplicate, request = comm.Idup()
    looked = time.monotonic()
    while not request.Test():
        time.sleep(1e-4)
        if time.monotonic() - looked > _LOOKS:
            gone = _ended_alone(comm)
            if gone is not None:
                end(f"waits for rank {gone}, which has ended")
            looked = time.monotonic()
    return duplicate


def _ended_alone(comm: Any) -> int | None:
    """Return which rank of the job has said so, of those of a communicator."""
    for rank in _of_job(comm):
        with _forgiving():  # of others there is no such name
            mpi().Lookup_name(_ENDED_ALONE.format(rank))
            return rank
    return None


def _of_job(comm: Any) -> list[int]:
    """Return which ranks of the job the ranks of a communicator are."""
    world = mpi().COMM_WORLD.Get_group()
    return [*comm.Get_group().Translate_ranks([*range(comm.Get_size())], world)]


@contextlib.contextmanager
def _forgiving() -> Iterator[None]:
    """Inside, an error of MPI's ends no job, whatever the user made of errors, and is not passed on."""
    comms = mpi().COMM_WORLD, mpi().COMM_SELF
    before = [comm.Get_errhandler() for comm in comms]
    for comm in comms:
        comm.Set_errhandler(mpi().ERRORS_RETURN)
    try:
        with contextlib.suppress(Exception):
            yield
    finally:
        for comm, handler in zip(comms, before, strict=True):
            comm.Set_errhandler(handler)
            handler.Free()


def _leave() -> None:
    """Tell the ranks behind that this one ends, and wait until those before do."""
    if os.getpid() != _process:
        return
    watcher.leave()
    if not _is_one_of_several():
        return
    world = mpi().COMM_WORLD
    if all(goodbye.ranks < world.Get_size() for goodbye in _goodbyes):
        with _forgiving():  # not all launchers can
            mpi().Publish_name(_ENDED_ALONE.format(world.Get_rank()), "ended")
    # To all before any is waited for: who waits here for one may wait for this rank elsewhere.
    requests = [request for goodbye in _goodbyes for request in goodbye.say()]
    # Under `python -m mpi4py`, which behind this ends the job where the script has left by an error.
    aborts = "mpi4py.run" in sys.modules
    while not (mpi().Request.Testall(requests) or aborts):
        time.sleep(0.001)
    watcher.end()
