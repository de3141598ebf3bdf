"""Makes the rote mutants: a comparison swapped, a line dropped, a number one too large.

The mutants that are listed by hand have a harm that is worth reading. Here live those that need no
thought. The tools for Python do not fit. mutmut rewrites each function as a switch between all of its
mutants, so pickles, signatures and tracebacks change, and it forks the process of the tests. cosmic-ray
drops no statement, operand or argument; more than half of its mutants put other arithmetic operators in
the place of one. Neither reads C++, nor copies and builds the package.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import rote_cpp
import rote_python
from listing import ROOT, Mutant
from rote import Change

SOURCES = ("cpp/*/*.[ch]pp", "python/gradstep/**/*.py")


def sources() -> list[str]:
    """Return the paths of all sources."""
    return sorted(str(p.relative_to(ROOT)) for glob in SOURCES for p in ROOT.glob(glob))


def _named(text: str, found: Sequence[Change]) -> Iterator[tuple[str, Change]]:
    """Yield changes with their names: the first line that changes, and what becomes of it.

    There is no line number in it, so a name stays when other lines move.
    """
    count = Counter[str]()
    texts = {text}
    for change in sorted(found, key=lambda c: (c.start, c.stop, c.new)):
        broken = text[: change.start] + change.new + text[change.stop :]
        if broken in texts:
            continue
        texts.add(broken)
        begin = text.rfind("\n", 0, change.start) + 1
        front = text[begin : change.start]
        old = text[change.start :].partition("\n")[0]
        rest = text[change.stop :].partition("\n")[0]
        name = f"{(front + old).strip()} -> {(front + change.new + rest).strip()}"
        count[name] += 1
        yield (name if count[name] == 1 else f"{name} ({count[name]})"), change


def _mutant(text: str, name: str, change: Change) -> Mutant:
    """Make a mutant, of as many whole lines as stand just once."""
    start, stop = change.start, change.stop
    while text.count(text[start:stop]) != 1:
        start = text.rfind("\n", 0, max(start - 1, 0)) + 1
        stop = text.find("\n", stop) + 1 or len(text)
    new = text[start : change.start] + change.new + text[change.stop : stop]
    return Mutant(name, text[start:stop], new, change.kind)


def generated(file: str, tests: str, equivalent: dict[str, str]) -> list[Mutant]:
    """Return the rote mutants of a source, with the tests that run first."""
    text = (ROOT / file).read_text()
    find = rote_python.changes if file.endswith(".py") else rote_cpp.changes
    found = [_mutant(text, name, change) for name, change in _named(text, list(find(text)))]
    room = Path("tests") / ("core" if file.startswith("cpp/") else file.split("/")[2])
    return [
        replace(
            mutant,
            file=file,
            tests=tests,
            room=str(room) if (ROOT / room).is_dir() else "",
            survives=equivalent.get(mutant.name, ""),
            generated=True,
        )
        for mutant in found
    ]


def draw(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Draw some, by their names: the same ones, as long as nobody edits their lines."""

    def rank(mutant: Mutant) -> bytes:
        return hashlib.sha256(f"{seed} {mutant.file} {mutant.name}".encode()).digest()

    return sorted(mutants, key=rank)[:count]
