"""The section of what a step costs beside its arithmetic, and of what an import costs.

Measured against NumPy's own cost of a call. Steps over arrays that matter are in steps.py.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence

import numpy as np

import gradstep as gs
from cases import MODELS
from judge import EPS, LR
from report import NONE, Options, Result, Section, duration, median, ratio
from timing import looped, quartiles
from timing import measure as take_turns

TINY = MODELS[0]  # six arrays of 10
ADD = "np.add(a, b, out=c) of 10 elements"
KEYS = {"the parameters' keys": "", "d-keys": "d"}
RATES: dict[str, float | gs.schedules.Cosine] = {
    "a number": LR,
    "a schedule": gs.schedules.Cosine(LR, steps=1000),
}

# What a fresh process says of itself. Linux lists the threads; elsewhere they are not counted.
IMPORT = """
import json, os, time
import numpy
def threads():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else None
before = threads()
begin = time.perf_counter()
import gradstep
seconds = time.perf_counter() - begin
print(json.dumps({"seconds": seconds, "threads before": before, "threads": threads()}))
"""


def step_name(keys: str, rate: str) -> str:
    return f"step of {TINY.name}: {keys}, lr {rate}"


def optimizers() -> dict[str, functools.partial[None]]:
    """Return one step of six tiny arrays for each way to call it."""
    steps = {}
    for keys, prefix in KEYS.items():
        grads = {prefix + name.removeprefix("d"): g for name, g in TINY.grads().items()}
        for rate, lr in RATES.items():
            optimizer = gs.Adam(TINY.params(), lr=lr)
            steps[step_name(keys, rate)] = functools.partial(optimizer.step, grads)
            optimizer.step(grads)
            for name, w in TINY.params().items():
                g = grads[prefix + name].astype(np.float64)
                right = w - LR * g / np.sqrt(g**2 + EPS)  # the first step, from zero moments
                np.testing.assert_allclose(optimizer.params[name], right, rtol=0, atol=1e-3 * LR)
    return steps


def calls(rounds: int) -> Iterator[Result]:
    a, b, c = (np.ones(10, np.float32) for _ in range(3))

    def four() -> None:
        np.add(a, b, out=c)
        np.add(a, b, out=c)
        np.add(a, b, out=c)
        np.add(a, b, out=c)

    samplers = {"four": looped(four)} | {name: looped(run) for name, run in optimizers().items()}
    seconds = take_turns(samplers, rounds)
    if not np.array_equal(c, [2] * 10):
        raise RuntimeError("NumPy does not add")
    for name in list(samplers)[1:]:
        yield {"case": name, "seconds": {"gradstep": seconds[name], "four": seconds["four"]}}


def imports(rounds: int) -> Result:
    """Time the import in fresh processes, after NumPy's."""
    seen = []
    for _ in range(rounds + 1):
        run = [sys.executable, "-c", IMPORT]
        output = subprocess.run(run, check=True, capture_output=True, text=True).stdout
        seen.append(json.loads(output))
    warm = seen[1:]  # the first has read the files
    return {
        "case": "import gradstep, after numpy",
        "seconds": {"gradstep": quartiles([each["seconds"] for each in warm])},
        "threads": {"numpy": warm[0]["threads before"], "numpy, gradstep": warm[0]["threads"]},
    }


def measure(options: Options) -> Iterator[Result]:
    gs.set_num_threads(options.threads)
    yield from calls(options.rounds)
    yield imports(options.rounds)


def cells(result: Result) -> Sequence[str]:
    ours, four = median(result, "gradstep"), median(result, "four")
    assert ours is not None
    if four is None:
        return [result["case"], duration(ours), NONE, NONE]
    one = f"{4 * ours / four:.2f}"
    return [result["case"], duration(ours), one, ratio(result, "gradstep", to="four")]


def notes(results: Sequence[Result]) -> Sequence[str]:
    lines = [
        f"{ADD} takes {duration(result['seconds']['four']['median'] / 4)}."
        for result in results[:1]
        if "four" in result["seconds"]
    ]
    for result in results:
        if "threads" in result:
            counted = (f"{count} after import {name}" for name, count in result["threads"].items())
            lines.append(f"Threads in the process: {', '.join(counted)}.")
    return lines


SECTION = Section(
    "Overhead",
    f"Time as a multiple of one and of four calls {ADD}.",
    58,
    lambda: ["what", "time", "/ one add", "/ four adds"],
    measure,
    cells,
    notes,
)
