"""The way of buckets between ranks: gradients are reduced, and parameters gathered.

Gradients are added up at the rank that steps them, and what it has stepped goes to all. A bucket that
is one run of one dense array travels from its place and to its place. Others are copied together
first, into one of a few slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradstep._typing import Array
from gradstep.distributed.agreement import Ranks
from gradstep.distributed.mpi import mpi
from gradstep.distributed.partition import Bucket
from gradstep.distributed.ravel import Flat, Weighted


class Pending(NamedTuple):
    """What is under way, and what is to be done when it is there."""

    request: Any
    finish: Callable[[], None]


def _nothing() -> None:
    pass


class Exchange:
    """Reduces and gathers buckets, a few of them at a time.

    Parameters
    ----------
    ranks : Ranks
        Whose buckets these are.
    most : int
        Bytes of the largest bucket.
    slots : int
        How many may be under way each way.
    deterministic : bool
        Whether sums are taken in the order of ranks, by the rank that needs them, or as MPI does.
    """

    def __init__(self, ranks: Ranks, most: int, slots: int, deterministic: bool) -> None:
        self.slots = slots
        self._most = most
        self._ranks = ranks
        self.deterministic = deterministic
        alone = ranks.size == 1
        self._sent = _memory(0 if alone else most, slots)
        self._gathered = _memory(0 if alone else most, slots)
        own = most // ranks.size + 16
        self._received = _memory(own * ranks.size if deterministic and not alone else 0, slots)
        self._reduced = _memory(0 if alone else own, slots)

    def enlarged(self, most: int, slots: int) -> Exchange:
        """Return one for buckets up to so many bytes."""
        if most <= self._most and slots <= self.slots:
            return self
        return Exchange(self._ranks, most, slots, self.deterministic)

    def reduced(self, slot: int, bucket: Bucket) -> Array:
        """Return where this rank's part of a bucket can be reduced to."""
        return _as(self._reduced[slot], bucket.dtype, bucket.counts[self._ranks.rank])

    def reduce(
        self, slot: int, bucket: Bucket, sources: Sequence[Flat | Weighted], out: Array
    ) -> Pending:
        """Begin to add up a bucket of all ranks, each rank's part at that rank, into `out`."""
        sent = self._together(self._sent[slot], bucket, sources)
        comm, kind = self._ranks.comm, _mpi_type(bucket.dtype)
        if not self.deterministic:
            request = comm.Ireduce_scatter([sent, kind], [out, kind], bucket.counts)
            return Pending(request, _nothing)
        size, count = self._ranks.size, out.size
        rows = _as(self._received[slot], bucket.dtype, size * count).reshape(size, count)
        request = comm.Ialltoallv(
            [sent, bucket.counts, bucket.bounds[:-1], kind],
            [rows, [count] * size, [count * i for i in range(size)], kind],
        )

        def add_up() -> None:
            out[:] = rows[0]
            with np.errstate(all="ignore"):  # what is not finite is the step's business
                for row in rows[1:]:
                    np.add(out, row, out=out)

        return Pending(request, add_up)

    def gather(
        self,
        slot: int,
        bucket: Bucket,
        own: Sequence[Array],
        targets: Sequence[Flat | None],
        root: int | None = None,
    ) -> Pending:
        """Begin to fill a bucket of `targets` from all ranks: on all of them, or at `root` alone.

        `own` is this rank's part, piece by piece. Targets are needed where they are filled.
        """
        ranks = self._ranks
        fills = root is None or root == ranks.rank
        first, last = bucket.bounds[ranks.rank], bucket.bounds[ranks.rank + 1]
        place = targets[bucket.pieces[0].parameter]
        window = None
        if fills and len(bucket.pieces) == 1 and place is not None and place.dense is not None:
            window = place.dense[bucket.pieces[0].start : bucket.pieces[0].stop]
        together = _as(self._gathered[slot], bucket.dtype, bucket.size)
        values = together if window is None else window
        at = first
        for piece in own:
            place_of_piece = values[at : at + piece.size]
            if not np.may_share_memory(place_of_piece, piece):  # else it is there already
                place_of_piece[:] = piece
            at += piece.size

        def spread() -> None:
            for offset, piece in bucket.placed():
                target = targets[piece.parameter]
                assert target is not None
                target.write(
                    piece.start, piece.stop, together[offset : offset + piece.stop - piece.start]
                )

        finish = spread if fills and window is None else _nothing
        kind = _mpi_type(bucket.dtype)
        places = [values, bucket.counts, bucket.bounds[:-1], kind]
        if root is None:
            return Pending(ranks.comm.Iallgatherv(mpi().IN_PLACE, places), finish)
        if fills:
            return Pending(ranks.comm.Igatherv(mpi().IN_PLACE, places, root), finish)
        return Pending(ranks.comm.Igatherv([values[first:last], kind], None, root), finish)

    def _together(self, memory: Array, bucket: Bucket, sources: Sequence[Flat | Weighted]) -> Array:
        if len(bucket.pieces) == 1:
            parameter, start, stop = bucket.pieces[0]
            return sources[parameter].read(start, stop)
        together = _as(memory, bucket.dtype, bucket.size)
        for offset, (parameter, start, stop) in bucket.placed():
            together[offset : offset + stop - start] = sources[parameter].read(start, stop)
        return together


def _memory(size: int, slots: int) -> list[Array]:
    return [np.empty(size, np.uint8) for _ in range(slots)]


def _as(memory: Array, dtype: np.dtype[Any], count: int) -> Array:
    return memory[: count * dtype.itemsize].view(dtype)


def _mpi_type(dtype: np.dtype[Any]) -> Any:
    return mpi().FLOAT if dtype == np.float32 else mpi().DOUBLE
