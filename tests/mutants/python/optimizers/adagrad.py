"""Ways to break python/gradstep/optimizers/adagrad.py."""

from listing import FORMULAS, STEPS, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/adagrad.py",
        f"{FORMULAS} {STEPS}",
        Mutant(
            "Adagrad starts as Keras has it",
            "initial_accumulator: float = 0.0,",
            "initial_accumulator: float = 0.1,",
            "first steps are too short",
        ),
    ),
]
