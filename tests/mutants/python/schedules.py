"""Ways to break python/gradstep/schedules.py."""

from listing import SCHEDULES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/schedules.py",
        SCHEDULES,
        Mutant(
            "any rate is made a float",
            'if looked_at.ndim == 0 and looked_at.dtype.kind in "iufO":',
            "if True:",
            "text and complex numbers become rates",
        ),
        Mutant(
            "epochs are not whole", "n // steps_per_epoch", "n / steps_per_epoch", "other rates"
        ),
        Mutant("cosine upside down", "(1.0 + math.cos(", "(1.0 - math.cos(", "rates in reverse"),
        Mutant(
            "boundaries one step late",
            "self.values[bisect_right(self.boundaries, n)]",
            "self.values[bisect_right(self.boundaries, n - 1)]",
            "a rate changes a step late",
        ),
        Mutant(
            "warmup from zero", "((n + 1) / self.steps)", "(n / self.steps)", "a lost first step"
        ),
        Mutant(
            "after warmup, too late",
            "_rate_of(self.after, n - self.steps)",
            "_rate_of(self.after, n)",
            "a schedule begins in its middle",
        ),
        Mutant(
            "factors are nested",
            "if type(unscaled) is Scaled:",
            "if False:",
            "a rate that is cut at every step ends in a RecursionError",
        ),
        Mutant("restarts come late", " * (1.0 + 1e-12))", ")", "a restart misses its step"),
        Mutant(
            "negative counts", "if not 0 <= count <= _LARGEST:", "if False:", "rates from nowhere"
        ),
        Mutant(
            "subclasses are stored by name",
            "if type(schedule) not in _KINDS.values():",
            "if not isinstance(schedule, tuple(_KINDS.values())):",
            "another formula after loading",
        ),
    ),
]
