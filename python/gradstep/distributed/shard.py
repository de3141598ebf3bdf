"""What of the parameters is stepped here: windows on them, one for each piece of a bucket."""

from __future__ import annotations

from collections.abc import Sequence

from gradstep._typing import Array
from gradstep.distributed.agreement import Ranks
from gradstep.distributed.model import Whole
from gradstep.distributed.partition import Bucket, Piece, buckets
from gradstep.distributed.ravel import Flat

_NOTHING = Piece(0, 0, 0)


class Share:
    """The share of this rank of all parameters, cut into buckets of at most `most` bytes."""

    def __init__(self, ranks: Ranks, most: int) -> None:
        self._ranks = ranks
        self._most = most
        self.flats: list[Flat] = []  # of all parameters
        self.buckets: list[Bucket] = []
        self.spans: list[
            tuple[int, int]
        ] = []  # of each bucket: which of `arrays` are its part here
        self.pieces: list[list[tuple[int, Piece]]] = []  # of each bucket: this part
        self.arrays: list[Array] = []  # what is stepped, group by group
        self.placed: list[Piece] = []  # of each of these, what it is of the parameters
        self.labels: list[str] = []  # and its name

    @property
    def largest(self) -> int:
        """Bytes of the largest bucket."""
        return max((bucket.size * bucket.dtype.itemsize for bucket in self.buckets), default=0)

    def extend(self, whole: Whole) -> list[dict[str, Array]]:
        """Cut the parameters that are new; return this rank's share of each group by name."""
        first = len(self.flats)
        kinds = [
            (group, array.dtype) for group, array in zip(whole.groups, whole.arrays, strict=True)
        ]
        sizes = [array.size for array in whole.arrays]
        new = zip(whole.arrays[first:], whole.orders[first:], strict=True)
        self.flats += [Flat(array, order) for array, order in new]
        local: list[dict[str, Array]] = [{} for _ in range(max(whole.groups) + 1)]
        if self._ranks.size == 1:  # all of each, as it is, and nothing travels
            for _, number in sorted((g, i) for i, g in enumerate(whole.groups) if i >= first):
                self._keep(whole, Piece(number, 0, sizes[number]), local)
            return local
        before = sum(sizes[:first])
        for bucket in buckets(sizes[first:], kinds[first:], self._ranks.size, self._most, before):
            pieces = tuple(
                piece._replace(parameter=piece.parameter + first) for piece in bucket.pieces
            )
            bucket = Bucket(bucket.dtype, pieces, bucket.bounds)
            mine = bucket.part(self._ranks.rank)
            self.buckets.append(bucket)
            self.pieces.append(mine)
            self.spans.append((len(self.arrays), len(self.arrays) + len(mine)))
            for _, piece in mine:
                self._keep(whole, piece, local)
        if not self.arrays:  # more ranks than elements: an optimizer needs a parameter
            self._keep(whole, _NOTHING, local)
        return local

    def _keep(self, whole: Whole, piece: Piece, local: list[dict[str, Array]]) -> None:
        parameter, start, stop = piece
        array = self.cut(whole.arrays[parameter], whole, piece)
        name, all_of_it = whole.names[parameter], (start, stop) == (0, whole.arrays[parameter].size)
        label = name if all_of_it else f"{name}[{start}:{stop}]"
        if label in self.labels:
            raise ValueError(
                f"{label!r} would be the name of two things: of a parameter, and of a part of "
                f"{name!r}; rename one of them"
            )
        self.arrays.append(array)
        self.placed.append(piece)
        self.labels.append(label)
        local[whole.groups[parameter]][label] = array

    def cut(self, array: Array, whole: Whole, piece: Piece) -> Array:
        """Return what a piece is of a parameter, or of an array like it."""
        if self._ranks.size == 1:
            return array
        return Flat(array, whole.orders[piece.parameter]).read(piece.start, piece.stop)

    def refresh(self) -> None:
        """Copy parameters that are no dense runs to what is stepped in their place."""
        if self._ranks.size == 1:  # which are the parameters
            return
        for array, (parameter, start, stop) in zip(self.arrays, self.placed, strict=True):
            if self.flats[parameter].dense is None:
                array[:] = self.flats[parameter].read(start, stop)

    def windows(self, gradients: Sequence[Flat], reduced: Sequence[Array] | None) -> list[Array]:
        """Return one gradient for each of `arrays`.

        Of `reduced`, which has this rank's part of each bucket, or of the gradients themselves.
        """
        # Of the stand-in, where there is one.
        found = [gradients[0].read(0, 0) for piece in self.placed if piece == _NOTHING]
        for i, pieces in enumerate(self.pieces):
            for offset, (parameter, start, stop) in pieces:
                if reduced is None:
                    found.append(gradients[parameter].read(start, stop))
                else:
                    found.append(reduced[i][offset : offset + stop - start])
        return found
