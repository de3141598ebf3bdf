"""Ways to break python/gradstep/checks.py."""

from listing import ERRORS, SCHEDULES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checks.py",
        ERRORS,
        Mutant(
            "checks: anything with a float is a number",
            "if callable(value) or not _core.is_number(value):",
            "if False:",
            "text and arrays become rates",
            SCHEDULES,
        ),
    ),
]
