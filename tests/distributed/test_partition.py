"""The cut of parameters into buckets, and of buckets into the parts of the ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gradstep.distributed.partition import Bucket, Piece, buckets

KINDS = [(group, np.dtype(code)) for group in range(2) for code in ("f4", "f8")]
MODELS = st.lists(
    st.tuples(st.one_of(st.integers(0, 9), st.integers(0, 300)), st.sampled_from(KINDS)),
    min_size=1,
    max_size=12,
)


@given(MODELS, st.integers(1, 9), st.one_of(st.integers(8, 80), st.integers(8, 5000)))
def test_each_element_belongs_to_one_rank(
    model: list[tuple[int, tuple[int, np.dtype[Any]]]], ranks: int, limit: int
) -> None:
    sizes, kinds = [size for size, _ in model], [kind for _, kind in model]
    seen = [np.zeros(size, int) for size in sizes]
    owned = [np.zeros(size, int) for size in sizes]
    shares = {kind: [0] * ranks for kind in kinds}
    for bucket in buckets(sizes, kinds, ranks, limit):
        assert 0 < bucket.size * bucket.dtype.itemsize <= limit
        (kind,) = {kinds[piece.parameter] for piece in bucket.pieces}
        assert bucket.dtype == kind[1]
        assert len(bucket.bounds) == ranks + 1
        assert bucket.bounds[0] == 0
        assert bucket.size == sum(piece.stop - piece.start for piece in bucket.pieces)
        assert sum(bucket.counts) == bucket.size
        offset = 0
        for place, piece in bucket.all_pieces():
            assert place == offset
            seen[piece.parameter][piece.start : piece.stop] += 1
            offset += piece.stop - piece.start
        for rank in range(ranks):
            offset = 0
            for place, piece in bucket.pieces_of(rank):
                assert place == offset
                assert piece.start < piece.stop
                owned[piece.parameter][piece.start : piece.stop] += 1
                offset += piece.stop - piece.start
            assert offset == bucket.counts[rank]
            shares[kind][rank] += offset
        # The parts follow each other in the bucket.
        parts = [piece for rank in range(ranks) for _, piece in bucket.pieces_of(rank)]
        assert joined(parts) == joined(list(bucket.pieces))
    for counted in (*seen, *owned):
        assert (counted == 1).all()
    for share in shares.values():
        assert max(share) - min(share) <= 1


def joined(pieces: list[Piece]) -> list[Piece]:
    """Join pieces that follow one another."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if last and (last.parameter, last.stop) == (piece.parameter, piece.start):
            found[-1] = last._replace(stop=piece.stop)
        else:
            found.append(piece)
    return found


def test_small_arrays_share_a_bucket() -> None:
    kind = KINDS[0]
    f4 = kind[1]
    # Small arrays are put together while there is room. A large one has buckets of its own.
    assert buckets([3, 2, 0, 1, 25, 4], [kind] * 6, 2, 40) == [
        Bucket(f4, (Piece(0, 0, 3), Piece(1, 0, 2), Piece(3, 0, 1)), (0, 3, 6)),
        Bucket(f4, (Piece(4, 0, 8),), (0, 4, 8)),
        Bucket(f4, (Piece(4, 8, 16),), (0, 4, 8)),
        Bucket(f4, (Piece(4, 16, 25),), (0, 5, 9)),
        Bucket(f4, (Piece(5, 0, 4),), (0, 2, 4)),
    ]
    # The ranks take turns in having one more.
    assert [b.counts for b in buckets([3, 3, 3], [kind] * 3, 2, 12)] == [(2, 1), (1, 2), (2, 1)]
    assert buckets([0, 0], [kind] * 2, 3, 8) == []


def test_groups_and_dtypes_are_not_mixed() -> None:
    order = [KINDS[3], KINDS[0], KINDS[3], KINDS[1], KINDS[0]]
    found = buckets([1] * 5, order, 2, 1000)
    assert [[p.parameter for p in b.pieces] for b in found] == [[1, 4], [3], [0, 2]]
