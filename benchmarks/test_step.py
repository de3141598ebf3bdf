"""Benchmarks of the step for pytest-benchmark, each of which also asserts its answer.

`pytest benchmarks --benchmark-enable` times them; in a plain test run each runs once. The table of
ratios and bandwidths is made by compare.py; that wrong peers are refused is in test_judge.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
import packages
from cases import CASES, Case
from judge import EPS, LR, Judged, refuse_disagreement
from peers import PEERS, Peer

SMALL = [case for case in CASES if case.elements <= 10**6]
Array = NDArray[np.float64]
Answer = Callable[[Array, Array], Array]

# The first step, where all state comes from zero.
FIRST_STEP: dict[type[gs.Optimizer], Answer] = {
    gs.SGD: lambda w, g: w - LR * g,
    gs.Momentum: lambda w, g: w - LR * 0.1 * g,
    gs.RMSprop: lambda w, g: w - LR * g / np.sqrt(0.1 * g**2 + EPS),
    gs.Adam: lambda w, g: w - LR * g / np.sqrt(g**2 + EPS),
    gs.AdamW: lambda w, g: w * (1 - LR * 0.01) - LR * g / np.sqrt(g**2 + EPS),
}

by_case = pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)


@by_case
@pytest.mark.parametrize("optimizer", FIRST_STEP, ids=lambda cls: cls.__name__)
def test_optimizer(benchmark: Any, case: Case, optimizer: type[gs.Optimizer]) -> None:
    benchmark.group = f"optimizers, {case.name}"
    params, grads = case.params(), case.grads()
    answers = {
        name: FIRST_STEP[optimizer](w.astype(np.float64), grads["d" + name].astype(np.float64))
        for name, w in params.items()
    }
    run = optimizer(params, lr=LR)
    run.step(grads)
    for name, answer in answers.items():
        np.testing.assert_allclose(params[name], answer, rtol=1e-6, atol=1e-3 * LR)
    benchmark(run.step, grads)


@by_case
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peer(benchmark: Any, case: Case, peer: Peer) -> None:
    benchmark.group = f"Adam by peer, {case.name}"
    if not peer.installed and peer.package:
        pytest.skip(packages.missing(peer.package)[0])
    grads = case.grads()
    run = peer.start(case.params(), grads)
    refuse_disagreement(case, {peer.name: Judged(run, peer.epsilon)}, grads)
    benchmark(run.step)
