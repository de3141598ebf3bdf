"""The section of steps: every peer takes Adam's step in every case, beside the memory's limit.

The cases are in cases.py, the peers in peers.py, the picture of it in picture.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import limit
from cases import CASES, SINGLE, Case
from judge import Judged, refuse_disagreement
from peers import PEERS, use_threads
from report import NONE, Options, Result, Section, duration, median, ratio
from timing import looped
from timing import measure as take_turns

BYTES = 7 * 4  # an element: read w, g, m, v and write w, m, v, each a float32
QUICK = 10**6


def step_case(case: Case, threads: int, rounds: int) -> Result:
    """Check and time one case."""
    grads = case.grads()
    peers = [peer for peer in PEERS if peer.installed]
    runs = {peer.name: peer.start(case.params(), grads) for peer in peers}
    judged = {peer.name: Judged(runs[peer.name], peer.epsilon) for peer in peers}
    refuse_disagreement(case, judged, grads)
    samplers = {name: looped(run.step) for name, run in runs.items()}
    samplers |= limit.samplers(case.elements, threads, streams=7)
    seconds = take_turns(samplers, rounds)
    best = limit.best(seconds)
    variants = [seconds[name] for name in seconds if name.startswith("numba, ")]
    if variants:
        seconds["numba"] = min(variants, key=lambda times: times["median"])
    return {
        "case": case.name,
        "elements": case.elements,
        "arrays": len(case.shapes),
        "seconds": seconds,
        "limit": best,
    }


def measure(options: Options) -> Iterator[Result]:
    use_threads(options.threads)
    largest = min(options.max_elements, QUICK) if options.quick else options.max_elements
    for case in CASES:
        if case.elements <= largest:
            yield step_case(case, options.threads, options.rounds)


def bandwidth(result: Result, seconds: float) -> float:
    """Return GB/s: a step's least traffic over its time, whatever traffic it really made."""
    return float(BYTES * result["elements"] / seconds / 1e9)


def columns() -> list[str]:
    """Return those who are compared with gradstep: numba's two loops as one."""
    installed = [peer.name for peer in PEERS if peer.installed and peer.name != "gradstep"]
    return list(dict.fromkeys(name.split(", ")[0] for name in installed))


def headings() -> Sequence[str]:
    others = [f"{name}/gs" for name in columns()]
    return ["case", "elements", "gradstep", "ns/elem", *others, "gs GB/s", "limit", "share"]


def cells(result: Result) -> Sequence[str]:
    ours = result["seconds"]["gradstep"]["median"]
    speed = bandwidth(result, ours)
    if result["limit"] is None:
        rest = [NONE, NONE]
    else:
        most = bandwidth(result, result["limit"]["median"])
        rest = [f"{most:.3g}", f"{speed / most:.0%}"]
    return [
        result["case"],
        f"{result['elements']:,}",
        duration(ours),
        f"{ours / result['elements'] * 1e9:.3g}",
        *(ratio(result, name) for name in columns()),
        f"{speed:.3g}",
        *rest,
    ]


def notes(results: Sequence[Result]) -> Sequence[str]:
    ours = {result["case"]: median(result, "gradstep") for result in results}
    many, one = ours.get("1000 arrays of 1000"), ours.get("one array of 1e6")
    lines = []
    if many and one:
        lines.append(f"1000 arrays of 1000 take {many / one:.2f} times as long as one of 1e6.")
    scaling = {case.name: case.elements for case in SINGLE if case.elements >= 1000}
    each = [median / scaling[name] for name, median in ours.items() if name in scaling and median]
    if len(each) > 1:
        lines.append(
            f"From 1e3 elements on, an element takes {min(each) * 1e9:.3g} to "
            f"{max(each) * 1e9:.3g} ns, a factor of {max(each) / min(each):.2g}."
        )
    if limit.unavailable():
        lines.append(f"The memory's limit is unavailable: {limit.unavailable()}")
    return lines


SECTION = Section(
    "A step of Adam in float32",
    "Time of each peer divided by gradstep's (gs). GB/s: 28 bytes an element over the time; limit: a\n"
    "plain C loop over the same seven streams, without a root or a division.",
    28,
    headings,
    measure,
    cells,
    notes,
)
