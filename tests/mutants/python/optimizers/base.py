"""Ways to break python/gradstep/optimizers/base.py."""

from listing import ERRORS, GROUPS, OPTIMIZER, REBINDING, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/base.py",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "a warning that is an error comes too late",
            "warn_of_dropped_schedules(before, options)\n        _core.commit([prepared])",
            "_core.commit([prepared])\n        warn_of_dropped_schedules(before, options)",
            "an error, and the schedule is gone",
            GROUPS,
        ),
        Mutant(
            "rebound: nothing is watched",
            "*averages, layout.held)",
            "*averages)",
            "a model that never learns",
            REBINDING,
        ),
        Mutant(
            "repr: the rate of the first group",
            "self._stepper.get(group.index, 'lr')!r} now",
            "self._stepper.get(0, 'lr')!r} now",
            "another group's rate is shown",
        ),
        Mutant(
            "lr of the first group",
            "group.changed({rate: value}) for group in self.groups]",
            "group.changed({rate: value}) for group in self.groups[:1]]",
            "other groups keep their rate",
        ),
        Mutant(
            "positions begin anew in a later group",
            "first = sum(structure.positions for structure in layout.structures)",
            "first = 0",
            "a later group cannot be added",
            GROUPS,
        ),
        Mutant(
            "names may stand twice across groups",
            "require_distinct([*state, *(",
            "require_distinct([*(",
            "one state for two parameters",
            GROUPS,
        ),
    ),
]
