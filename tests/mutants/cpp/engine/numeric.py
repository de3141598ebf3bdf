"""Ways to break cpp/engine/numeric.hpp."""

from listing import FORMULAS, NUMBERS, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/numeric.hpp",
        NUMBERS,
        Mutant(
            "higher floor of float32",
            "float normal = 0x1p-126f;",
            "float normal = 0x1p-110f;",
            "small second moments are lost",
        ),
        Mutant(
            "lower floor of first moments",
            "float scaled = 0x1p-100f;",
            "float scaled = 0x1p-120f;",
            "slow steps under zero gradients",
        ),
        Mutant(
            "NaN is bounded",
            "return x > largest ? largest : x;",
            "return x <= largest ? x : largest;",
            "a NaN gradient is taken for a large one",
        ),
        Mutant(
            "an eps rounds to zero",
            "x > 0 && T(x) < Floor<T>::normal ?",
            "x < 0 ?",
            "NaN for zero gradients",
        ),
        Mutant(
            "negative moments are dropped",
            "magnitude(x) < floor ?",
            "x < floor ?",
            "parameters move one way only",
            FORMULAS,
        ),
        Mutant(
            "an eps outside of the root counts with one inside alone",
            "eps == 0 && eps_root == 0 ?",
            "eps_root == 0 ?",
            "eps does nothing",
            FORMULAS,
        ),
    ),
]
