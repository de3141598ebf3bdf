"""The section of scaling: a model of a step's time with constants measured here, carried to more cores.

What is measured are one thread and the threads of this machine; all else is computed and says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import gradstep as gs
from cases import Case
from gradstep import _core
from report import NONE, Options, Result, Section, duration
from timing import Sampler, Times, looped, quartiles
from timing import measure as take_turns

BYTES = 28  # an element of Adam in float32: read w, g, m, v and write w, m, v
RESIDENT = 16  # bytes of w, g, m, v
IN_CACHE, WOKEN, IN_MEMORY = 8_000, 5_000, 20_000_000
SIZES = [10**3, 10**4, 10**5, 10**6, 10**7, 10**8]


class Machine(NamedTuple):
    """What of a machine the model knows."""

    name: str
    cores: int
    bandwidth: float  # of its memory, in bytes a second
    caches: float  # bytes, of all cores together


COMPUTED = [
    Machine("8 cores, 60 GB/s", 8, 60e9, 32e6),
    Machine("32, 200 GB/s", 32, 200e9, 128e6),
    Machine("128, 460 GB/s", 128, 460e9, 384e6),
]


def last_cache() -> float:
    """Return the bytes of this machine's largest cache, as Linux tells."""
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    return max((float(size.read_text().strip().rstrip("K")) * 1024 for size in sizes), default=32e6)


def step(elements: int) -> Sampler:
    """Return the sampler of steps that follow closely."""
    case = Case("model", [(elements,)])
    return looped(gs.Adam(case.params()).step, case.grads())


def apart(sampler: Sampler) -> Times:
    """Time steps with other work in between, so that each has to wake its threads."""
    seconds = []
    for _ in range(200):
        end = time.perf_counter() + 2e-4
        while time.perf_counter() < end:
            pass
        seconds.append(sampler(1))
    return quartiles(seconds)


def constants(options: Options) -> dict[str, float]:
    """Measure what the model needs."""
    tiny, cached = step(1), step(IN_CACHE)
    woken, large = step(WOKEN), step(IN_MEMORY // (10 if options.quick else 1))
    before = _core.get_work_per_thread()
    with gs.threads(1):
        ones = {"tiny": tiny, "cached": cached, "large": large}
        alone = {name: t["median"] for name, t in take_turns(ones, options.rounds).items()}
        unwoken = apart(woken)["median"]
    with gs.threads(options.threads):
        together = take_turns({"large": large}, options.rounds)["large"]["median"]
        _core.set_work_per_thread(1, 1)
        wake = apart(woken)["median"] - unwoken
        _core.set_work_per_thread(*before)
    elements = IN_MEMORY // (10 if options.quick else 1)
    return {
        "overhead": alone["tiny"],
        "element": (alone["cached"] - alone["tiny"]) / IN_CACHE,
        "wake": max(wake, 0.0),
        "bandwidth of one": BYTES * elements / alone["large"],
        "bandwidth": BYTES * elements / together,
    }


def model(c: dict[str, float], n: int, machine: Machine) -> tuple[float, int]:
    """Return the seconds of a step and with how many threads, the best number of them."""
    best = (math.inf, 1)
    for threads in range(1, machine.cores + 1):
        wake = c["wake"] * math.ceil(math.log2(threads + 1) - 1)  # a tree: each member wakes two
        seconds = c["element"] * n / threads
        if RESIDENT * n > machine.caches:  # else a step meets its last one's data in the caches
            together = min(threads * c["bandwidth of one"], machine.bandwidth)
            seconds = max(seconds, BYTES * n / together)
        best = min(best, (c["overhead"] + wake + seconds, threads))
    return best


def measure(options: Options) -> Iterator[Result]:
    c = constants(options)
    here = Machine("here", options.threads, c["bandwidth"], last_cache())
    yield {"case": "constants", "constants": c, "here": here._asdict()}
    for n in SIZES:
        row: Result = {"case": f"{n:,} elements", "elements": n}
        if n <= min(options.max_elements, 10**6 if options.quick else 10**9):
            sampler = step(n)
            sampler(2)  # meets its memory for the first time
            with gs.threads(options.threads):
                row["measured"] = apart(sampler)["median"] if n < 10**7 else sampler(5) / 5
        row["here"] = model(c, n, here)
        row["computed"] = {machine.name: model(c, n, machine) for machine in COMPUTED}
        yield row


def headings() -> Sequence[str]:
    return ["step, woken", "measured", "model, here", *(machine.name for machine in COMPUTED)]


def cells(result: Result) -> Sequence[str]:
    if "constants" in result:
        c = result["constants"]
        return [
            f"{duration(c['overhead'])} + {duration(c['wake'])} a waking",
            f"{c['element'] * 1e9:.2f} ns/elem",
            f"{c['bandwidth'] / 1e9:.3g} GB/s",
            *(NONE for _ in COMPUTED),
        ]
    computed = [result["here"], *result["computed"].values()]
    measured = duration(result["measured"]) if "measured" in result else NONE
    return [result["case"], measured, *(f"{duration(s)} ({threads})" for s, threads in computed)]


SECTION = Section(
    "Scaling",
    "A step of Adam with other work in between. The first row has the constants that were measured\n"
    "here; columns with cores are computed from them, with the number of threads that is best.",
    30,
    headings,
    measure,
    cells,
)
