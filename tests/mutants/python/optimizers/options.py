"""Ways to break python/gradstep/optimizers/options.py."""

from listing import AVERAGED, ONE_STEP, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/options.py",
        ONE_STEP,
        Mutant(
            "options come together or not at all",
            "if all(options[name] is default",
            "if any(options[name] is default",
            "max_norm alone never clips",
        ),
        Mutant(
            "usual options are shown",
            "if value != DEFAULTS[name]}",
            "if value == DEFAULTS[name]}",
            "repr hides what is set",
        ),
        Mutant(
            "anything as an average",
            "if average is not None and not isinstance(average, EWA):",
            "if False:",
            "an error that names nothing",
            AVERAGED,
        ),
    ),
]
