"""Ways to break cpp/binding/ewa_series.cpp."""

from listing import AVERAGING, NUMBERS, SPEED, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/ewa_series.cpp",
        f"{AVERAGING} {NUMBERS}",
        Mutant(
            "corrections from the second value on",
            "std::int64_t t = 1; bias_correction",
            "std::int64_t t = 2; bias_correction",
            "curves begin too low",
        ),
        Mutant(
            "corrections in the caller's mode",
            "const DefaultFloatingPointMode mode;",
            "",
            "other bits where the caller rounds otherwise",
            NUMBERS,
        ),
        Mutant(
            "no end of corrections", "if (correction == 1.0) break;", "", "slower", survives=SPEED
        ),
    ),
]
