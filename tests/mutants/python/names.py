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
            "names: one for all",
            "if not ours or ours in known:",
            "if True:",
            "Adadelta is said to have eps",
        ),
        Mutant(
            "names: everything is alike",
            "cutoff=0.75",
            "cutoff=0.0",
            "advice on what nobody meant",
        ),
        Mutant(
            "names: fixed attributes are tried",
            "if fixed or (absent",
            "if (absent",
            "property 't' of 'Adam' object has no setter",
        ),
        Mutant(
            "names: hyperparameters of subclasses",
            "(self._is_argument(name) or not of_users)",
            "(not of_users)",
            "opt.weight_decay = 0.5 does nothing",
        ),
        Mutant(
            "names: nothing of a subclass's own",
            'type(self).__module__.partition(".")[0] != "gradstep"',
            "False",
            "a subclass cannot keep a note",
        ),
        Mutant(
            "names: arguments of a subclass's own",
            'if kind.__module__.startswith("gradstep.") and "__init__" in vars(kind)',
            'if "__init__" in vars(kind)',
            "a subclass cannot keep its own argument",
        ),
        Mutant(
            "names: the package's own line is warned of",
            """get("__name__", "").startswith("gradstep."):""",
            """get("__name__", "").startswith("nothing."):""",
            "a warning names no line of the user's",
            GROUPS,
        ),
        Mutant(
            "unknown keywords are Python's to refuse",
            "require_known(cls.__name__, cls.__init__, arguments)",
            "pass",
            "no word of what a keyword is called here",
            NAMES,
        ),
    ),
]
