"""Ways to break python/gradstep/optimizers/groups.py."""

from listing import ERRORS, GROUPS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/groups.py",
        f"{OPTIMIZER} {ERRORS}",
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
    ),
]
