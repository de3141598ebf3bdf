"""Ways to break python/gradstep/schedules/base.py."""

from listing import SCHEDULES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/schedules/base.py",
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
        Mutant(
            "factors are nested",
            "if type(unscaled) is Scaled:",
            "if False:",
            "a rate that is cut at every step ends in a RecursionError",
        ),
        Mutant(
            "negative counts", "if not 0 <= count <= _LARGEST:", "if False:", "rates from nowhere"
        ),
    ),
]
