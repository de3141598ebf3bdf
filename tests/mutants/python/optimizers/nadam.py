"""Ways to break python/gradstep/optimizers/nadam.py."""

from listing import FORMULAS, STEPS, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/nadam.py",
        f"{FORMULAS} {STEPS}",
        Mutant(
            "NAdam: another psi",
            "        momentum_decay: Rate = 0.004,",
            "        momentum_decay: Rate = 0.04,",
            "other factors of momentum",
        ),
    ),
]
