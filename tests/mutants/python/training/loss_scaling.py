"""Ways to break python/gradstep/training/loss_scaling.py."""

from listing import Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/training/loss_scaling.py",
        "tests/training/test_loss_scaling.py",
        Mutant(
            "scales: skipped steps count as good",
            "max(scale * backoff, _LEAST), 0",
            "max(scale * backoff, _LEAST), good",
            "the scale grows right after it backed off",
        ),
        Mutant(
            "scales: the count of a state",
            'taken = loaded._state._replace(good=checks.count("good", d["good"]))',
            "taken = loaded._state",
            "a resumed run grows later",
        ),
    ),
]
