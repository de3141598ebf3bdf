"""Which rank steps which elements: arithmetic alone, without arrays and without MPI.

The elements of all parameters of a kind, in their order, are cut into buckets, and each bucket into
one part for each rank. So what is reduced, stepped and gathered at a time is one bucket.
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
    """What is sent at a time: pieces one behind the other, and which part is whose."""

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

    def placed(self) -> list[tuple[int, Piece]]:
        """Return the pieces and where in the bucket each begins."""
        return self.within(0, self.size)

    def within(self, start: int, stop: int) -> list[tuple[int, Piece]]:
        """Return what of the pieces lies there, and how far behind `start` each begins."""
        found = []
        offset = 0
        for parameter, first, last in self.pieces:
            low = max(start - offset, 0)
            high = min(stop - offset, last - first)
            if low < high:
                found.append((offset + low - start, Piece(parameter, first + low, first + high)))
            offset += last - first
        return found

    def part(self, rank: int) -> list[tuple[int, Piece]]:
        """Return what of the pieces is a rank's, and how far behind its start each begins."""
        return self.within(self.bounds[rank], self.bounds[rank + 1])


def buckets(
    sizes: Sequence[int],
    kinds: Sequence[tuple[int, np.dtype[Any]]],
    ranks: int,
    most: int,
    before: int = 0,
) -> list[Bucket]:
    """Cut parameters into buckets of at most `most` bytes, group by group.

    Parameters
    ----------
    sizes
        The number of elements of each parameter.
    kinds
        Of each parameter its group and dtype; a bucket has parameters of one kind only.
    ranks : int
        How many parts each bucket has: of equal size, or one more element for some. These are
        others in the next bucket, so that all ranks have the same share, to one element.
    most : int
        Bytes. A larger parameter has buckets of its own, which need not be copied together.
    before : int, default 0
        How many elements were cut before.
    """
    found: list[Bucket] = []
    next_with_more = before % ranks  # goes on from kind to kind, too
    for kind in sorted(set(kinds), key=lambda kind: (kind[0], kinds.index(kind))):
        dtype = kind[1]
        room = max(most // dtype.itemsize, 1)
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
            each, more = divmod(sum(piece.stop - piece.start for piece in pieces), ranks)
            bounds = [0]
            for rank in range(ranks):
                extra = (rank - next_with_more) % ranks < more
                bounds.append(bounds[-1] + each + extra)
            next_with_more = (next_with_more + more) % ranks
            found.append(Bucket(dtype, pieces, tuple(bounds)))
    return found
