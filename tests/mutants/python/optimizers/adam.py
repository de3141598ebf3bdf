"""Ways to break python/gradstep/optimizers/adam.py."""

from listing import FORMULAS, STEPS, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/adam.py",
        f"{FORMULAS} {STEPS}",
        Mutant(
            "Adamax: not corrected",
            '_fixed: ClassVar = {"bias_correction": True}',
            "_fixed: ClassVar = {}",
            "first steps are too short",
        ),
    ),
]
