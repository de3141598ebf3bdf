"""Ways to break cpp/binding/not_finite.cpp."""

from listing import ERRORS, ONE_STEP, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/not_finite.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "the first bad value before scaling",
            "if (std::isfinite(product(x, scale))) continue;",
            "if (std::isfinite(x)) continue;",
            "the wrong position is named",
            ONE_STEP,
        ),
    ),
]
