"""Ways to break python/gradstep/optimizers/groups.py."""

from listing import ERRORS, GROUPS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/groups.py",
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
            "saved products of any kind",
            "if not pair or not all(",
            "if not pair and not all(",
            "an error that says something else",
            GROUPS,
        ),
    ),
]
