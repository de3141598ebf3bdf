"""Ways to break python/gradstep/optimizers.py."""

from listing import FORMULAS, STEPS, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers.py",
        f"{FORMULAS} {STEPS}",
        Mutant(
            "NAdam: another psi",
            "momentum_decay: Rate = 0.004,",
            "momentum_decay: Rate = 0.04,",
            "other factors of momentum",
        ),
        Mutant(
            "RAdam: another threshold",
            "threshold: Rate = 5.0,",
            "threshold: Rate = 4.0,",
            "v counts a step too early",
        ),
        Mutant(
            "Lion decays as Adam does",
            '_fixed: ClassVar = {"decoupled": True}\n\n    def __init__(\n        self,\n        params: Any,\n        lr: Rate = 1e-4,',
            "_fixed: ClassVar = {}\n\n    def __init__(\n        self,\n        params: Any,\n        lr: Rate = 1e-4,",
            "decay turns signs",
        ),
        Mutant(
            "Adamax: not corrected",
            '_fixed: ClassVar = {"bias_correction": True}',
            "_fixed: ClassVar = {}",
            "first steps are too short",
        ),
        Mutant(
            "Adagrad starts as Keras has it",
            "initial_accumulator: float = 0.0,",
            "initial_accumulator: float = 0.1,",
            "first steps are too short",
        ),
    ),
]
