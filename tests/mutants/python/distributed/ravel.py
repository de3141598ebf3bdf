"""Ways to break python/gradstep/distributed/ravel.py."""

from listing import DISTRIBUTED, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/distributed/ravel.py",
        DISTRIBUTED,
        Mutant(
            "strided arrays are not written",
            "self._transposed.flat[start:stop] = values",
            "pass",
            "views do not move",
        ),
        Mutant(
            "the order in memory, by signed strides",
            "-abs(array.strides[axis])",
            "-array.strides[axis]",
            "arrays that run backwards are walked in another order",
        ),
        Mutant(
            "windows on what lies in another order",
            "if transposed.flags.c_contiguous else None",
            "if array.flags.c_contiguous else None",
            "what is stepped of a turned array is a copy, and lost",
        ),
    ),
]
