"""The shard of this rank: one array for each piece of its parts of the buckets."""

from __future__ import annotations

from collections.abc import Sequence

from gradstep._typing import Array
from gradstep.distributed.agreement import Communicator
from gradstep.distributed.model import Model
from gradstep.distributed.partition import Bucket, Piece, buckets
from gradstep.distributed.ravel import RaveledArray

_EMPTY = Piece(0, 0, 0)


class Shard:
    """The elements of all parameters that this rank steps, in buckets of at most `limit` bytes."""

    def __init__(self, comm: Communicator, limit: int) -> None:
        self._comm = comm
        self._limit = limit
        self.parameters: list[RaveledArray] = []  # all of the model
        # Of each bucket: this rank's pieces with their offsets, and which of `arrays` they are.
        self.buckets: list[Bucket] = []
        self._pieces_of_buckets: list[list[tuple[int, Piece]]] = []
        self.spans: list[tuple[int, int]] = []
        # The arrays that this rank steps, group by group: the piece of each, and its name.
        self.arrays: list[Array] = []
        self.pieces: list[Piece] = []
        self.labels: list[str] = []

    @property
    def is_whole(self) -> bool:
        """Whether one rank steps all: its arrays are the parameters, and nothing is sent."""
        return self._comm.size == 1

    @property
    def largest_bucket(self) -> int:
        """Bytes of the largest bucket."""
        return max((bucket.size * bucket.dtype.itemsize for bucket in self.buckets), default=0)

    def extend(self, model: Model) -> list[dict[str, Array]]:
        """Cut the parameters that are new; return this rank's arrays of each group by name."""
        first = len(self.parameters)
        kinds = [
            (group, array.dtype) for group, array in zip(model.groups, model.arrays, strict=True)
        ]
        sizes = [array.size for array in model.arrays]
        new = zip(model.arrays[first:], model.orders[first:], strict=True)
        self.parameters += [RaveledArray(array, order) for array, order in new]
        local: list[dict[str, Array]] = [{} for _ in range(max(model.groups) + 1)]
        if self.is_whole:
            for _, number in sorted((g, i) for i, g in enumerate(model.groups) if i >= first):
                self._add(model, Piece(number, 0, sizes[number]), local)
            return local
        cut = buckets(
            sizes[first:], kinds[first:], self._comm.size, self._limit, sum(sizes[:first])
        )
        for bucket in cut:
            pieces = tuple(
                piece._replace(parameter=piece.parameter + first) for piece in bucket.pieces
            )
            bucket = Bucket(bucket.dtype, pieces, bucket.bounds)
            mine = bucket.pieces_of(self._comm.rank)
            self.buckets.append(bucket)
            self._pieces_of_buckets.append(mine)
            self.spans.append((len(self.arrays), len(self.arrays) + len(mine)))
            for _, piece in mine:
                self._add(model, piece, local)
        if not self.arrays:  # more ranks than elements: an optimizer needs a parameter
            self._add(model, _EMPTY, local)
        return local

    def _add(self, model: Model, piece: Piece, local: list[dict[str, Array]]) -> None:
        parameter, start, stop = piece
        array = self.cut(model.arrays[parameter], model, piece)
        name, is_whole = model.names[parameter], (start, stop) == (0, model.arrays[parameter].size)
        label = name if is_whole else f"{name}[{start}:{stop}]"
        if label in self.labels:
            raise ValueError(
                f"{label!r} would name two things, a parameter and a part of {name!r}; rename one "
                "of them"
            )
        self.arrays.append(array)
        self.pieces.append(piece)
        self.labels.append(label)
        local[model.groups[parameter]][label] = array

    def cut(self, array: Array, model: Model, piece: Piece) -> Array:
        """Return a piece of a parameter, or of an array like it."""
        if self.is_whole:
            return array
        return RaveledArray(array, model.orders[piece.parameter]).read(piece.start, piece.stop)

    def refresh(self) -> None:
        """Copy parameters that are not dense to the arrays that are stepped for them."""
        if self.is_whole:
            return
        for array, (parameter, start, stop) in zip(self.arrays, self.pieces, strict=True):
            if self.parameters[parameter].dense is None:
                array[:] = self.parameters[parameter].read(start, stop)

    def gradients(
        self, gradients: Sequence[RaveledArray], reduced: Sequence[Array] | None
    ) -> list[Array]:
        """Return one gradient for each of `arrays`.

        They are cut from `reduced`, this rank's part of each bucket, or else from `gradients`.
        """
        found = [gradients[0].read(0, 0) for piece in self.pieces if piece == _EMPTY]
        for i, pieces in enumerate(self._pieces_of_buckets):
            for offset, (parameter, start, stop) in pieces:
                if reduced is None:
                    found.append(gradients[parameter].read(start, stop))
                else:
                    found.append(reduced[i][offset : offset + stop - start])
        return found
