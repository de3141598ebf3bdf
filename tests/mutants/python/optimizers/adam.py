"""Ways to break python/gradstep/optimizers/adam.py."""

from listing import FORMULAS, STEPS, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/adam.py",
        f"{FORMULAS} {STEPS}",
        Mutant(
            "Adamax: not corrected",
            'constants={"bias_correction": True},',
            "constants={},",
            "first steps are too short",
        ),
    ),
]
