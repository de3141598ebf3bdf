"""Ways to break python/gradstep/optimizers/selection.py."""

from listing import ERRORS, GROUPS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/selection.py",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "the last pattern counts",
            "next(fitting, -1)",
            "max(fitting, default=-1)",
            "other hyperparameters where two patterns fit",
            GROUPS,
        ),
        Mutant(
            "whole names are patterns too",
            "return name == pattern if pattern in names else fnmatchcase(name, pattern)",
            "return name == pattern or fnmatchcase(name, pattern)",
            "'W[1]' takes W1 as well",
            GROUPS,
        ),
    ),
]
