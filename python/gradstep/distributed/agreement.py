"""The processes that step together: what they agree on, and waiting for it.

Nothing that one rank meets alone may leave the others waiting. So every act of all ranks begins with
an agreement, in which a rank that cannot go on says so, and all raise. Whatever else is raised in an
act ends the job, as ranks would be left in different states.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import gradstep.distributed.shutdown as ending
import gradstep.distributed.watchdog as watcher
from gradstep.distributed.mpi import mpi

# What ranks may be about to do together, by number.
_ACTS = (
    "making a Sharded", "step", "state_dict", "sync", "check_synced", "averaged", "average",
    "add_group", "load", "save",
)  # fmt: skip
# What has to be the same for it, and what to do where it is not.
_ALIKE = {
    "optimizer": "all ranks must call the same optimizer, of those that they have made",
    "t": "ranks have taken different numbers of steps: load the same state on all",
    "scale": (
        "scale must be the same on all ranks: where each has another one, multiply its gradients "
        "before the step"
    ),
    "hyperparameters": (
        "hyperparameters, or options of a step, are not the same on all ranks: what is assigned has "
        "to be assigned on all, and a schedule has to say the same on all"
    ),
    "counted": "count must be given on all ranks, or on none",
}
# How many looks at a request pass between looks whether the rank before has gone; behind the first
# of these, about a tenth of a millisecond, looks are rarer.
_OFTEN = 256
_NAP = 5e-5  # seconds
_pause: Callable[[], object] = getattr(os, "sched_yield", lambda: time.sleep(0))
# On an exception: by agreement of which ranks all of them raise, and in which of their acts.
_MARK = "_gradstep_agreed"


class Summed(NamedTuple):
    """A number that stands for named values, which are looked at only where it differs."""

    number: int
    values: Callable[[], dict[str, Any]]


class Agreement:
    """What a rank brings to an agreement, and what it learns there."""

    def __init__(self, alike: dict[str, float | Summed]) -> None:
        self.alike = alike  # must be the same on all ranks
        self.count = 0  # each rank has its own
        self.total = 0  # of the counts of all ranks


class Ranks:
    """The ranks of one communicator; `Ranks.of` makes them.

    All methods are called by every rank, in the same order.
    """

    @classmethod
    def of(cls, comm: Any = None) -> Ranks:
        """Return the ranks of a communicator of mpi4py's, all of the job's by default."""
        MPI = mpi()
        if comm is None:
            comm = MPI.COMM_WORLD
        if comm == MPI.COMM_NULL:
            raise TypeError("comm must be a communicator that this rank is in, got COMM_NULL")
        if not isinstance(comm, MPI.Intracomm):
            raise TypeError(
                f"comm must be an intracommunicator of mpi4py, got {type(comm).__name__}"
            )
        # Kept with the communicator: there are only so many duplicates, and freeing one is an act
        # of all ranks, which a collector of garbage cannot be trusted with.
        known: Ranks | None = comm.Get_attr(_keyval())
        if known is None:
            if comm.Get_size() > 1:
                ending.watch()
            known = cls(ending.meet(comm))
            comm.Set_attr(_keyval(), known)
        return known

    def __init__(self, comm: Any) -> None:
        self._mpi = mpi()
        self.comm = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self.made = 0  # optimizers
        self._process = os.getpid()
        self._turn = threading.RLock()
        if self.size > 1:
            self._goodbye = ending.Goodbye(comm)
            if self.size == self._mpi.COMM_WORLD.Get_size():
                watcher.connect(comm)

    @contextlib.contextmanager
    def act(self, name: str, *, must_end: bool = False) -> Iterator[None]:
        """Do what all ranks take part in: what is raised inside, and not by agreement, ends the job.

        With `must_end`, whatever is raised does.
        """
        if self.size == 1:
            yield
            return
        if os.getpid() != self._process:
            raise RuntimeError(
                f"{name}: a forked process is no rank, and cannot take part in what all ranks do"
            )
        if not self._turn.acquire(blocking=False):
            raise RuntimeError(
                f"{name}: another thread of this rank is in the midst of an act of all ranks; take "
                "turns, in the same order on all"
            )
        begun = self._goodbye.acts
        try:
            yield
        except BaseException as error:
            if must_end or not self._is_agreed(error, begun):
                ending.end(f"was in the midst of {name}: {ending.told(error)}")
            raise
        finally:
            self._turn.release()

    @contextlib.contextmanager
    def agreed(self, name: str, **alike: float | Summed) -> Iterator[Agreement]:
        """Inside, a rank may fail alone; at the end all agree that none has, or all raise.

        What must be alike, and a count, may be added to what is yielded.
        """
        begun = self._goodbye.acts if self.size > 1 else 0
        failed: BaseException | None = None
        agreement = Agreement(alike)
        try:
            yield agreement
        except BaseException as error:
            if self.size == 1 or self._is_agreed(error, begun):
                raise  # by an agreement within this one, on all ranks
            failed = error
        agreement.total = self.agree(name, failed, agreement.count, **alike)

    def agree(
        self,
        name: str,
        error: BaseException | None = None,
        count: int = 0,
        **alike: float | Summed,
    ) -> int:
        """Go on where every rank can, is about to do the same, and all that is given is `alike`.

        Returns the sum of all ranks' counts.

        Raises
        ------
        BaseException
            `error`, if there is any.
        RuntimeError
            Where another rank has one, does something else, or is given something else.
        """
        if self.size == 1:
            if error is not None:
                raise error
            return count
        self._goodbye.acts += 1
        code = _ACTS.index(name)
        # Of who fails nothing is compared, and what it was given may be no number.
        given = [code, *(_bits(alike.get(key, 0.0)) if error is None else 0 for key in _ALIKE)]
        given.append(count)
        failing = 0 if error is None else self.size - self.rank
        mine = np.array([failing, *given, *(~bits for bits in given)], "i8")
        most = np.empty_like(mine)
        self.wait(self.comm.Iallreduce(mine, most, op=self._mpi.MAX))
        failed, *both = (int(bits) for bits in most)
        highest, lowest = both[: len(given)], [~bits for bits in both[len(given) :]]
        if failed:
            rank = self.size - failed
            said = self.told(None if error is None else ending.told(error), rank)
            text = f"rank {rank} of {self.size} cannot take part in {name}, so no rank does: {said}"
        elif highest[0] != lowest[0]:
            other = _ACTS[lowest[0] if highest[0] == code else highest[0]]
            text = f"all ranks must call the same; here it is {name}, elsewhere {other}"
        else:
            different = [
                key
                for key, one, other in zip(_ALIKE, highest[1:-1], lowest[1:-1], strict=True)
                if one != other
            ]
            if not different:
                return self._total(count, lowest[-1], highest[-1])
            text = f"{_ALIKE[different[0]]}; {self._told_apart(alike.get(different[0]))}"
        raise self.marked(RuntimeError(text) if error is None else error)

    def _total(self, count: int, least: int, most: int) -> int:
        """Return the sum of all ranks' counts; only where these differ does anything travel."""
        if least == most:
            return count * self.size
        total = np.array([count], "i8")
        self.wait(self.comm.Iallreduce(self._mpi.IN_PLACE, total, op=self._mpi.SUM))
        return int(total[0])

    def _told_apart(self, mine: float | Summed | None) -> str:
        """Return how what all should have been given alike differs."""
        if not isinstance(mine, Summed):
            return f"here it is {mine}"
        first, *others = self.told_by_all(mine.values())
        return "; ".join(
            f"{name} is {first.get(name)} on rank 0, {other.get(name)} on rank {rank}"
            for rank, other in enumerate(others, 1)
            for name in {**first, **other}
            if first.get(name) != other.get(name)
        )

    def marked(self, error: BaseException) -> BaseException:
        """Return an exception that all ranks raise now."""
        with contextlib.suppress(AttributeError, TypeError):
            setattr(error, _MARK, (self, self._goodbye.acts))
        return error

    def _is_agreed(self, error: BaseException, begun: int) -> bool:
        ranks, act = getattr(error, _MARK, (None, 0))
        return ranks is self and act > begun

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
                self._goodbye.look()
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


def _bits(number: float | Summed) -> int:
    return number.number if isinstance(number, Summed) else int(np.float64(number).view("i8"))


_keyvals: list[int] = []


def _keyval() -> int:
    if not _keyvals:
        _keyvals.append(mpi().Comm.Create_keyval())
    return _keyvals[0]
