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
            "integers are refused",
            "return array.astype(dtype) if whole else array",
            "return array",
            "counts cannot be averaged",
        ),
        Mutant(
            "an average of nothing is zeros",
            "if correction == 0.0:",
            "if False:",
            "a model of zeros before the first step",
            AVERAGED,
        ),
        Mutant(
            "loaded averages stay the caller's",
            'copies = tuple([v.copy(order="K") for v in values])',
            "copies = tuple(values)",
            "a checkpoint changes with later values",
        ),
        Mutant(
            "damaged states are loaded",
            'if (d["average"] is None) != (t == 0):',
            "if False:",
            "division by zero, or an average from nowhere",
        ),
        Mutant(
            "durations are numbers",
            "isinstance(x, numbers.Real) and not isinstance(x, np.timedelta64)",
            "isinstance(x, numbers.Real)",
            "an error of NumPy's own, or seconds for numbers",
        ),
        Mutant(
            "a used average is forgotten",
            "        array[...] = value\n",
            "",
            "averages begin at zero again",
            AVERAGED,
        ),
        Mutant(
            "others fold into a kept average",
            "if self._stepper.followed:",
            "if False:",
            "averages of two things",
            AVERAGED,
        ),
        Mutant(
            "corrections of later groups are lost",
            "if len(set(stepper.corrections())) > 1:",
            "if False:",
            "a saved average is wrong",
            AVERAGED,
        ),
        Mutant(
            "any leaf of an average",
            "if not isinstance(value, np.ndarray):",
            "if False:",
            "an error that names nothing",
            AVERAGED,
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
