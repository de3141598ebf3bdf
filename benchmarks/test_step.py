"""Benchmarks of the step for pytest-benchmark, each of which also asserts its answer.

`pytest benchmarks --benchmark-enable` times them; in a plain test run each runs once. The table of
ratios and bandwidths is made by compare.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
from cases import CASES, Case
from peers import EPS, LR, PEERS, Peer, gradstep, refuse_disagreement

SMALL = [case for case in CASES if case.elements <= 10**6]
HERE = [peer for peer in PEERS if peer.version]
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
@pytest.mark.parametrize("peer", HERE, ids=lambda peer: peer.name)
def test_peer(benchmark: Any, case: Case, peer: Peer) -> None:
    benchmark.group = f"Adam by peer, {case.name}"
    grads = case.grads()
    runs = {each.name: each.start(case.params(), grads) for each in dict.fromkeys([HERE[0], peer])}
    refuse_disagreement(case.name, runs, grads)
    benchmark(runs[peer.name].step)


@by_case
@pytest.mark.parametrize(
    "wrong",
    [
        {"eps": 1e-3, "eps_root": 0.0},
        {"bias_correction": False},
        {"betas": (0.9, 0.99)},
        {"betas": (0.8, 0.999)},
        {"lr": 1.002 * LR},
    ],
    ids=str,
)
def test_another_formula_is_refused(case: Case, wrong: dict[str, Any]) -> None:
    grads = case.grads()
    runs = {
        "right": gradstep(case.params(), grads),
        "wrong": gradstep(case.params(), grads, **wrong),
    }
    with pytest.raises(RuntimeError, match=f"case '{case.name}'.* of peer 'wrong' is off"):
        refuse_disagreement(case.name, runs, grads)


def test_epsilon_outside_of_the_root_is_refused_at_its_usual_size() -> None:
    case = Case("thousand", [(1000,)])
    grads = case.grads()
    runs = {
        "inside": gradstep(case.params(), grads),
        "outside": gradstep(case.params(), grads, eps=EPS, eps_root=0.0),
    }
    with pytest.raises(RuntimeError, match="peer 'outside'"):
        refuse_disagreement(case.name, runs, grads)
