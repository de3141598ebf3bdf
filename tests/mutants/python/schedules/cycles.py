"""Ways to break python/gradstep/schedules/cycles.py."""

from listing import SCHEDULES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/schedules/cycles.py",
        SCHEDULES,
        Mutant("cosine upside down", "(1.0 + math.cos(", "(1.0 - math.cos(", "rates in reverse"),
        Mutant("restarts come late", " * (1.0 + 1e-12))", ")", "a restart misses its step"),
    ),
]
