"""Ways to break python/gradstep/names.py."""

from listing import GROUPS, NAMES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/names.py",
        NAMES,
        Mutant(
            "names: what there is, is not listed",
            "f\"(its arguments are {', '.join(known)})\"",
            '""',
            "who misspells has to look it up",
        ),
        Mutant(
            "names: subclasses take no keywords of their own",
            "if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):",
            "if False:",
            "a subclass with **kwargs cannot be made",
        ),
        Mutant(
            "names: everything is alike",
            "cutoff=0.75",
            "cutoff=0.0",
            "advice on what nobody meant",
        ),
        Mutant(
            "names: hyperparameters of subclasses",
            "(self._is_argument(name) or not of_users)",
            "(not of_users)",
            "opt.weight_decay = 0.5 does nothing",
        ),
        Mutant(
            "names: the package's own line is warned of",
            """get("__name__", "").startswith("gradstep."):""",
            """get("__name__", "").startswith("nothing."):""",
            "a warning names no line of the user's",
            GROUPS,
        ),
    ),
]
