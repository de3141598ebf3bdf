"""Which rank steps which elements: arithmetic alone, without arrays and without MPI.

Parameters of one group and dtype, in their order, are cut into buckets, and each bucket into one
part for each rank. One bucket at a time is reduced, stepped and gathered.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Piece(NamedTuple):
    """A run of elements of one parameter, in the order of its memory."""

    parameter: int
    start: int
    stop: int


@dataclass(frozen=True)
class Bucket:
    """What is sent at a time: pieces one behind the other, and which rank steps which part."""

    dtype: np.dtype[Any]
    pieces: tuple[Piece, ...]
    bounds: tuple[int, ...]  # rank r has the elements from bounds[r] on and before bounds[r + 1]
    counts: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        ends = itertools.pairwise(self.bounds)
        object.__setattr__(self, "counts", tuple(stop - start for start, stop in ends))

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.bounds[-1]

    def all_pieces(self) -> list[tuple[int, Piece]]:
        """Return the pieces, each with its offset in the bucket."""
        return self._pieces_between(0, self.size)

    def pieces_of(self, rank: int) -> list[tuple[int, Piece]]:
        """Return the pieces of a rank's part, each with its offset in that part."""
        return self._pieces_between(self.bounds[rank], self.bounds[rank + 1])

    def _pieces_between(self, start: int, stop: int) -> list[tuple[int, Piece]]:
        found = []
        offset = 0
        for parameter, first, last in self.pieces:
            low = max(start - offset, 0)
            high = min(stop - offset, last - first)
            if low < high:
                found.append((offset + low - start, Piece(parameter, first + low, first + high)))
            offset += last - first
        return found


def buckets(
    sizes: Sequence[int],
    kinds: Sequence[tuple[int, np.dtype[Any]]],
    ranks: int,
    limit: int,
    earlier: int = 0,
) -> list[Bucket]:
    """Cut parameters into buckets of at most `limit` bytes, group by group.

    Parameters
    ----------
    sizes
        The number of elements of each parameter.
    kinds
        The group and dtype of each parameter; all parameters of a bucket are of one kind.
    ranks : int
        The number of parts of each bucket. If its elements do not divide evenly, some parts have
        one more. The next bucket gives its extra elements to the ranks that follow, so that the
        shards of all ranks are equal to one element.
    limit : int
        Bytes. A larger parameter has buckets of its own, which need no copy.
    earlier : int, default 0
        The number of elements that earlier calls have cut.
    """
    found: list[Bucket] = []
    next_with_extra = earlier % ranks  # goes on from kind to kind, too
    for kind in sorted(set(kinds), key=lambda kind: (kind[0], kinds.index(kind))):
        dtype = kind[1]
        room = max(limit // dtype.itemsize, 1)
        open_pieces: list[Piece] = []
        runs: list[tuple[Piece, ...]] = []
        filled = 0
        for parameter in (i for i, other in enumerate(kinds) if other == kind):
            size = sizes[parameter]
            if filled + size > room and open_pieces:
                runs.append(tuple(open_pieces))
                open_pieces, filled = [], 0
            if size > room:
                cuts = -(-size // room)
                marks = [size * i // cuts for i in range(cuts + 1)]
                runs += [(Piece(parameter, *ends),) for ends in itertools.pairwise(marks)]
            elif size:
                open_pieces.append(Piece(parameter, 0, size))
                filled += size
        if open_pieces:
            runs.append(tuple(open_pieces))
        for pieces in runs:
            each, extra = divmod(sum(piece.stop - piece.start for piece in pieces), ranks)
            bounds = [0]
            for rank in range(ranks):
                has_extra = (rank - next_with_extra) % ranks < extra
                bounds.append(bounds[-1] + each + has_extra)
            next_with_extra = (next_with_extra + extra) % ranks
            found.append(Bucket(dtype, pieces, tuple(bounds)))
    return found
