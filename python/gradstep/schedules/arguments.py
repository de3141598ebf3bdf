"""The arguments of a schedule: each is checked, and stored as a plain value that cannot change.

The checks themselves are in gradstep/checks.py. The classes say which of their arguments is what.
"""

import math
from collections.abc import Callable

import gradstep.checks as checks


def label_of(schedule: object, name: str) -> str:
    """Return what an argument of a schedule is called in errors."""
    return f"{type(schedule).__name__}: {name}"


def store(schedule: object, name: str, value: object) -> None:
    """Set an argument of a frozen schedule while it is being made."""
    object.__setattr__(schedule, name, value)


def store_floats(schedule: object, *names: str, least: float = 0.0, strictly: bool = False) -> None:
    """Check arguments that are finite numbers, and set them as plain floats."""
    for name in names:
        given = getattr(schedule, name)
        value = checks.finite(label_of(schedule, name), given, least, strictly=strictly)
        store(schedule, name, value)


def store_counts(schedule: object, *names: str, least: int = 1) -> None:
    """Check arguments that are integers, and set them as plain ints within the floats."""
    for name in names:
        label = label_of(schedule, name)
        count = checks.integer(label, getattr(schedule, name), least)
        store(schedule, name, checks.number(label, count))


def store_tuple(schedule: object, name: str, convert: Callable[[str, object], object]) -> None:
    """Check an argument that is a list, entry by entry, and set it as a tuple."""
    label = label_of(schedule, name)
    given = checks.sequence(label, getattr(schedule, name))
    store(schedule, name, tuple(convert(f"{label}[{i}]", x) for i, x in enumerate(given)))


def store_pieces(schedule: object, name: str, convert: Callable[[str, object], object]) -> None:
    """Store ``boundaries`` and the argument that has one piece more than they."""
    store_tuple(schedule, "boundaries", checks.number)
    store_tuple(schedule, name, convert)
    boundaries, pieces = (getattr(schedule, field) for field in ("boundaries", name))
    if not all(a < b for a, b in zip((0, *boundaries), (*boundaries, math.inf), strict=True)):
        raise ValueError(
            f"{label_of(schedule, 'boundaries')} must be finite, > 0 and strictly increasing, "
            f"got {boundaries}"
        )
    if len(pieces) != len(boundaries) + 1:
        raise ValueError(
            f"{label_of(schedule, name)} must be one more than the boundaries, "
            f"got {len(pieces)} for {len(boundaries)} boundaries"
        )
