"""Ways to break cpp/binding/ewa_series.cpp."""

from listing import AVERAGING, NUMBERS, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/ewa_series.cpp",
        f"{AVERAGING} {NUMBERS}",
        Mutant(
            "corrections in the caller's mode",
            "const DefaultFloatingPointMode mode;",
            "",
            "other bits where the caller rounds otherwise",
            NUMBERS,
        ),
    ),
]
