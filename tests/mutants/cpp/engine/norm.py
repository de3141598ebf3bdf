"""Ways to break cpp/engine/norm.hpp."""

from listing import ONE_STEP, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/norm.hpp",
        ONE_STEP,
        Mutant(
            "an infinite norm clips",
            "std::isfinite(norm) && norm > max_norm",
            "norm > max_norm",
            "one infinity makes every parameter NaN or stay",
        ),
        Mutant(
            "infinity is finite",
            "return std::isfinite(sum);",
            "return sum == sum;",
            "steps of infinite gradients are taken",
        ),
    ),
]
