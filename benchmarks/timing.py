"""The one way in which everything here is timed: samples taken in turn, and their quartiles.

What is timed comes as a function from a number of runs to the seconds they took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypedDict

import numpy as np

Sampler = Callable[[int], float]

SAMPLE = 2e-3  # seconds that one sample lasts at least: well above the clock and its callers
LONG = 0.05  # seconds of a run that has emptied the caches by itself: it needs no warming up
# OpenMP's threads go on spinning after a parallel region, up to 15 ms as GNU's runtime is set by
# default, on the cores that the next in turn wants. Before every sample they are waited out.
PAUSE = 0.02


class Times(TypedDict):
    """Seconds of one run: the median and the quartiles of all samples."""

    q1: float
    median: float
    q3: float


def looped(function: Callable[..., object], *arguments: object) -> Sampler:
    """Return the sampler of a call."""

    def sample(count: int) -> float:
        begin = time.perf_counter()
        for _ in range(count):
            function(*arguments)
        return time.perf_counter() - begin

    return sample


def measure(
    samplers: Mapping[str, Sampler],
    rounds: int,
    *,
    least: float = SAMPLE,
    seconds: float = 0.0,
) -> dict[str, Times]:
    """Time all samplers in turn, round by round, so that they share the machine's good and bad times.

    Each sample lasts `least` seconds or one run. Before it come a pause and untimed runs for a
    quarter as long, which bring its arrays back into the caches and wake its threads. Every other
    round goes backwards, so that nobody always follows the same. There are at least `rounds`
    rounds, and more until `seconds` are over.
    """
    counts, warm = {}, {}
    for name, sample in samplers.items():
        counts[name] = 1
        sample(1)  # may compile, or meet its memory for the first time
        while (took := _best_of_three(sample, counts[name])) < least:
            counts[name] *= 2
        warm[name] = 0 if took / counts[name] > LONG else max(1, counts[name] // 4)
    samples: dict[str, list[float]] = {name: [] for name in samplers}
    end = time.perf_counter() + seconds
    done = 0
    while done < rounds or time.perf_counter() < end:
        done += 1
        for name in samplers if done % 2 else reversed(list(samplers)):
            time.sleep(PAUSE)
            if warm[name]:
                samplers[name](warm[name])
            samples[name].append(samplers[name](counts[name]) / counts[name])
    return {name: quartiles(values) for name, values in samples.items()}


def _best_of_three(sample: Sampler, count: int) -> float:
    """Take three short samples: one interruption must not make them look long enough."""
    took = sample(count)
    return took if took > LONG else min(took, sample(count), sample(count))


def quartiles(values: list[float]) -> Times:
    """Return what is reported of some samples."""
    q1, median, q3 = map(float, np.percentile(values, [25, 50, 75]))
    return {"q1": q1, "median": median, "q3": q3}
