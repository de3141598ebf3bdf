"""Ways to break python/gradstep/checkpoints/loaded.py."""

from listing import CHECKPOINT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checkpoints/loaded.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: windows are returned",
            'return value.copy(order="K")',
            "return value",
            "one small array keeps all of a file in memory",
        ),
    ),
]
