"""One command that measures all of it: prints the tables, writes figures as JSON and the picture.

Each table is a section of its own: steps.py, around.py, loop.py, batches.py, averages.py, overhead.py,
scaling.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch_first  # noqa: F401  (ahead of everything that imports gradstep)

# isort: split

import around
import averages
import batches
import gradstep as gs
import loop
import overhead
import packages
import picture
import scaling
import steps
from machine import machine
from report import Options, Result, Section, line

SECTIONS = {
    "steps": steps.SECTION,
    "around": around.SECTION,
    "loop": loop.SECTION,
    "batches": batches.SECTION,
    "averages": averages.SECTION,
    "overhead": overhead.SECTION,
    "scaling": scaling.SECTION,
}

BUSY = 0.3  # load before anything is measured


def run(section: Section, options: Options) -> list[Result]:
    """Measure a section and print its rows, each as soon as it is there."""
    headings = section.headings()
    print(f"\n{section.title}\n{'=' * len(section.title)}\n{section.about}\n")
    results: list[Result] = []
    widths: list[int] = []
    for result in section.measure(options):
        cells = section.cells(result)
        if not results:
            rest = zip(headings[1:], cells[1:], strict=True)
            widths = [section.width, *(max(11, len(h), len(cell) + 2) for h, cell in rest)]
            print(line(headings, widths))
            print(line(["-" * width for width in widths], widths))
        results.append(result)
        print(line(cells, widths), flush=True)
    for note in section.notes(results):
        print(note, flush=True)
    return results


def selected(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(SECTIONS)}")
    return [name for name in SECTIONS if name in names]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a rough look, in about a minute")
    parser.add_argument(
        "--only", type=selected, default=list(SECTIONS), metavar="SECTIONS",
        help=f"of {','.join(SECTIONS)}; several with commas between",
    )  # fmt: skip
    parser.add_argument(
        "--max-elements", type=int, default=10**9, metavar="N",
        help="leave out larger cases; a step of 1e8 takes about 14 GB of memory",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help="samples of each (default 21; --quick: 7)")
    parser.add_argument("--threads", type=int, default=gs.get_num_threads(), help="of every peer")
    parser.add_argument("--json", metavar="FILE", help="write medians and quartiles")
    parser.add_argument("--picture", metavar="FILE", help="draw bandwidth over array size")
    parsed = parser.parse_args(arguments)
    if parsed.picture and "steps" not in parsed.only:
        parser.error("the picture shows the section of steps; add it to --only")
    return parsed


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = parse(arguments)
    rounds = parsed.rounds or (7 if parsed.quick else 21)
    options = Options(parsed.threads, rounds, parsed.quick, parsed.max_elements)
    begin = time.perf_counter()
    about = machine(options.threads, options.rounds)
    print("\n".join(f"{name}: {value}" for name, value in about.items()))
    for missing in packages.missing():
        print(missing)
    if about["load"] > BUSY:
        print(
            f"Others are busy here, load {about['load']}: whoever uses all cores then waits for "
            "them, in every parallel region, and looks many times slower than it is."
        )
    results = {name: run(SECTIONS[name], options) for name in parsed.only}
    print(f"\nAll answers are right. {time.perf_counter() - begin:.0f} s")
    if parsed.json:
        text = json.dumps({"machine": about, **results}, indent=1, ensure_ascii=False)
        Path(parsed.json).write_text(text + "\n", encoding="utf-8")
    if parsed.picture:
        picture.draw(results["steps"], results.get("around", []), about, parsed.picture)


if __name__ == "__main__":
    main()
