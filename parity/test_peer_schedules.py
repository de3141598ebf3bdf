"""Each schedule beside its counterpart in optax, Keras or PyTorch, at every step of a run and after it.

Run by `nox -s parity`. Where the peers differ from each other, the docstring of the schedule says whose
side is taken; the other sides stand here too, as what they are known to differ in.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
import optax
import pytest
import torch

from gradstep import schedules as ours

jax.config.update("jax_enable_x64", True)
keras.backend.set_floatx("float64")

K = keras.optimizers.schedules
STEPS = 60  # longer than any of the runs below


def by_torch(lr: float, make: Callable[[Any], Any]) -> list[float]:
    """Return the rates of a scheduler of PyTorch's, which is stepped after the optimizer."""
    w = torch.zeros(1, requires_grad=True)
    w.grad = torch.zeros(1)
    opt = torch.optim.SGD([w], lr=lr)
    scheduler = make(opt)
    rates = []
    for _ in range(STEPS):
        rates.append(opt.param_groups[0]["lr"])
        opt.step()
        scheduler.step()
    return rates


def called(schedule: Any) -> list[float]:
    return [float(schedule(n)) for n in range(STEPS)]


def lr_scheduler(lr: float, name: str, *args: Any, **options: Any) -> list[float]:
    return by_torch(lr, lambda opt: getattr(torch.optim.lr_scheduler, name)(opt, *args, **options))


PAIRS: dict[str, tuple[Any, Callable[[], list[float]]]] = {
    "Constant, optax": (ours.Constant(0.3), lambda: called(optax.constant_schedule(0.3))),
    "Constant, PyTorch": (
        ours.Constant(0.3),
        lambda: lr_scheduler(0.3, "LambdaLR", lambda n: 1.0),
    ),
    "InverseTimeDecay, Keras": (
        ours.InverseTimeDecay(0.3, 0.5, steps_per_epoch=7),
        lambda: called(K.InverseTimeDecay(0.3, 7, 0.5, staircase=True)),
    ),
    "InverseTimeDecay by steps, Keras": (
        ours.InverseTimeDecay(0.3, 0.5),
        lambda: called(K.InverseTimeDecay(0.3, 1, 0.5)),
    ),
    "ExponentialDecay, Keras": (
        ours.ExponentialDecay(0.3, 0.8, steps_per_epoch=7),
        lambda: called(K.ExponentialDecay(0.3, 7, 0.8, staircase=True)),
    ),
    "ExponentialDecay, optax": (
        ours.ExponentialDecay(0.3, 0.8, steps_per_epoch=7),
        lambda: called(optax.exponential_decay(0.3, 7, 0.8, staircase=True)),
    ),
    "ExponentialDecay by steps, PyTorch": (
        ours.ExponentialDecay(0.3, 0.8),
        lambda: lr_scheduler(0.3, "ExponentialLR", 0.8),
    ),
    # None of the peers has it ready made.
    "InverseSqrtDecay, PyTorch": (
        ours.InverseSqrtDecay(0.3, 0.5),
        lambda: lr_scheduler(0.3, "LambdaLR", lambda n: 0.5 / max(n, 1) ** 0.5),
    ),
    "StepDecay, PyTorch": (
        ours.StepDecay(0.3, 0.5, 7),
        lambda: lr_scheduler(0.3, "StepLR", 7, gamma=0.5),
    ),
    "StepDecay, Keras": (
        ours.StepDecay(0.3, 0.5, 7),
        lambda: called(K.ExponentialDecay(0.3, 7, 0.5, staircase=True)),
    ),
    "Piecewise, optax": (
        ours.Piecewise([5, 20], [0.3, 0.15, 0.015]),
        lambda: called(optax.piecewise_constant_schedule(0.3, {5: 0.5, 20: 0.1})),
    ),
    "Piecewise, PyTorch": (
        ours.Piecewise([5, 20], [0.3, 0.15, 0.075]),
        lambda: lr_scheduler(0.3, "MultiStepLR", [5, 20], gamma=0.5),
    ),
    "Linear, optax": (
        ours.Linear(0.3, 0.1, 20),
        lambda: called(optax.linear_schedule(0.3, 0.1, 20)),
    ),
    "Linear, PyTorch": (
        ours.Linear(0.3, 0.1, 20),
        lambda: lr_scheduler(0.3, "LinearLR", 1.0, 1 / 3, 20),
    ),
    "Polynomial, optax": (
        ours.Polynomial(0.3, 0.1, 20, 2.5),
        lambda: called(optax.polynomial_schedule(0.3, 0.1, 2.5, 20)),
    ),
    "Polynomial, Keras": (
        ours.Polynomial(0.3, 0.1, 20, 2.5),
        lambda: called(K.PolynomialDecay(0.3, 20, 0.1, 2.5)),
    ),
    "Polynomial, PyTorch": (
        ours.Polynomial(0.3, 0.0, 20, 2.0),
        lambda: lr_scheduler(0.3, "PolynomialLR", 20, 2.0),
    ),
    "Cosine, optax": (
        ours.Cosine(0.3, 20, 0.03),
        lambda: called(optax.cosine_decay_schedule(0.3, 20, 0.1)),
    ),
    "Cosine, Keras": (
        ours.Cosine(0.3, 20, 0.03),
        lambda: called(K.CosineDecay(0.3, 20, alpha=0.1)),
    ),
    "CosineRestarts, PyTorch": (
        ours.CosineRestarts(0.3, 8, 2.0, 0.03),
        lambda: lr_scheduler(0.3, "CosineAnnealingWarmRestarts", 8, 2, 0.03),
    ),
    "CosineRestarts, Keras": (
        ours.CosineRestarts(0.3, 8, 1.0, 0.03),
        lambda: called(K.CosineDecayRestarts(0.3, 8, 1.0, 1.0, 0.1)),
    ),
    "OneCycle, optax": (
        ours.OneCycle(0.3, 40, 0.25, 10.0, 100.0),
        lambda: called(optax.cosine_onecycle_schedule(40, 0.3, 0.25, 10.0, 100.0)),
    ),
    "join, optax": (
        ours.join([0.3, ours.Linear(0.2, 0.1, 5), ours.Constant(0.05)], [7, 20]),
        lambda: called(
            optax.join_schedules(
                [
                    optax.constant_schedule(0.3),
                    optax.linear_schedule(0.2, 0.1, 5),
                    optax.constant_schedule(0.05),
                ],
                [7, 20],
            )
        ),
    ),
    "warmup, optax": (
        ours.warmup(ours.Cosine(0.3, 20), 5),
        lambda: called(
            optax.join_schedules(
                [
                    optax.linear_schedule(0.3 / 5, 0.3 * 6 / 5, 5),
                    optax.cosine_decay_schedule(0.3, 20),
                ],
                [5],
            )
        ),
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_a_schedule_agrees_with_its_counterpart(pair: str) -> None:
    schedule, theirs = PAIRS[pair]
    # Keras takes cosines, and what goes into them, in float32.
    rtol = 1e-6 if pair in ("Cosine, Keras", "CosineRestarts, Keras") else 1e-12
    np.testing.assert_allclose(called(schedule), theirs(), rtol=rtol, atol=1e-15)


def test_where_the_peers_differ_from_each_other() -> None:
    piecewise = ours.Piecewise([5], [0.3, 0.1])
    # Keras holds a value until its boundary is past; optax, PyTorch and this package switch at it.
    keras_piecewise = called(K.PiecewiseConstantDecay([5], [0.3, 0.1]))
    assert (piecewise(5), keras_piecewise[5], keras_piecewise[6]) == (0.1, 0.3, 0.1)
    # PyTorch's cosine comes up again after its end; optax, Keras and this package stay.
    annealing = lr_scheduler(0.3, "CosineAnnealingLR", 20, 0.03)
    np.testing.assert_allclose(annealing[:21], called(ours.Cosine(0.3, 20, 0.03))[:21], rtol=1e-12)
    assert annealing[40] == pytest.approx(0.3)
    assert ours.Cosine(0.3, 20, 0.03)(40) == 0.03
    # PyTorch's one cycle has its peak and its end one step earlier.
    cycle = lr_scheduler(0.01, "OneCycleLR", 0.3, STEPS, pct_start=0.25)
    one_cycle = ours.OneCycle(0.3, STEPS, 0.25)
    assert int(np.argmax(cycle)) == 14
    assert int(np.argmax(called(one_cycle))) == 15
    assert cycle[STEPS - 1] == pytest.approx(one_cycle(STEPS))
    assert one_cycle(STEPS - 1) > 10 * one_cycle(STEPS)
    # Others' warm-ups to a peak begin at their first value, this package's one step above 0.
    assert float(optax.linear_schedule(0.0, 0.3, 5)(0)) == 0.0
    warmed = called(optax.warmup_cosine_decay_schedule(0.0, 0.3, 5, 25))
    np.testing.assert_allclose(
        called(K.CosineDecay(0.0, 20, warmup_target=0.3, warmup_steps=5)),
        warmed,
        rtol=1e-5,
        atol=1e-9,
    )
    assert warmed[0] == 0.0
    assert warmed[5] == pytest.approx(0.3)
    assert ours.warmup(0.3, 5)(0) == pytest.approx(0.06)
    assert [ours.warmup(0.3, 5)(n) for n in (4, 5)] == [0.3, 0.3]
