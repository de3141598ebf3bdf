"""How buckets travel between ranks: gradients are reduced and scattered, parameters gathered.

Each rank receives the sum of its part of the gradients. After the step of this part, it sends the
parameters to all ranks. A bucket that is one run of one dense array is sent and received in place.
Others are packed into one of a few buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradstep._typing import Array
from gradstep.distributed.agreement import Communicator
from gradstep.distributed.mpi import mpi
from gradstep.distributed.partition import Bucket
from gradstep.distributed.ravel import RaveledArray, WeightedArray


class Transfer(NamedTuple):
    """A bucket under way, and what to do when it has arrived."""

    request: Any
    unpack: Callable[[], None]


def _nothing() -> None:
    pass


class Collectives:
    """Reduces and gathers buckets, a few of them at a time.

    Parameters
    ----------
    comm : Communicator
        The ranks.
    limit : int
        Bytes of the largest bucket.
    slots : int
        How many buckets may be under way each way.
    deterministic : bool
        Whether each rank adds up its part itself, in the order of the ranks, or MPI does.
    """

    def __init__(self, comm: Communicator, limit: int, slots: int, deterministic: bool) -> None:
        self.slots = slots
        self._limit = limit
        self._comm = comm
        self.deterministic = deterministic
        alone = comm.size == 1
        self._send_buffers = _buffers(0 if alone else limit, slots)
        self._gather_buffers = _buffers(0 if alone else limit, slots)
        part = limit // comm.size + 16
        self._row_buffers = _buffers(part * comm.size if deterministic and not alone else 0, slots)
        self._output_buffers = _buffers(0 if alone else part, slots)

    def grown(self, limit: int, slots: int) -> Collectives:
        """Return this, or one with larger buffers if buckets of `limit` bytes need them."""
        if limit <= self._limit and slots <= self.slots:
            return self
        return Collectives(self._comm, limit, slots, self.deterministic)

    def output(self, slot: int, bucket: Bucket) -> Array:
        """Return a buffer for this rank's part of a bucket."""
        return _as(self._output_buffers[slot], bucket.dtype, bucket.counts[self._comm.rank])

    def reduce_scatter(
        self,
        slot: int,
        bucket: Bucket,
        sources: Sequence[RaveledArray | WeightedArray],
        out: Array,
    ) -> Transfer:
        """Begin to add up a bucket over all ranks; this rank's part goes into `out`."""
        packed = self._pack(self._send_buffers[slot], bucket, sources)
        mpi_comm, kind = self._comm.mpi_comm, _mpi_type(bucket.dtype)
        if not self.deterministic:
            request = mpi_comm.Ireduce_scatter([packed, kind], [out, kind], bucket.counts)
            return Transfer(request, _nothing)
        size, count = self._comm.size, out.size
        rows = _as(self._row_buffers[slot], bucket.dtype, size * count).reshape(size, count)
        request = mpi_comm.Ialltoallv(
            [packed, bucket.counts, bucket.bounds[:-1], kind],
            [rows, [count] * size, [count * i for i in range(size)], kind],
        )

        def add_up() -> None:
            out[:] = rows[0]
            with np.errstate(all="ignore"):  # the step itself looks for what is not finite
                for row in rows[1:]:
                    np.add(out, row, out=out)

        return Transfer(request, add_up)

    def gather(
        self,
        slot: int,
        bucket: Bucket,
        own: Sequence[Array],
        targets: Sequence[RaveledArray | None],
        root: int | None = None,
    ) -> Transfer:
        """Begin to fill a bucket of `targets` from all ranks: on all of them, or only at `root`.

        `own` is this rank's part, piece by piece. Only a rank that receives needs targets.
        """
        comm = self._comm
        receives = root is None or root == comm.rank
        first, last = bucket.bounds[comm.rank], bucket.bounds[comm.rank + 1]
        target = targets[bucket.pieces[0].parameter]
        view = None
        if receives and len(bucket.pieces) == 1 and target is not None and target.dense is not None:
            view = target.dense[bucket.pieces[0].start : bucket.pieces[0].stop]
        buffer = _as(self._gather_buffers[slot], bucket.dtype, bucket.size)
        values = buffer if view is None else view
        at = first
        for piece in own:
            place = values[at : at + piece.size]
            if not np.may_share_memory(place, piece):  # else it is there already
                place[:] = piece
            at += piece.size

        def unpack() -> None:
            for offset, piece in bucket.all_pieces():
                target = targets[piece.parameter]
                assert target is not None
                run = buffer[offset : offset + piece.stop - piece.start]
                target.write(piece.start, piece.stop, run)

        then = unpack if receives and view is None else _nothing
        kind = _mpi_type(bucket.dtype)
        places = [values, bucket.counts, bucket.bounds[:-1], kind]
        if root is None:
            return Transfer(comm.mpi_comm.Iallgatherv(mpi().IN_PLACE, places), then)
        if receives:
            return Transfer(comm.mpi_comm.Igatherv(mpi().IN_PLACE, places, root), then)
        return Transfer(comm.mpi_comm.Igatherv([values[first:last], kind], None, root), then)

    def finish(self, transfer: Transfer) -> None:
        """Wait until a bucket has arrived, and unpack it."""
        self._comm.wait(transfer.request)
        transfer.unpack()

    def _pack(
        self, buffer: Array, bucket: Bucket, sources: Sequence[RaveledArray | WeightedArray]
    ) -> Array:
        if len(bucket.pieces) == 1:
            parameter, start, stop = bucket.pieces[0]
            return sources[parameter].read(start, stop)
        packed = _as(buffer, bucket.dtype, bucket.size)
        for offset, (parameter, start, stop) in bucket.all_pieces():
            packed[offset : offset + stop - start] = sources[parameter].read(start, stop)
        return packed


def _buffers(size: int, slots: int) -> list[Array]:
    return [np.empty(size, np.uint8) for _ in range(slots)]


def _as(buffer: Array, dtype: np.dtype[Any], count: int) -> Array:
    return buffer[: count * dtype.itemsize].view(dtype)


def _mpi_type(dtype: np.dtype[Any]) -> Any:
    return mpi().FLOAT if dtype == np.float32 else mpi().DOUBLE
