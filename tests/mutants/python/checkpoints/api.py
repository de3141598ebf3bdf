"""Ways to break python/gradstep/checkpoints/api.py."""

from listing import CHECKPOINT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checkpoints/api.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: filled before all is checked",
            "    if strict and plan.problems:",
            "    if strict and plan.problems and not plan.commit():",
            "half a model is loaded",
        ),
    ),
]
