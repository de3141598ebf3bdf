"""Ways to break python/gradstep/schedules/cycles.py."""

from listing import SCHEDULES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/schedules/cycles.py",
        SCHEDULES,
        Mutant("restarts come late", " * (1.0 + 1e-12))", ")", "a restart misses its step"),
    ),
]
