"""Small experiments behind docs/performance.md: when threads pay, what many arrays and denormals cost.

Run by themselves, `python benchmarks/experiments.py threads`, `arrays` or `denormals` (ten minutes;
`denormals-quick` sees those of β = 0.9 alone); no part of the comparison.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import gradstep as gs
from cases import Array
from gradstep import _core

Run = Callable[[], None]
OTHER_WORK = 2e-4  # seconds between two steps, in which helpers fall asleep
BLOCK = 20  # steps that are looked at together


def close(run: Run, seconds: float = 2e-3) -> float:
    """Return the seconds of one of many runs that follow each other at once."""
    for _ in range(3):
        run()
    begin, count = time.perf_counter(), 0
    while time.perf_counter() < begin + seconds:
        run()
        count += 1
    return (time.perf_counter() - begin) / count


def apart(run: Run) -> float:
    """Return the seconds of a run with other work on the caller's core before it."""
    samples = []
    for _ in range(9):
        end = time.perf_counter() + OTHER_WORK
        while time.perf_counter() < end:
            pass
        begin = time.perf_counter()
        run()
        samples.append(time.perf_counter() - begin)
    return float(np.median(samples))


def step(rule: type[gs.Optimizer], params: object, grads: object, **options: Any) -> Run:
    optimizer = rule(params, **options)
    return lambda: optimizer.step(grads)


def threads() -> None:
    """Print one thread against two, however small the step, with helpers awake and asleep."""
    rng = np.random.default_rng(0)
    _core.set_work_per_thread(1, 1)
    print("rule, elements, written |  close: 1, 2 threads  |  apart: 1, 2 threads   (µs)")
    for rule, arrays in ((gs.Adam, 3), (gs.SGD, 1)):
        for n in (8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 1_024_000):
            w, g = (rng.standard_normal(n, dtype=np.float32) for _ in range(2))
            run = step(rule, w, g)
            times: dict[tuple[str, int], list[float]] = {}
            for _ in range(9):
                for count in (1, 2):
                    gs.set_num_threads(count)
                    times.setdefault(("close", count), []).append(close(run))
                    times.setdefault(("apart", count), []).append(apart(run))
            micro = {key: np.median(values) * 1e6 for key, values in times.items()}
            row = [
                f"{micro[how, 1]:7.1f} {micro[how, 2]:7.1f} {micro[how, 1] / micro[how, 2]:5.2f}"
                for how in ("close", "apart")
            ]
            print(f"{rule.__name__:5}{n:10,}{arrays * n:11,} | {' | '.join(row)}", flush=True)


def arrays() -> None:
    """Print what 2,000 arrays of 1,000 cost beside one of the same total, in three places."""
    rng = np.random.default_rng(0)
    many, each = 2000, 1000

    def drawn() -> Array:
        return rng.standard_normal(many * each, dtype=np.float32)

    def cut(whole: Array) -> list[Array]:
        return np.split(whole, many)

    one = step(gs.Adam, drawn(), drawn())
    slices = step(gs.Adam, cut(drawn()), cut(drawn()))  # 8 MB each: in huge pages, on Linux
    apart_, grads = [x.copy() for x in cut(drawn())], [x.copy() for x in cut(drawn())]
    runs = {"one array": one, "slices of one": slices, "arrays": step(gs.Adam, apart_, grads)}
    tiny = [np.ones(1, np.float32) for _ in range(2 * many)]
    runs["arrays of a single element"] = step(gs.Adam, tiny[:many], tiny[many:])
    for count in (1, 2):
        gs.set_num_threads(count)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(21):
            for name, run in runs.items():
                times[name].append(close(run, 5e-3))
        first = np.median(times["one array"])
        for name, values in times.items():
            seconds = np.median(values)
            print(f"{count} threads, {name:28} {seconds * 1e6:7.0f} µs {seconds / first:5.2f}")


SINKING: list[tuple[type[gs.Optimizer], dict[str, Any]]] = [
    (gs.Momentum, {}),
    (gs.Momentum, {"nesterov": True}),
    (gs.RMSprop, {}),
    (gs.RMSprop, {"centered": True}),
    (gs.RMSprop, {"momentum": 0.9}),
    (gs.Adam, {}),
    (gs.Adam, {"betas": (0.9, 0.9)}),
    (gs.Adam, {"amsgrad": True}),
    (gs.AdamW, {}),
]


def numpy_momentum(w: Array, g: Array) -> Run:
    """Return a step as NumPy takes it in place, which keeps what is denormal."""
    m, product = np.zeros_like(w), np.empty_like(w)

    def run() -> None:
        np.multiply(m, np.float32(0.9), out=m)
        np.multiply(g, np.float32(0.1), out=product)
        np.add(m, product, out=m)
        np.multiply(m, np.float32(1e-6), out=product)
        np.subtract(w, product, out=w)

    return run


def sink(make: Callable[[Array, Array], Run], steps: int) -> list[float]:
    """Return what steps of zero gradients take over those of a twin with usual ones, in blocks."""
    rng = np.random.default_rng(0)
    runs = []
    for usual in (False, True):
        w, g = (rng.standard_normal(100_000, dtype=np.float32) for _ in range(2))
        runs.append(make(w, g))
        for _ in range(10):
            runs[-1]()
        if not usual:
            g[...] = 0
    ratios = []
    for _ in range(steps // BLOCK):
        samples = np.empty((BLOCK, 2))
        for sample in samples:
            for i, run in enumerate(runs):
                begin = time.perf_counter()
                run()
                sample[i] = time.perf_counter() - begin
        sinking, usually = np.median(samples, axis=0)
        ratios.append(sinking / usually)
    return ratios


def denormals(steps: int = 100_000, repeats: int = 3) -> None:
    """Print what a step costs while moments sink to nothing, over that of one in full swing.

    They sink alike in every repeat, and what else the machine does is elsewhere: the median stands.
    """

    def report(name: str, make: Callable[[Array, Array], Run], steps: int) -> None:
        ratios = np.median([sink(make, steps) for _ in range(repeats)], axis=0)
        slowest = int(np.argmax(ratios))
        print(
            f"{name:20} first {BLOCK} steps {ratios[0]:5.2f}, median {np.median(ratios):5.2f}, "
            f"slowest {ratios[slowest]:5.2f} (at step {BLOCK * slowest:,})",
            flush=True,
        )

    gs.set_num_threads(1)
    for rule, options in SINKING:
        name = f"{rule.__name__} {' '.join(options)}"
        report(name, lambda w, g: step(rule, w, g, lr=1e-6, **options), steps)  # noqa: B023
    report("Momentum in NumPy", numpy_momentum, min(steps, 2_000))


if __name__ == "__main__":
    experiments: dict[str, Callable[[], None]] = {
        "threads": threads,
        "arrays": arrays,
        "denormals": denormals,
        "denormals-quick": lambda: denormals(2_000, 9),
    }
    for name in sys.argv[1:] or ["threads", "arrays"]:
        experiments[name]()
