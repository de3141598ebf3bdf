"""That the judge of the comparison refuses every peer that computes something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cases import CASES, Arrays, Case
from judge import EPS, LR, Convention, Judged, refuse_disagreement
from peers import Run, gradstep

SMALL = [case for case in CASES if case.elements <= 10**5]
RIGHT: dict[Convention, dict[str, Any]] = {"inside": {}, "outside": {"eps": EPS, "eps_root": 0.0}}
WRONG: list[dict[str, Any]] = [
    {"eps": 0.0, "eps_root": 0.0},
    {"eps": 1e-3, "eps_root": 0.0},
    {"bias_correction": False},
    {"betas": (0.9, 0.99)},
    {"betas": (0.8, 0.999)},
    {"lr": 1.002 * LR},
    {"weight_decay": 1e-3},
    {"maximize": True},
]

by_case = pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
by_convention = pytest.mark.parametrize("epsilon", RIGHT)


def judge(case: Case, epsilon: Convention, **options: Any) -> None:
    """Judge two of whom one is right."""
    grads = case.grads()
    judged = {
        "right": Judged(gradstep(case.params(), grads, **RIGHT[epsilon]), epsilon),
        "tried": Judged(gradstep(case.params(), grads, **options), epsilon),
    }
    refuse_disagreement(case, judged, grads)


@by_case
@by_convention
@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_another_formula_is_refused(case: Case, epsilon: Convention, wrong: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match=f"case '{case.name}'.* of peer 'tried' is off"):
        judge(case, epsilon, **{**RIGHT[epsilon], **wrong})


@by_case
@by_convention
def test_epsilon_has_its_place(case: Case, epsilon: Convention) -> None:
    other: Convention = "outside" if epsilon == "inside" else "inside"
    judge(case, epsilon, **RIGHT[epsilon])
    with pytest.raises(RuntimeError, match=f"'tried' is off Adam with ε {epsilon} of the root"):
        judge(case, epsilon, **RIGHT[other])


def forget_last(params: Arrays, start: Arrays) -> None:
    for name, w in params.items():
        w.flat[-1] = start[name].flat[-1]


def forget_array(params: Arrays, start: Arrays) -> None:
    name = list(params)[-1]
    params[name] = start[name]


def not_a_number(params: Arrays, start: Arrays) -> None:
    params["W0"].flat[0] = np.nan


@by_case
@pytest.mark.parametrize("spoil", [forget_last, forget_array, not_a_number])
def test_a_single_wrong_element_is_refused(
    case: Case, spoil: Callable[[Arrays, Arrays], None]
) -> None:
    grads = case.grads()
    run = gradstep(case.params(), grads)

    def spoiled() -> Arrays:
        params = {name: w.copy() for name, w in run.params().items()}
        spoil(params, case.params())
        return params

    with pytest.raises(RuntimeError, match="of peer 'spoiled' is off"):
        refuse_disagreement(case, {"spoiled": Judged(Run(run.step, spoiled), "inside")}, grads)


def test_gradients_are_given_back_as_they_were() -> None:
    case = SMALL[-1]
    grads = case.grads()
    refuse_disagreement(case, {"us": Judged(gradstep(case.params(), grads), "inside")}, grads)
    for name, g in case.grads().items():
        np.testing.assert_array_equal(grads[name], g)
