"""Ways to break python/gradstep/optimizers/layout.py."""

from listing import ERRORS, FORMULAS, GROUPS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/layout.py",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "v starts from infinity",
            "if value > float(np.finfo(array.dtype).max):",
            "if False:",
            "a warning of NumPy's, and no step ever",
            GROUPS,
        ),
        Mutant(
            "v starts from zero",
            "array[...] = value",
            "pass",
            "initial_accumulator changes nothing",
            FORMULAS,
        ),
        Mutant(
            "gradients of any number of groups",
            "if len(grads) != len(layout.structures):",
            "if False:",
            "an error that says something else",
        ),
    ),
]
