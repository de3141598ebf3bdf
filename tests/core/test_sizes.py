"""From no element to more than 2³¹ of them, in one array and in total."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
from support.effort import FULL, endurance
from support.oracle import CASES, LOOPS, Case

Array = NDArray[Any]
# Elements: more than a signed number of 32 bits counts.
HUGE = 2**31 + 1025


SMALLEST: list[tuple[int, ...]] = [(0,), (3, 0, 2), (), (1,), (1, 1, 1), (2,)]


def check_small(case: Case, *shapes: tuple[int, ...]) -> None:
    params = [np.ones(shape) for shape in shapes]
    judged = [w.copy() for w in params]
    states = [case.new_state(w) for w in params]
    opt = case.optimizer(params, lr=0.1, **case.options)
    for t in (1, 2):
        grads = [np.full(shape, 0.5) for shape in shapes]
        opt.step(grads)
        judged = [case.step(w, g, s, t, 0.1) for w, g, s in zip(judged, grads, states, strict=True)]
    for w, expected in zip(params, judged, strict=True):
        np.testing.assert_allclose(w, expected, rtol=1e-12)
    assert opt.t == 2


@pytest.mark.parametrize("shape", SMALLEST, ids=str)
def test_the_smallest(shape: tuple[int, ...], threads: int) -> None:
    check_small(CASES[-1], shape)
    check_small(CASES[-1], shape, (3,))


@pytest.mark.parametrize("case", LOOPS, ids=str)
def test_the_smallest_together(case: Case, threads: int) -> None:
    check_small(case, *SMALLEST, (3,))


def require_memory(gib: float) -> None:
    """Skip unless everything is to be tried, and this much memory is free."""
    if not FULL:
        pytest.skip(f"takes {gib} GiB of memory; run `nox -s endurance`")
    try:
        with open("/proc/meminfo") as lines:
            free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except OSError:
        return  # not on Linux: try
    if free * 1024 < gib * 2**30:
        pytest.skip(f"takes {gib} GiB of memory; run `nox -s endurance` where they are free")


def of_ones(*sizes: int) -> list[Array]:
    return [np.ones(n, np.float32) for n in sizes]


def require_everywhere(arrays: list[Array], value: float) -> None:
    for w in arrays:
        for begin in range(0, w.size, 2**26):
            assert np.all(w[begin : begin + 2**26] == value), begin


# Sizes, whether gradients are dense, and threads. Zeros that nobody writes take no memory.
LARGE = {
    "one array": ([HUGE], True, 2),
    "one array, one thread": ([HUGE], True, 1),
    "one array, in tiles": ([HUGE], False, 2),
    "several arrays": ([2**30 + 1, 2**29, 0, 2**29 + 1024], True, 2),
}


@endurance
@pytest.mark.parametrize("kind", LARGE)
def test_more_than_a_count_of_32_bits(kind: str) -> None:
    require_memory(9)
    sizes, dense, count = LARGE[kind]
    params = of_ones(*sizes)
    # Borders of what 31 and 32 bits count, as elements and as bytes.
    marks = [k * 2**e + d for k in (1, 2, 3) for e in (29, 30) for d in (-1, 0, 1)]
    marks = sorted({m for m in [*marks, 0, 2**31 - 1, 2**31, 2**31 + 1, HUGE - 1] if m < HUGE})
    offsets = np.cumsum([0, *sizes])
    places = []
    for value, mark in enumerate(marks, 2):
        i = int(np.searchsorted(offsets, mark, "right")) - 1
        places.append((i, mark - offsets[i], value))
        params[i][mark - offsets[i]] = value
    zeros = np.zeros(max(sizes) if dense else 1, np.float32)
    grads = [zeros[:n] if dense else np.broadcast_to(zeros, n) for n in sizes]
    with gs.threads(count):
        opt = gs.SGD(params, lr=0.5, weight_decay=0.5)
        opt.step(grads)
        opt.step(grads)
    for i, at, value in places:
        assert params[i][at] == 0.5625 * value
        params[i][at] = 0.5625
    require_everywhere(params, 0.5625)
