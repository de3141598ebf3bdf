"""The ranks of a communicator: what they agree on, and how they wait for each other.

A failure of one rank must not leave the others waiting. So every collective call begins with an
agreement: if a rank says that it cannot take part, all ranks raise. Any other exception in a
collective call stops the job, as it would leave the ranks in different states.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import gradstep.distributed.shutdown as shutdown
import gradstep.distributed.watchdog as watchdog
from gradstep.distributed.mpi import mpi

# The collective calls. Ranks compare their positions here.
_CALLS = (
    "making a Sharded", "step", "state_dict", "sync", "check_synced", "averaged", "average",
    "add_group", "load", "save",
)  # fmt: skip
# What ranks compare, the error where it differs, and the fix.
_COMPARED = {
    "optimizer": (
        "all ranks must call the same optimizer",
        "they are numbered in the order in which they were made",
    ),
    "t": ("t must be the same on all ranks", "load the same state on all"),
    "scale": (
        "scale must be the same on all ranks",
        "if each rank has its own scale, multiply its gradients before the step",
    ),
    "hyperparameters": (
        "hyperparameters and options of a step must be the same on all ranks",
        "assign them on all ranks, and let schedules return the same on all",
    ),
    "has_count": ("count must be given on all ranks or on none", "give it on all"),
}
# A waiting rank polls its requests. After this many polls, about a tenth of a millisecond, it
# sleeps in between. Whenever this many have passed, it checks whether the previous rank has exited.
_POLLS = 256
_NAP = 5e-5  # seconds
_yield: Callable[[], object] = getattr(os, "sched_yield", lambda: time.sleep(0))
# An attribute of exceptions that all ranks raise by agreement: the communicator and the call.
_MARK = "_gradstep_agreed"


class Checksum(NamedTuple):
    """A number that stands for named values, which are compared only if the number differs."""

    number: int
    values: Callable[[], dict[str, Any]]


class Agreement:
    """What a rank contributes to an agreement, and what it learns from the others."""

    def __init__(self, equal: dict[str, float | Checksum]) -> None:
        self.equal = equal  # must be the same on all ranks
        self.count = 0  # of this rank
        self.total = 0  # the sum of the counts of all ranks


class Communicator:
    """The ranks of one communicator; `Communicator.of` makes them.

    All methods are called by every rank, in the same order.
    """

    @classmethod
    def of(cls, comm: Any = None) -> Communicator:
        """Return the ranks of a communicator of mpi4py's, all ranks of the job by default."""
        MPI = mpi()
        if comm is None:
            comm = MPI.COMM_WORLD
        if comm == MPI.COMM_NULL:
            raise TypeError("comm must be a communicator that this rank is in, got COMM_NULL")
        if not isinstance(comm, MPI.Intracomm):
            raise TypeError(
                f"comm must be an intracommunicator of mpi4py, got {type(comm).__name__}"
            )
        # Stored as an attribute of the caller's communicator, and never freed: MPI allows only so
        # many duplicates, and freeing one is collective, which a garbage collector cannot ensure.
        known: Communicator | None = comm.Get_attr(_keyval())
        if known is None:
            if comm.Get_size() > 1:
                shutdown.install_hooks()
            known = cls(shutdown.duplicate(comm))
            comm.Set_attr(_keyval(), known)
        return known

    def __init__(self, mpi_comm: Any) -> None:
        self._mpi = mpi()
        self.mpi_comm = mpi_comm
        self.rank: int = mpi_comm.Get_rank()
        self.size: int = mpi_comm.Get_size()
        self.optimizers = 0  # made so far
        self._process = os.getpid()
        self._lock = threading.RLock()
        if self.size > 1:
            self._exit_notice = shutdown.ExitNotice(mpi_comm)
            if self.size == self._mpi.COMM_WORLD.Get_size():
                watchdog.connect(mpi_comm)

    @contextlib.contextmanager
    def collective(self, name: str, *, must_succeed: bool = False) -> Iterator[None]:
        """Make a collective call: an exception inside stops the job, unless all ranks agreed on it.

        With `must_succeed`, one that they agreed on stops it as well.
        """
        if self.size == 1:
            yield
            return
        if os.getpid() != self._process:
            raise RuntimeError(
                f"{name}: a forked process is not a rank, so it cannot take part in a collective "
                "call"
            )
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                f"{name}: another thread of this rank is in a collective call; make one call at a "
                "time, in the same order on all ranks"
            )
        begun = self._exit_notice.calls
        try:
            yield
        except BaseException as error:
            if must_succeed or not self._is_agreed(error, begun):
                shutdown.abort(f"failed during {name}: {shutdown.describe(error)}")
            raise
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def agreement(self, name: str, **equal: float | Checksum) -> Iterator[Agreement]:
        """Inside, a rank may fail alone; at the end all ranks agree that none has, or all raise.

        What must be the same on all ranks may also be added to the yielded object, and a count.
        """
        begun = self._exit_notice.calls if self.size > 1 else 0
        failure: BaseException | None = None
        agreement = Agreement(equal)
        try:
            yield agreement
        except BaseException as error:
            if self.size == 1 or self._is_agreed(error, begun):
                raise  # by an agreement within this one, on all ranks
            failure = error
        agreement.total = self.agree(name, failure, agreement.count, **equal)

    def agree(
        self,
        name: str,
        error: BaseException | None = None,
        count: int = 0,
        **equal: float | Checksum,
    ) -> int:
        """Return if no rank has an error, and all make the same call with the same values.

        Returns the sum of all ranks' counts.

        Raises
        ------
        BaseException
            `error`, if there is one.
        RuntimeError
            If another rank has an error, makes another call, or has another value.
        """
        if self.size == 1:
            if error is not None:
                raise error
            return count
        self._exit_notice.calls += 1
        code = _CALLS.index(name)
        # A rank with an error compares nothing, as its values may not even be numbers.
        given = [code, *(_bits(equal.get(key, 0.0)) if error is None else 0 for key in _COMPARED)]
        given.append(count)
        failing = 0 if error is None else self.size - self.rank
        # One maximum gives both bounds: the largest of ~x belongs to the smallest x.
        mine = np.array([failing, *given, *(~bits for bits in given)], "i8")
        largest = np.empty_like(mine)
        self.wait(self.mpi_comm.Iallreduce(mine, largest, op=self._mpi.MAX))
        failed, *both = (int(bits) for bits in largest)
        highest, lowest = both[: len(given)], [~bits for bits in both[len(given) :]]
        if failed:
            rank = self.size - failed
            reason = self.broadcast(None if error is None else shutdown.describe(error), rank)
            text = (
                f"rank {rank} of {self.size} cannot take part in {name}, so no rank does: {reason}"
            )
        elif highest[0] != lowest[0]:
            other = _CALLS[lowest[0] if highest[0] == code else highest[0]]
            text = f"all ranks must make the same call, got {name} here and {other} elsewhere"
        else:
            different = [
                key
                for key, one, other in zip(_COMPARED, highest[1:-1], lowest[1:-1], strict=True)
                if one != other
            ]
            if not different:
                return self._total(count, lowest[-1], highest[-1])
            rule, fix = _COMPARED[different[0]]
            text = f"{rule}: {self._difference(equal.get(different[0]))}; {fix}"
        raise self.mark_agreed(RuntimeError(text) if error is None else error)

    def require_equal(self, name: str, values: Mapping[str, str]) -> None:
        """Raise ValueError if a value differs from that of rank 0; values are texts by name."""
        first = self.broadcast(dict(values), 0)
        with self.agreement(name):
            for key in {**first, **values}:
                there, here = first.get(key, "none"), values.get(key, "none")
                if here != there:
                    raise ValueError(
                        f"{key} must be the same on all ranks: {there} on rank 0, {here} on rank "
                        f"{self.rank}"
                    )

    def _total(self, count: int, lowest: int, highest: int) -> int:
        """Return the sum of all ranks' counts; equal counts need no message."""
        if lowest == highest:
            return count * self.size
        total = np.array([count], "i8")
        self.wait(self.mpi_comm.Iallreduce(self._mpi.IN_PLACE, total, op=self._mpi.SUM))
        return int(total[0])

    def _difference(self, mine: float | Checksum | None) -> str:
        """Return how a value differs between the ranks, as text."""
        if not isinstance(mine, Checksum):
            return f"got {mine} here"
        first, *others = self.allgather(mine.values())
        return "; ".join(
            f"{name} is {first.get(name)} on rank 0, {other.get(name)} on rank {rank}"
            for rank, other in enumerate(others, 1)
            for name in {**first, **other}
            if first.get(name) != other.get(name)
        )

    def mark_agreed(self, error: BaseException) -> BaseException:
        """Mark an exception as one that all ranks raise in this call, and return it."""
        with contextlib.suppress(AttributeError, TypeError):
            setattr(error, _MARK, (self, self._exit_notice.calls))
        return error

    def _is_agreed(self, error: BaseException, begun: int) -> bool:
        comm, call = getattr(error, _MARK, (None, 0))
        return comm is self and call > begun

    def broadcast(self, value: Any, root: int) -> Any:
        """Return the value of `root`, which can be pickled."""
        if self.size == 1:
            return value
        pickled = np.frombuffer(pickle.dumps(value), np.uint8)
        length = np.array([pickled.size], "i8")
        self.wait(self.mpi_comm.Ibcast(length, root))
        data = pickled.copy() if self.rank == root else np.empty(length[0], np.uint8)
        self.wait(self.mpi_comm.Ibcast(data, root))
        return pickle.loads(data.tobytes())

    def allgather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in the order of the ranks."""
        if self.size == 1:
            return [value]
        pickled = np.frombuffer(pickle.dumps(value), np.uint8)
        lengths = np.empty(self.size, "i8")
        self.wait(self.mpi_comm.Iallgather(np.array([pickled.size], "i8"), lengths))
        ends = np.cumsum(lengths)
        data = np.empty(ends[-1], np.uint8)
        starts = ends - lengths
        received = [data, lengths.tolist(), starts.tolist(), self._mpi.BYTE]
        self.wait(self.mpi_comm.Iallgatherv(pickled, received))
        return [
            pickle.loads(data[start:end].tobytes()) for start, end in zip(starts, ends, strict=True)
        ]

    def wait(self, *requests: Any) -> None:
        """Wait for requests.

        Polling is what moves messages on. Between polls the processor goes to others, at first for
        a moment and then for longer, as there may be more ranks than cores.
        """
        polls = 0
        while not self._mpi.Request.Testall(requests):
            polls += 1
            if polls % _POLLS == 0:
                self._exit_notice.check()
            if polls < _POLLS:
                _yield()
            else:
                time.sleep(_NAP)

    def poll_until(self, requests: Sequence[Any], done: Callable[[], bool]) -> None:
        """Move messages on until something else is done, whether or not they have arrived."""
        while not done():
            self.poll(requests)
            _yield()

    def poll(self, requests: Sequence[Any]) -> None:
        """Move messages on."""
        if requests:
            self._mpi.Request.Testall(requests)


def _bits(number: float | Checksum) -> int:
    return number.number if isinstance(number, Checksum) else int(np.float64(number).view("i8"))


_keyvals: list[int] = []


def _keyval() -> int:
    if not _keyvals:
        _keyvals.append(mpi().Comm.Create_keyval())
    return _keyvals[0]
