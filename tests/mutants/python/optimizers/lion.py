"""Ways to break python/gradstep/optimizers/lion.py."""

from listing import FORMULAS, STEPS, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/lion.py",
        f"{FORMULAS} {STEPS}",
        Mutant(
            "Lion decays as Adam does",
            '_fixed: ClassVar = {"decoupled": True}\n\n    def __init__(\n        self,\n        params: Any,\n        lr: Rate = 1e-4,',
            "_fixed: ClassVar = {}\n\n    def __init__(\n        self,\n        params: Any,\n        lr: Rate = 1e-4,",
            "decay turns signs",
        ),
    ),
]
