"""Ways to break python/gradstep/distributed/partition.py."""

from listing import Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/distributed/partition.py",
        "tests/distributed/test_partition.py",
        Mutant(
            "buckets are a little too large",
            "room = max(limit // dtype.itemsize, 1)",
            "room = max(limit // dtype.itemsize + 1, 1)",
            "the buffers have no room for such a bucket",
        ),
        Mutant(
            "small arrays fill more than a bucket",
            "if filled + size > room and open_pieces:",
            "if filled + size > 2 * room and open_pieces:",
            "the buffers have no room for such a bucket",
        ),
        Mutant(
            "buckets mix groups",
            "if other == kind):",
            "if other[1] == dtype):",
            "parameters are stepped more than once",
        ),
        Mutant(
            "the same ranks always have one more",
            "next_with_extra = (next_with_extra + extra) % ranks",
            "next_with_extra = 0",
            "the first ranks have more of the state than the last",
        ),
        Mutant(
            "no rank steps the end of a piece",
            "high = min(stop - offset, last - first)",
            "high = min(stop - offset, last - first - (last - first > 7))",
            "some elements are never stepped",
        ),
    ),
]
