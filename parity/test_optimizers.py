"""Every optimizer of `gradstep.compat` against the peer itself, over defaults and every option.

Run by `nox -s parity`, which installs the peers. ε is large in some rows, so that a wrong place of it
shows.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
import optax
import pytest
import torch

import gradstep as gs
from trajectories import (
    DTYPES,
    by_keras,
    by_optax,
    by_torch,
    defaults,
    difference,
    here,
    tolerance,
)

jax.config.update("jax_enable_x64", True)

MASK = [True, False, True, False, True]
Row = tuple[str, dict[str, Any]]


def rows(**options: list[dict[str, Any]]) -> list[Row]:
    return [(name, each) for name, table in options.items() for each in ({}, *table)]


TORCH = rows(
    SGD=[
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.5},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"lr": 0.1, "momentum": 0.5, "maximize": True},
        {"lr": 0.1, "weight_decay": 0.1, "maximize": True},
    ],
    RMSprop=[
        {"alpha": 0.9, "momentum": 0.8},
        {"eps": 0.5, "weight_decay": 0.1},
        {"centered": True, "eps": 0.1},
        {"centered": True, "eps": 0.1, "momentum": 0.5, "maximize": True},
    ],
    Adam=[
        {"lr": 0.01, "betas": (0.5, 0.75)},
        {"lr": 0.01, "eps": 0.5},
        {"lr": 0.01, "amsgrad": True},
        {"lr": 0.01, "amsgrad": True, "eps": 0.5, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    AdamW=[
        {"lr": 0.01, "eps": 0.5, "weight_decay": 0.5},
        {"lr": 0.01, "amsgrad": True, "maximize": True},
    ],
    NAdam=[
        {"lr": 0.01, "betas": (0.5, 0.75), "momentum_decay": 0.1},
        {"lr": 0.01, "eps": 0.5, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    RAdam=[
        {"lr": 0.01, "eps": 0.5},
        {"lr": 0.01, "betas": (0.5, 0.9), "eps": 0.5, "weight_decay": 0.1},
        {"lr": 0.01, "betas": (0.5, 0.5)},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    Adamax=[
        {"lr": 0.01, "eps": 0.5},
        {"lr": 0.01, "betas": (0.5, 0.75), "weight_decay": 0.1, "maximize": True},
    ],
    Adagrad=[
        {"lr": 0.1, "lr_decay": 0.1, "eps": 0.5},
        {"lr": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1, "maximize": True},
    ],
    Adadelta=[
        {"lr": 0.5, "rho": 0.5, "eps": 0.5},
        {"weight_decay": 0.1, "maximize": True},
    ],
)

KERAS = rows(
    SGD=[
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"learning_rate": 0.1, "weight_decay": 0.1},
        {"learning_rate": 0.1, "global_clipnorm": 0.5, "weight_decay": 0.1},
        {"learning_rate": 0.1, "clipvalue": 0.01, "momentum": 0.9},
    ],
    RMSprop=[
        {"rho": 0.5, "momentum": 0.9},
        {"epsilon": 0.5, "weight_decay": 0.1},
        {"centered": True, "epsilon": 0.5, "momentum": 0.5},
    ],
    Adam=[
        {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.5},
        {"amsgrad": True, "epsilon": 0.5, "weight_decay": 0.1},
    ],
    AdamW=[{"epsilon": 0.5, "weight_decay": 0.1}, {"amsgrad": True}],
    Nadam=[{"beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.5}, {"weight_decay": 0.1}],
    Adamax=[{"beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.5}, {"weight_decay": 0.1}],
    Adagrad=[{"initial_accumulator_value": 0.5, "epsilon": 0.5}, {"weight_decay": 0.1}],
    Adadelta=[{"rho": 0.5, "epsilon": 0.5}, {"weight_decay": 0.1}],
    Lion=[{"beta_1": 0.5, "beta_2": 0.75}, {"weight_decay": 0.1}],
)

OPTAX = rows(
    sgd=[{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.0}],
    rmsprop=[
        {"decay": 0.5, "eps": 0.5},
        {"eps_in_sqrt": False, "eps": 0.5, "initial_scale": 0.5},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, "bias_correction": True, "eps": 0.5},
        {"centered": True, "eps": 0.5},
        {"centered": True, "eps": 0.5, "momentum": 0.5, "bias_correction": True},
        {"centered": True, "eps": 0.5, "momentum": 0.5, "nesterov": True},
    ],
    adam=[
        {"b1": 0.5, "b2": 0.75, "eps": 0.5},
        {"eps_root": 0.5},
        {"nesterov": True, "eps": 0.5},
    ],
    adamw=[
        {"weight_decay": 0.1, "mask": MASK, "eps": 0.5},
        {"weight_decay": 0.1, "mask": lambda tree: MASK, "nesterov": True},
    ],
    amsgrad=[
        {"eps": 0.5},
        {"eps_root": 0.5, "bias_correction_mu": False},
        {"eps": 0.5, "bias_correction_nu": False},
    ],
    nadam=[{"b1": 0.5, "b2": 0.75, "eps": 0.5, "eps_root": 0.25}],
    radam=[
        {"b1": 0.5, "b2": 0.9, "eps": 0.5},
        {"threshold": 10.0, "eps_root": 0.5},
        {"nesterov": True, "eps": 0.5},
    ],
    adamax=[{"b1": 0.5, "b2": 0.75, "eps": 0.5}],
    adagrad=[{"initial_accumulator_value": 0.5, "eps": 0.5}],
    adadelta=[{"rho": 0.5, "eps": 0.5}, {"weight_decay": 0.1, "weight_decay_mask": MASK}],
    lion=[{"b1": 0.5, "b2": 0.75}, {"weight_decay": 0.1, "mask": MASK}],
)
# optax has no default rate.
OPTAX = [(name, {"learning_rate": 0.01, **options}) for name, options in OPTAX]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), TORCH, ids=str)
def test_torch(name: str, options: dict[str, Any], dtype: Any) -> None:
    ours = here(lambda w: getattr(gs.compat.torch, name)(w, **options), dtype)
    theirs = by_torch(lambda w: getattr(torch.optim, name)(w, **options), dtype)
    assert difference(ours, theirs) <= tolerance(name, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), KERAS, ids=str)
def test_keras(name: str, options: dict[str, Any], dtype: Any) -> None:
    ours = here(lambda w: getattr(gs.compat.keras, name)(w, **options), dtype)
    theirs = by_keras(lambda: getattr(keras.optimizers, name)(**options), dtype)
    assert difference(ours, theirs) <= tolerance(name, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), OPTAX, ids=str)
def test_optax(name: str, options: dict[str, Any], dtype: Any) -> None:
    ours = here(lambda w: getattr(gs.compat.optax, name)(w, **options), dtype)
    theirs = by_optax(lambda: getattr(optax, name)(**options), dtype)
    assert difference(ours, theirs) <= tolerance(name, dtype)


@pytest.mark.parametrize("peer", ["torch", "keras", "optax"])
def test_signatures_are_the_peers(peer: str) -> None:
    module = getattr(gs.compat, peer)
    theirs = {"torch": torch.optim, "keras": keras.optimizers, "optax": optax}[peer]
    for name in module.__all__:
        expected = defaults(getattr(theirs, name))
        if name == "nadam":
            expected = {**defaults(optax.adam), "nesterov": True}
        assert defaults(getattr(module, name)) == expected, name


@pytest.mark.parametrize(
    ("schedule", "name"),
    [(lambda n: 0.1 / (n + 1), "SGD"), (lambda n: 0.1 * 0.9**n, "RMSprop")],
)
def test_schedules_meet_buffers_as_in_keras(schedule: Any, name: str) -> None:
    class Theirs(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            return schedule(keras.ops.cast(step, "float64"))

    ours = here(lambda w: getattr(gs.compat.keras, name)(w, schedule, momentum=0.9), np.float64)
    theirs = by_keras(lambda: getattr(keras.optimizers, name)(Theirs(), momentum=0.9), np.float64)
    assert difference(ours, theirs) <= 1e-11
