"""One command that times Adam's step: every peer, every case, and the memory's own limit.

What is stepped is in cases.py, who steps in peers.py, the limit in limit.py.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import gradstep as gs
from cases import CASES, SINGLE, Case
from limit import Limit
from peers import PEERS, Run, refuse_disagreement

BYTES = 7 * 4  # an element: read w, g, m, v and write w, m, v, each a float32
SAMPLE = 2e-3  # seconds that one sample lasts at least: well above the clock and its callers
LONG = 0.05  # seconds of a step that has emptied the caches by itself: it needs no warming up

Repeat = Callable[[int], None]
Result = dict[str, Any]


def repeat(run: Run) -> Repeat:
    def steps(count: int) -> None:
        for _ in range(count):
            run.step()

    return steps


def timed(run: Repeat, count: int) -> float:
    begin = time.perf_counter()
    run(count)
    return time.perf_counter() - begin


def measure(runs: dict[str, Repeat], rounds: int) -> dict[str, dict[str, float]]:
    """Time all runs in turn, round by round, so that they share the machine's good and bad times.

    Each sample follows one untimed step, which brings the run's own arrays back into the caches.
    """
    counts, warm = {}, {}
    for name, run in runs.items():
        counts[name] = 1
        # The best of three: one interruption must not make a short sample look long enough.
        while (seconds := min(timed(run, counts[name]) for _ in range(3))) < SAMPLE:
            counts[name] *= 2
        warm[name] = int(seconds < LONG)
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run(warm[name])
            samples[name].append(timed(run, counts[name]) / counts[name])
    quartiles = {name: np.percentile(values, [25, 50, 75]) for name, values in samples.items()}
    return {
        name: dict(zip(("q1", "median", "q3"), map(float, q), strict=True))
        for name, q in quartiles.items()
    }


def compare(case: Case, limit: Limit, threads: int, rounds: int) -> Result:
    """Check and time one case."""
    grads = case.grads()
    runs = {peer.name: peer.start(case.params(), grads) for peer in PEERS if peer.version}
    refuse_disagreement(case.name, runs, grads)
    repeats = {name: repeat(run) for name, run in runs.items()}
    if not limit.unavailable:
        # The threads of a small step cost more than they bring: the limit is the better of both.
        for n, run in limit.start(case.elements, {1, threads}).items():
            repeats[f"limit:{n}"] = run
    seconds = measure(repeats, rounds)
    limits = [seconds.pop(name) | {"threads": int(name[6:])} for name in repeats if ":" in name]
    return {
        "case": case.name,
        "elements": case.elements,
        "arrays": len(case.shapes),
        "seconds": seconds,
        "limit": min(limits, key=lambda times: times["median"], default=None),
    }


def bandwidth(result: Result, times: dict[str, float]) -> float:
    """Return GB/s: a step's least traffic over its time, whatever traffic it really made."""
    return float(BYTES * result["elements"] / times["median"] / 1e9)


def machine(threads: int, rounds: int) -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),  # of others, where it is not near zero
        "date": datetime.date.today().isoformat(),
        "level": gs.cpu_info()["isa"],
        "threads": threads,
        "rounds": rounds,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "peers": {peer.name: peer.version for peer in PEERS},
    }


def duration(seconds: float) -> str:
    scale, unit = (1e6, "µs") if seconds < 1e-3 else (1e3, "ms")
    return f"{seconds * scale:.3g} {unit}"


OTHERS = [peer.name for peer in PEERS if peer.version and peer.name != "gradstep"]
HEADINGS = [
    *("case", "elements", "arrays", "gradstep"),
    *(f"{name}/gradstep" for name in OTHERS),
    *("gradstep GB/s", "limit GB/s", "share of limit"),
]


def row(result: Result) -> list[str]:
    ours = result["seconds"]["gradstep"]
    speed = bandwidth(result, ours)
    cells = [result["case"], f"{result['elements']:,}", str(result["arrays"])]
    cells += [duration(ours["median"])]
    cells += [f"{result['seconds'][name]['median'] / ours['median']:.2f}" for name in OTHERS]
    cells += [f"{speed:.3g}"]
    if result["limit"] is None:
        return [*cells, "–", "–"]
    limit = bandwidth(result, result["limit"])
    return [*cells, f"{limit:.3g}", f"{speed / limit:.0%}"]


def line(cells: list[str]) -> str:
    widths = [28, *(max(11, len(heading)) for heading in HEADINGS[1:])]
    padded = [cells[0].ljust(widths[0])]
    padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "| " + " | ".join(padded) + " |"


# Okabe and Ito's colours, which the colour-blind tell apart; a marker each says it twice.
LOOKS = {
    "gradstep": ("#0072B2", "o"),
    "blocked": ("#009E73", "^"),
    "tuned": ("#E69F00", "s"),
    "naive": ("#D55E00", "v"),
}
SPARE_LOOKS = [("#CC79A7", "D"), ("#56B4E9", "P"), ("#777777", "X")]
LABELS = {"blocked": "NumPy, blocked", "tuned": "NumPy, in place", "naive": "NumPy, as in a course"}


def draw(results: list[Result], about: dict[str, Any], path: str) -> None:
    """Draw bandwidth over size: lines for single arrays, hollow marks for models."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = {case.name for case in SINGLE}
    single = [result for result in results if result["case"] in names]
    models = [result for result in results if result["case"] not in names]
    sizes = [result["elements"] for result in single]
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    if all(result["limit"] for result in single):
        speeds = [bandwidth(result, result["limit"]) for result in single]
        axes.plot(sizes, speeds, "--", color="black", label="the memory's limit")
    spare = iter(SPARE_LOOKS)
    for name in ["gradstep", *reversed(OTHERS)]:
        color, marker = LOOKS.get(name) or next(spare)
        speeds = [bandwidth(result, result["seconds"][name]) for result in single]
        width = 2.5 if name == "gradstep" else 1.5
        label = LABELS.get(name, name)
        axes.plot(sizes, speeds, marker=marker, color=color, lw=width, ms=7, label=label)
        at = [result["elements"] for result in models]
        speeds = [bandwidth(result, result["seconds"][name]) for result in models]
        axes.plot(at, speeds, marker, color=color, mfc="white", ms=7, mew=1.5)
    axes.set(xscale="log", yscale="log", xlabel="elements in one step", ylabel="GB/s")
    axes.set_title(
        f"Adam, float32: bandwidth of a step (28 bytes an element)\n"
        f"{about['cpu']}, {about['threads']} threads; hollow: models of many arrays"
    )
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the same as --max-elements 1000000")
    parser.add_argument(
        "--max-elements", type=int, help="leave out larger cases; 1e8 takes about 10 GB of memory"
    )
    parser.add_argument("--rounds", type=int, default=21, help="samples of each (default 21)")
    parser.add_argument("--threads", type=int, default=gs.get_num_threads())
    parser.add_argument("--json", metavar="FILE", help="write medians and quartiles")
    parser.add_argument("--picture", metavar="FILE", help="draw bandwidth over size")
    arguments = parser.parse_args()
    largest = arguments.max_elements or (10**6 if arguments.quick else 10**9)
    gs.set_num_threads(arguments.threads)

    begin = time.perf_counter()
    about = machine(arguments.threads, arguments.rounds)
    print("\n".join(f"{name}: {value}" for name, value in about.items()))
    limit = Limit()
    if limit.unavailable:
        print(f"the memory's limit is unavailable: {limit.unavailable}")
    print(f"\n{line(HEADINGS)}\n{line(['-' * 28, *('-' * 11 for _ in HEADINGS[1:])])}")
    results = []
    for case in CASES:
        if case.elements <= largest:
            results.append(compare(case, limit, arguments.threads, arguments.rounds))
            print(line(row(results[-1])), flush=True)
    print(f"\nAll answers agree. {time.perf_counter() - begin:.0f} s")
    if arguments.json:
        text = json.dumps({"machine": about, "results": results}, indent=1)
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")
    if arguments.picture:
        draw(results, about, arguments.picture)


if __name__ == "__main__":
    main()
