"""What a section of the comparison is made of, and how its numbers are written.

The sections are steps.py, around.py, loop.py, batches.py, averages.py, overhead.py and scaling.py; compare.py
joins them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Result = dict[str, Any]  # plain values only: it is written as JSON
NONE = "–"


@dataclass(frozen=True)
class Options:
    """What the command line asks of every section."""

    threads: int
    rounds: int
    quick: bool = False
    max_elements: int = 10**9


@dataclass(frozen=True)
class Section:
    """One table: `measure` yields results, each of which `cells` turns into a row."""

    title: str
    about: str
    width: int  # of the first column
    headings: Callable[[], Sequence[str]]
    measure: Callable[[Options], Iterator[Result]]
    cells: Callable[[Result], Sequence[str]]
    notes: Callable[[Sequence[Result]], Sequence[str]] = lambda results: []


def duration(seconds: float) -> str:
    """Return seconds with three digits in a unit that suits."""
    for limit, scale, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds:.3g} s"


def median(result: Result, name: str) -> float | None:
    """Return the median seconds of one contestant, None where it did not take part."""
    times = result["seconds"].get(name)
    return None if times is None else float(times["median"])


def ratio(result: Result, name: str, to: str = "gradstep") -> str:
    """Return how many times as long as another one took."""
    a, b = median(result, name), median(result, to)
    return NONE if a is None or b is None else f"{a / b:.2f}"


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return a row of the table: the first cell from the left, the others from the right."""
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return "  ".join(padded).rstrip()
