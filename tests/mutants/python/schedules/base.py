"""Ways to break python/gradstep/schedules/base.py."""

from listing import SCHEDULES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/schedules/base.py",
        SCHEDULES,
        Mutant(
            "any rate is a number",
            'return float(number("the rate", rate))',
            "return float(rate)  # type: ignore[arg-type]",
            "text becomes a rate",
        ),
        Mutant(
            "factors are nested",
            "if type(unscaled) is Scaled:",
            "if False:",
            "a rate that is cut at every step ends in a RecursionError",
        ),
    ),
]
