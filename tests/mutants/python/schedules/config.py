"""Ways to break python/gradstep/schedules/config.py."""

from listing import SCHEDULES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/schedules/config.py",
        SCHEDULES,
        Mutant(
            "subclasses are stored by name",
            "if type(schedule) not in _KINDS.values():",
            "if not isinstance(schedule, tuple(_KINDS.values())):",
            "another formula after loading",
        ),
    ),
]
