"""Ways to break cpp/engine/floating_point.hpp."""

from listing import NUMBERS, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/floating_point.hpp",
        NUMBERS,
        Mutant(
            "the mode is not given back",
            "~DefaultFloatingPointMode() { write(saved_); }",
            "~DefaultFloatingPointMode() {}",
            "the caller's arithmetic changes",
        ),
    ),
]
