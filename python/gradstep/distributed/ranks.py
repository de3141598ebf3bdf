"""The processes that step together: what they agree on, waiting for it, and ending them all.

Nothing that one rank meets alone may leave the others waiting. So every act that all ranks take part
in begins with an agreement, in which a rank that cannot go on says so and all raise; and what ends
one rank otherwise ends the job.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from gradstep.distributed import watcher

# What ranks may be about to do together, by number.
_ACTS = (
    "making a Sharded", "step", "state_dict", "sync", "check_synced", "averaged", "average",
    "add_group", "load", "save",
)  # fmt: skip
_AGREED = "_gradstep_agreed"  # marks what all ranks raise
_GONE = 1  # the tag of what a rank says last
_READING = 0.5  # seconds that the launcher has for the last words of a rank
# How many looks at a request pass between looks whether the rank before has gone; behind the first
# of these, about a tenth of a millisecond, looks are rarer.
_OFTEN = 256
_NAP = 5e-5  # seconds
_pause: Callable[[], object] = getattr(os, "sched_yield", lambda: time.sleep(0))


def mpi() -> Any:
    """Return mpi4py's module, which starts MPI where it has not been started."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter from mpi4py, where it finds no MPI
        raise ImportError(
            "gradstep.distributed needs mpi4py and an MPI runtime: pip install mpi4py mpich "
            f"({error})"
        ) from error
    return MPI


class Ranks:
    """The ranks of one communicator; `Ranks.of` makes them.

    All methods but `end` are called by every rank, in the same order.
    """

    @classmethod
    def of(cls, comm: Any = None) -> Ranks:
        """Return the ranks of a communicator of mpi4py's, all of the job's by default."""
        MPI = mpi()
        if comm is None:
            comm = MPI.COMM_WORLD
        if not isinstance(comm, MPI.Intracomm) or comm == MPI.COMM_NULL:
            raise TypeError(
                f"comm must be an intracommunicator of mpi4py, got {type(comm).__name__}"
            )
        # Kept with the communicator: there are only so many duplicates, and freeing one is an act
        # of all ranks, which a collector of garbage cannot be trusted with.
        known: Ranks | None = comm.Get_attr(_keyval())
        if known is None:
            known = cls(comm.Dup())
            comm.Set_attr(_keyval(), known)
        return known

    def __init__(self, comm: Any) -> None:
        self._mpi = mpi()
        self.comm = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self.acts = 0  # begun by now
        self.left: int | None = None  # of the rank before, when it ended
        if self.size > 1:
            if self.size == self._mpi.COMM_WORLD.Get_size():
                watcher.connect(comm, comm.Split_type(self._mpi.COMM_TYPE_SHARED))
            _end_together()
            _together.append(self)

    def agree(
        self, act: str, t: int = 0, error: BaseException | None = None, scale: float = 1.0
    ) -> None:
        """Go on where every rank can and is about to do the same after as many steps, by one scale.

        Raises
        ------
        BaseException
            `error`, if there is any.
        RuntimeError
            Where another rank has one, or does something else.
        """
        if self.size == 1:
            if error is not None:
                raise error
            return
        self.acts += 1
        code = _ACTS.index(act)
        bits = int(np.float64(scale).view("i8")) if error is None else 0
        failing = 0 if error is None else self.size - self.rank
        mine = np.array([code, t, bits, ~code, ~t, ~bits, failing], "i8")
        most = np.empty_like(mine)
        self.wait(self.comm.Iallreduce(mine, most, op=self._mpi.MAX))
        last, latest, highest = (int(x) for x in most[:3])
        first, earliest, lowest = (~int(x) for x in most[3:6])
        failed = int(most[6])
        text = None
        if failed:
            rank = self.size - failed
            said = self.told(None if error is None else _text(error), rank)
            text = (
                f"rank {rank} of {self.size} cannot take part in {act}, so no rank does and nothing "
                f"has changed: {said}"
            )
        elif last != first:
            other = _ACTS[first if last == code else last]
            text = f"all ranks must call the same; here it is {act}, elsewhere {other}"
        elif latest != earliest:
            text = (
                f"ranks have taken different numbers of steps, from {earliest} to {latest}; here it "
                f"is {t}: load the same state on all"
            )
        elif highest != lowest:
            text = (
                f"scale must be the same on all ranks, here it is {scale}: where each has another one, "
                "multiply its gradients before the step"
            )
        if text is not None:
            error = RuntimeError(text) if error is None else error
            with contextlib.suppress(AttributeError):
                setattr(error, _AGREED, True)
            raise error

    @contextlib.contextmanager
    def agreed(self, act: str, t: int = 0, scale: float = 1.0) -> Iterator[None]:
        """Inside, a rank may fail alone; at the end all agree that none has, or raise."""
        failed: BaseException | None = None
        try:
            yield
        except BaseException as error:
            if getattr(error, _AGREED, False):
                raise  # by an act within this one, on all ranks
            failed = error
        self.agree(act, t, failed, scale)

    def told(self, value: Any, root: int) -> Any:
        """Return what `root` says, any plain value."""
        if self.size == 1:
            return value
        said = np.frombuffer(pickle.dumps(value), np.uint8)
        length = np.array([said.size], "i8")
        self.wait(self.comm.Ibcast(length, root))
        data = said.copy() if self.rank == root else np.empty(length[0], np.uint8)
        self.wait(self.comm.Ibcast(data, root))
        return pickle.loads(data.tobytes())

    def told_by_all(self, value: Any) -> list[Any]:
        """Return what every rank says, in their order."""
        if self.size == 1:
            return [value]
        said = np.frombuffer(pickle.dumps(value), np.uint8)
        lengths = np.empty(self.size, "i8")
        self.wait(self.comm.Iallgather(np.array([said.size], "i8"), lengths))
        ends = np.cumsum(lengths)
        data = np.empty(ends[-1], np.uint8)
        starts = ends - lengths
        self.wait(
            self.comm.Iallgatherv(said, [data, lengths.tolist(), starts.tolist(), self._mpi.BYTE])
        )
        return [
            pickle.loads(data[start:end].tobytes()) for start, end in zip(starts, ends, strict=True)
        ]

    def wait(self, *requests: Any) -> None:
        """Wait for requests.

        Looking again and again is what moves them on. In between others get the processor, and
        all of it where this takes long: ranks may well be more than there are cores.
        """
        looks = 0
        while not self._mpi.Request.Testall(requests):
            looks += 1
            if looks % _OFTEN == 0:
                self._look_for_the_gone()
            if looks < _OFTEN:
                _pause()
            else:
                time.sleep(_NAP)

    def keep_moving(self, requests: Sequence[Any], until: Callable[[], bool]) -> None:
        """Move requests on until something else is done, be they through or not."""
        while not until():
            self.test(requests)
            _pause()

    def test(self, requests: Sequence[Any]) -> None:
        """Move requests on."""
        if requests:
            self._mpi.Request.Testall(requests)

    def _look_for_the_gone(self) -> None:
        before = (self.rank - 1) % self.size
        if self.left is None and self.comm.Iprobe(source=before, tag=_GONE):
            said = np.empty(1, "i8")
            self.comm.Recv(said, before, _GONE)
            self.left = int(said[0])
        # It may have ended where all that it had to do for the act under way was done.
        if self.left is not None and self.left < self.acts:
            self.end(f"rank {before} of {self.size} has ended, and rank {self.rank} waits for it")

    @contextlib.contextmanager
    def no_way_back(self, act: str) -> Iterator[None]:
        """Inside, whatever is raised ends the job: ranks would be left in different states."""
        try:
            yield
        except BaseException as error:
            if self.size == 1:
                raise
            self.end(f"rank {self.rank} of {self.size} was in the midst of {act}: {_text(error)}")

    def end(self, message: str) -> None:
        """End all ranks with a message."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        place = f"process {os.getpid()} on {socket.gethostname()}"
        watcher.leave(job_ends=True)
        with contextlib.suppress(OSError):
            os.write(2, f"gradstep: {message} ({place}); all ranks are ended\n".encode())
        # The launcher passes on what it has read by then, and loses the rest.
        time.sleep(_READING)
        self._mpi.COMM_WORLD.Abort(1)
        os._exit(1)  # where that returns


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


_keyvals: list[int] = []
_together: list[Ranks] = []


def _keyval() -> int:
    if not _keyvals:
        _keyvals.append(mpi().Comm.Create_keyval())
    return _keyvals[0]


def _end_together() -> None:
    """Once: end the job where this process raises to the end, and say goodbye where it ends."""
    if _together:
        return
    previous = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        previous(kind, error, traceback)
        ranks = _together[0]
        ranks.end(f"rank {ranks.rank} of {ranks.size} has raised {_text(error)}")

    sys.excepthook = hook
    atexit.register(_leave)


def _leave() -> None:
    """Tell the ranks behind that this one ends, and wait until those before do."""
    if mpi().Is_finalized():
        return
    watcher.leave()
    requests = []
    # To all before any is waited for: who waits here for one may wait for this rank elsewhere.
    for ranks in _together:
        behind, before = (ranks.rank + 1) % ranks.size, (ranks.rank - 1) % ranks.size
        requests.append(ranks.comm.Isend(np.array([ranks.acts], "i8"), behind, _GONE))
        if ranks.left is None:
            requests.append(ranks.comm.Irecv(np.empty(1, "i8"), before, _GONE))
    while not mpi().Request.Testall(requests):
        time.sleep(0.001)
    watcher.end()
