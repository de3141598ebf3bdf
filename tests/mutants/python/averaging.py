"""Ways to break python/gradstep/averaging.py."""

from listing import AVERAGED, AVERAGING, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/averaging.py",
        AVERAGING,
        Mutant(
            "averages go on",
            "results = [np.empty_like(array) for array in stored.averages]",
            "results = list(kept.averages)",
            "what was returned changes later",
        ),
        Mutant(
            "durations are numbers",
            "isinstance(x, numbers.Real) and not isinstance(x, np.timedelta64)",
            "isinstance(x, numbers.Real)",
            "an error of NumPy's own, or seconds for numbers",
        ),
        Mutant(
            "values inside averaged()",
            "stepper.require_own()\n        stored: AverageState | None = stepper.layout\n        if stored is None:\n            return 0.0",
            "stored: AverageState | None = stepper.layout\n        if stored is None:\n            return 0.0",
            "an average of parameters",
            AVERAGED,
        ),
    ),
]
