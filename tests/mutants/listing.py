"""What a mutant is, and what the lists of mutants share.

The mutants of a source file are in a file of the same name: those of ``cpp/engine/pool.cpp`` in
``cpp/engine/pool.py``. Each is one text of the source, replaced by another. The text must stand exactly
once, so keep it short but unique. `harm` says what a user would see. `tests` are the tests that are
likely to notice, in the order in which they run. `survives` says why no test on this machine can notice;
a mutant without it has to be caught. `generated` ones have a `room`, whose tests run before all others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """One way to break the package."""

    name: str
    old: str
    new: str
    harm: str
    tests: str = ""
    survives: str = ""
    file: str = ""
    room: str = ""
    generated: bool = False


def in_file(file: str, tests: str, *mutants: Mutant) -> list[Mutant]:
    """Place mutants in a file, with the tests that run first where a mutant names no others."""
    return [replace(m, file=file, tests=m.tests or tests) for m in mutants]


def _tests(*names: str) -> list[str]:
    """Return the paths of tests, whichever room they are in; a name may be of several."""
    paths = {path.stem[5:]: str(path.relative_to(ROOT)) for path in ROOT.glob("tests/*/test_*.py")}
    return [" ".join(paths[part] for part in name.split()) for name in names]


BITS, NUMBERS, STEPS = _tests("bits", "numbers", "steps")
ERRORS, ONE_STEP = _tests("errors changes memory_of_others", "one_step norm nonfinite")
AVERAGED, AVERAGING, GROUPS = _tests("averaged", "ewa", "groups")
NAMES, OPTIMIZER, REBINDING = _tests("names", "optimizer", "rebinding")
ACCURACY, BATCHES, COMPAT, SCHEDULES = _tests("accuracy", "batches", "compat", "schedules")
ARCHIVE, CHECKPOINT, FILES = _tests("archive", "checkpoint", "files")
DISTRIBUTED, FORK, PARALLEL, SKLEARN = _tests("distributed", "fork", "parallel", "sklearn")
FORMULAS = f"{STEPS}::test_thirty_steps_in_float64"
LAYOUTS = f"{STEPS}::test_every_layout_with_every_gradient"
BEFORE_MEAN = ";\n  }\n  GRADSTEP_INLINE T mean"  # Adadelta has the same average
UNALIGNED = "x86-64 reads what is not aligned as well; `nox -s sanitize` reports it, and other processors may"
SPEED = "the same numbers, slower"
ANEW = (
    "a change or a load makes the group's powers anew; a beta that follows a schedule has a product"
)
