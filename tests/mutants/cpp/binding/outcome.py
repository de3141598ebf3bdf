"""Ways to break cpp/binding/outcome.cpp."""

from listing import ERRORS, ONE_STEP, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/outcome.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "a skipped step notes no norm",
            "  note_norm(norm);\n  {",
            "  {",
            "grad_norm is of another step",
            ONE_STEP,
        ),
    ),
]
