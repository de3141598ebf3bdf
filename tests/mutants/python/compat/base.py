"""Ways to break python/gradstep/compat/base.py."""

from listing import COMPAT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/compat/base.py",
        COMPAT,
        Mutant(
            "what is unused may be anything",
            "if value is not None and value is not False:",
            "if False:",
            "differentiable=True is ignored",
        ),
    ),
]
