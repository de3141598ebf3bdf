"""What a mutant is, and what the lists of mutants share.

The mutants of a source file are in a file of the same name: those of ``cpp/engine/pool.cpp`` in
``cpp/engine/pool.py``. Each is one text of the source, replaced by another. The text must stand exactly
once, so keep it short but unique. `harm` says what a user would see. `tests` are the tests that are
likely to notice, in the order in which they run. `survives` says why no test on this machine can notice;
a mutant without it has to be caught.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


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


def in_file(file: str, tests: str, *mutants: Mutant) -> list[Mutant]:
    """Place mutants in a file, with the tests that run first where a mutant names no others."""
    return [replace(m, file=file, tests=m.tests or tests) for m in mutants]


BITS, ERRORS, NUMBERS, OPTIMIZER, PARALLEL = (
    f"tests/test_{name}.py" for name in ("bits", "errors", "numbers", "optimizer", "parallel")
)
AVERAGING, BATCHES, SCHEDULES, STEPS = (
    f"tests/test_{name}.py" for name in ("averaging", "batches", "schedules", "steps")
)
ACCURACY, COMPAT, GROUPS, SKLEARN = (
    f"tests/test_{name}.py" for name in ("accuracy", "compat", "groups", "sklearn")
)
ARCHIVE, CHECKPOINT, FILES = (
    f"tests/test_{name}.py" for name in ("archive", "checkpoint", "files")
)
ONE_STEP, AVERAGED, FORK = (f"tests/test_{name}.py" for name in ("one_step", "averaged", "fork"))
DISTRIBUTED = "tests/test_distributed.py"
NAMES, REBINDING = (f"tests/test_{name}.py" for name in ("names", "rebinding"))
FORMULAS = f"{STEPS}::test_thirty_steps_in_float64"
LAYOUTS = f"{STEPS}::test_every_layout_with_every_gradient"
BEFORE_MEAN = ";\n  }\n  GRADSTEP_INLINE T mean"  # Adadelta has the same average
UNALIGNED = "x86-64 reads what is not aligned as well; `nox -s sanitize` reports it, and other processors may"
SPEED = "the same numbers, slower"
ANEW = (
    "a change or a load makes the group's powers anew; a beta that follows a schedule has a product"
)
