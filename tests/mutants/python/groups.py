"""Ways to break python/gradstep/groups.py."""

from listing import COMPAT, ERRORS, GROUPS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/groups.py",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "any name is taken",
            "if name not in values:",
            "if False:",
            "an error that says something else",
            ERRORS,
        ),
        Mutant(
            "a change is of old values",
            "return Change(self, values, {**values, **new})",
            "return Change(self, {**values}, {**values, **new})",
            "no hyperparameter can be changed",
        ),
        Mutant(
            "lists stay the caller's",
            "return tuple([e if isinstance(e, list | tuple) else own(e) for e in value])",
            "return value",
            "betas change behind the optimizer's back",
        ),
        Mutant(
            "groups that do not fit are loaded",
            "if wrong:",
            "if False:",
            "KeyError, or values lost",
        ),
        Mutant(
            "the last pattern counts",
            "next(fitting, -1)",
            "max(fitting, default=-1)",
            "other hyperparameters where two patterns fit",
            GROUPS,
        ),
        Mutant(
            "idle patterns",
            "if idle:",
            "if False:",
            "a misspelt pattern goes unseen",
            GROUPS,
        ),
        Mutant(
            "patterns of any kind",
            "if not isinstance(pattern, str):",
            "if False:",
            "an error that says something else",
            GROUPS,
        ),
        Mutant(
            "masks are turned",
            "[0 if taken else 1 for",
            "[1 if taken else 0 for",
            "biases decay and weights do not",
            COMPAT,
        ),
        Mutant(
            "an update, one by one",
            "change_all(self._stepper, [self.changed(dict(*given, **values))])",
            "for name in (new := dict(*given, **values)):\n            self[name] = new[name]",
            "half an update where a value is wrong",
            GROUPS,
        ),
        Mutant(
            "a number over a schedule: no word",
            "if followed and number is not None and not callable(number):",
            "if False:",
            "lr *= 0.5 ends a schedule unseen",
            GROUPS,
        ),
        Mutant(
            "a schedule over a schedule: a warning",
            "if followed and number is not None and not callable(number):",
            "if followed and number is not None:",
            "the warning's advice warns",
            GROUPS,
        ),
        Mutant(
            "a number over a schedule: once for each group",
            "break  # once",
            "pass  # once",
            "the same warning again and again",
            GROUPS,
        ),
        Mutant(
            "a number over a schedule: in pairs unseen",
            "if isinstance(value, tuple):\n            yield from",
            "if False:\n            yield from",
            "betas drop a schedule unseen",
            GROUPS,
        ),
        Mutant(
            "whole names are patterns too",
            "return name == pattern if pattern in names else fnmatchcase(name, pattern)",
            "return name == pattern or fnmatchcase(name, pattern)",
            "'W[1]' takes W1 as well",
            GROUPS,
        ),
        Mutant(
            "saved products of any kind",
            "if not pair or not all(",
            "if not pair and not all(",
            "an error that says something else",
            GROUPS,
        ),
    ),
]
