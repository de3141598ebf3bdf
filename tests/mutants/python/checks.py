"""Ways to break python/gradstep/checks.py."""

from listing import ERRORS, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checks.py",
        ERRORS,
        Mutant("True is a count", "isinstance(value, bool) or ", "", "t=True is step 1"),
        Mutant("counts below the least", "if number < least:", "if False:", "t=0 divides by zero"),
    ),
]
