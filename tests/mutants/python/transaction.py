"""Ways to break python/gradstep/transaction.py."""

from listing import CHECKPOINT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/transaction.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: arrays are replaced",
            "map(operator.setitem, targets, repeat(...), sources)",
            "map(operator.setitem, targets, repeat(slice(0)), sources)",
            "nothing is filled",
        ),
        Mutant(
            "checkpoints: the core is left out",
            "[replacement for one in prepared for replacement in one.core]",
            "[]",
            "moments of another run",
        ),
    ),
]
