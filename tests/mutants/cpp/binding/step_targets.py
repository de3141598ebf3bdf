"""Ways to break cpp/binding/step_targets.cpp."""

from listing import ERRORS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/step_targets.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "a refused array is judged good",
            "std::int64_t t) {\n  validated_ = false;",
            "std::int64_t t) {",
            "steps over arrays that were refused",
            ERRORS,
        ),
    ),
]
