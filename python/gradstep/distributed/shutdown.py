"""How a job ends.

If a rank fails, the whole job stops with a message that names it. If a rank exits normally, it
notifies the next rank, so that no rank waits for it in vain.
"""

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

import gradstep.distributed.watchdog as watchdog
from gradstep.distributed.mpi import mpi

_EXIT_TAG = 1  # the tag of exit notices
_READ_TIME = 0.5  # seconds that the launcher has to read the last output of a rank
# A rank that exits before its first collective call has only the user's communicators, on which a
# message could disturb others. So it publishes this name with the launcher.
_EARLY_EXIT = "gradstep-rank-{}-has-ended"  # without blanks, at which launchers split
_LOOKUP_INTERVAL = 0.25  # seconds between searches for that name

_process = 0  # the process that has the hook: a forked child is not a rank
_notices: list[ExitNotice] = []


def abort(message: str) -> None:
    """Stop all ranks, with a message that begins with this rank's name."""
    try:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        watchdog.disconnect(job_aborts=True)
        world = mpi().COMM_WORLD
        name = f"rank {world.Get_rank()} of {world.Get_size()}"
        place = f"process {os.getpid()} on {socket.gethostname()}"
        with contextlib.suppress(OSError):
            os.write(2, f"gradstep: {name} {message} ({place}); the job stops\n".encode())
        # The launcher passes on what it has read until then, and loses the rest.
        time.sleep(_READ_TIME)
    finally:  # also if an interruption ends the wait
        mpi().COMM_WORLD.Abort(1)
        os._exit(1)  # in case Abort returns


def describe(error: BaseException) -> str:
    """Return the type and the text of an exception; the text is the user's code and may fail."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - the first exception is the one to report
        return type(error).__name__


def install_hooks() -> None:
    """Stop the job if this process ends by an exception, and give notice if it exits; once."""
    global _process
    if _process == os.getpid():
        return
    _process = os.getpid()
    previous = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        previous(kind, error, traceback)
        if _has_peers():
            abort(f"raised {describe(error)}")

    sys.excepthook = hook
    atexit.register(_at_exit)


def _has_peers() -> bool:
    MPI = sys.modules.get("mpi4py.MPI")  # without starting it for this
    return (
        MPI is not None
        and os.getpid() == _process
        and MPI.Is_initialized()
        and not MPI.Is_finalized()
        and MPI.COMM_WORLD.Get_size() > 1
    )


class ExitNotice:
    """Tells the next rank of a communicator, at exit, how many collective calls this rank began.

    The ranks form a ring. A rank waits in vain if it has begun more calls than its predecessor,
    which has exited.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        rank, self.size = comm.Get_rank(), comm.Get_size()
        self._next, self._previous = (rank + 1) % self.size, (rank - 1) % self.size
        self._calls_of_previous: int | None = None  # known once it has exited
        self.calls = 0  # that this rank has begun
        _notices.append(self)

    def check(self) -> None:
        """Stop the job if the previous rank has exited before the call under way."""
        if self._calls_of_previous is None and self._comm.Iprobe(
            source=self._previous, tag=_EXIT_TAG
        ):
            notice = np.empty(1, "i8")
            self._comm.Recv(notice, self._previous, _EXIT_TAG)
            self._calls_of_previous = int(notice[0])
        # A rank may exit as soon as its own share of this call is done.
        if self._calls_of_previous is not None and self._calls_of_previous < self.calls:
            abort(f"waits for rank {_world_ranks(self._comm)[self._previous]}, which has exited")

    def exchange(self) -> list[Any]:
        """Begin to notify the next rank, and to hear from the previous one; return the requests."""
        requests = [self._comm.Isend(np.array([self.calls], "i8"), self._next, _EXIT_TAG)]
        if self._calls_of_previous is None:
            requests.append(self._comm.Irecv(np.empty(1, "i8"), self._previous, _EXIT_TAG))
        return requests


def duplicate(comm: Any) -> Any:
    """Return a duplicate of a communicator; all of its ranks call this.

    If one has exited, the job stops.
    """
    made, request = comm.Idup()
    last_lookup = time.monotonic()
    while not request.Test():
        time.sleep(1e-4)
        if time.monotonic() - last_lookup > _LOOKUP_INTERVAL:
            rank = _find_early_exit(comm)
            if rank is not None:
                abort(f"waits for rank {rank}, which has exited")
            last_lookup = time.monotonic()
    return made


def _find_early_exit(comm: Any) -> int | None:
    """Return a rank of the job that is in a communicator and has published its exit."""
    for rank in _world_ranks(comm):
        with _ignore_mpi_errors():  # the name does not exist while that rank runs
            mpi().Lookup_name(_EARLY_EXIT.format(rank))
            return rank
    return None


def _world_ranks(comm: Any) -> list[int]:
    """Return the number in the whole job of each rank of a communicator."""
    world = mpi().COMM_WORLD.Get_group()
    return [*comm.Get_group().Translate_ranks([*range(comm.Get_size())], world)]


@contextlib.contextmanager
def _ignore_mpi_errors() -> Iterator[None]:
    """Inside, no error of MPI is raised or ends the job, whichever handler the user has set."""
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


def _at_exit() -> None:
    """Notify the next ranks that this one exits, and wait until the previous ones do."""
    if os.getpid() != _process:
        return
    watchdog.disconnect()
    if not _has_peers():
        return
    world = mpi().COMM_WORLD
    if all(notice.size < world.Get_size() for notice in _notices):
        with _ignore_mpi_errors():  # some launchers do not support it
            mpi().Publish_name(_EARLY_EXIT.format(world.Get_rank()), "ended")
    # Notify all before waiting for any: a rank that this one waits for may wait for another notice.
    requests = [request for notice in _notices for request in notice.exchange()]
    # `python -m mpi4py` aborts the job after this, if the script ended by an error.
    aborts = "mpi4py.run" in sys.modules
    while not (mpi().Request.Testall(requests) or aborts):
        time.sleep(0.001)
    watchdog.join()
