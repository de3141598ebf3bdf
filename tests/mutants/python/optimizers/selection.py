"""Ways to break python/gradstep/optimizers/selection.py."""

from listing import COMPAT, ERRORS, GROUPS, OPTIMIZER, Mutant, in_file

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
            "idle patterns",
            "if idle:",
            "if False:",
            "a misspelt pattern goes unseen",
            GROUPS,
        ),
        Mutant(
            "patterns of any kind",
            "if not isinstance(pattern, str):",
            "if False:",
            "an error that says something else",
            GROUPS,
        ),
        Mutant(
            "masks are turned",
            "[0 if taken else 1 for",
            "[1 if taken else 0 for",
            "biases decay and weights do not",
            COMPAT,
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
