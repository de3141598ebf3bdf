"""Ways to break python/gradstep/distributed/ravel.py."""

from listing import Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/distributed/ravel.py",
        "tests/distributed/test_ravel.py",
        Mutant(
            "the order in memory, by signed strides",
            "-abs(array.strides[axis])",
            "-array.strides[axis]",
            "arrays that run backwards are walked in another order",
        ),
        Mutant(
            "views of arrays in another order",
            "if transposed.flags.c_contiguous else None",
            "if array.flags.c_contiguous else None",
            "of a transposed array a copy is stepped, and lost",
        ),
    ),
]
