"""Ways to break python/gradstep/schedules/compose.py."""

from listing import SCHEDULES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/schedules/compose.py",
        SCHEDULES,
        Mutant(
            "warmup from zero", "((n + 1) / self.steps)", "(n / self.steps)", "a lost first step"
        ),
        Mutant(
            "after warmup, too late",
            "rate_of(self.after, n - self.steps)",
            "rate_of(self.after, n)",
            "a schedule begins in its middle",
        ),
    ),
]
