"""Ways to break python/gradstep/optimizers/lion.py."""

from listing import FORMULAS, STEPS, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/lion.py",
        f"{FORMULAS} {STEPS}",
        Mutant(
            "Lion decays as Adam does",
            'constants={"decoupled": True}',
            "constants={}",
            "decay turns signs",
        ),
    ),
]
