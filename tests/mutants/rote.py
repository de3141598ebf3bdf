"""What a rote change is, and what those of Python and of C++ share."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PAIRS = (
    ("<", "<="), (">", ">="), ("==", "!="), ("is", "is not"), ("in", "not in"),
    ("and", "or"), ("&&", "||"), ("&", "|"), ("++", "--"), ("+", "-"), ("*", "/"), ("//", "%"),
    ("+=", "-="), ("*=", "/="), ("min", "max"), ("any", "all"), ("any_of", "all_of"),
)  # fmt: skip
SWAPPED = dict(_PAIRS) | {other: one for one, other in _PAIRS}


@dataclass(frozen=True)
class Change:
    """Characters of a source, and what stands there instead."""

    kind: str
    start: int
    stop: int
    new: str


def other_number(literal: str) -> str:
    """Return 1 for 0 and 0 for 1; else one more, the double, or the next power of two."""
    if power := re.fullmatch(r"(0x[\da-fA-F.]+p)([+-]?\d+)([fFlL]?)", literal):
        return f"{power[1]}{int(power[2]) + 1}{power[3]}"
    digits = literal.rstrip("uUlL")
    try:
        whole = int(digits.replace("'", ""), 0)
    except ValueError:
        digits = literal.rstrip("fFlL")
        real = float(digits)
        return f"{1.0 - real if real in (0.0, 1.0) else 2 * real}{literal[len(digits) :]}"
    return f"{1 - whole if whole in (0, 1) else whole + 1}{literal[len(digits) :]}"
