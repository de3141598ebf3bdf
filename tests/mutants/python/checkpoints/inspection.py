"""Ways to break python/gradstep/checkpoints/inspection.py."""

from listing import CHECKPOINT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checkpoints/inspection.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: what is printed is not looked at",
            "c if c.isprintable() else ascii(c)[1:-1] for c in text",
            "c for c in text",
            "a file writes to the terminal",
        ),
    ),
]
