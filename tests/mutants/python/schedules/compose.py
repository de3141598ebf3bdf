"""Ways to break python/gradstep/schedules/compose.py."""

from listing import SCHEDULES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/schedules/compose.py",
        SCHEDULES,
        Mutant(
            "warmup from zero", "((n + 1) / self.steps)", "(n / self.steps)", "a lost first step"
        ),
    ),
]
