"""Ways to break python/gradstep/schedules/decay.py."""

from listing import SCHEDULES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/schedules/decay.py",
        SCHEDULES,
        Mutant(
            "boundaries one step late",
            "self.values[bisect_right(self.boundaries, n)]",
            "self.values[bisect_right(self.boundaries, n - 1)]",
            "a rate changes a step late",
        ),
    ),
]
