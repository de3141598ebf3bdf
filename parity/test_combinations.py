"""Every optimizer of `gradstep.compat` against the peer itself, over combinations of all its options.

Run by `nox -s parity`, and ten times as much with GRADSTEP_EFFORT=full. The rows that are always tried
are in test_optimizers.py. Left out are values at which all lose digits: where v forgets at once (β₂ below
0.5), a step is a quotient of a gradient by itself, which magnifies the rounding of one that decay has
nearly cancelled, and a centered v has nothing left in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
import optax
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gradstep as gs
from support.effort import effort
from trajectories import (
    DTYPES,
    Arrays,
    by_keras,
    by_optax,
    by_torch,
    defaults,
    difference,
    here,
    tolerance,
)

jax.config.update("jax_enable_x64", True)

RATE = st.sampled_from([0.0, 1e-4, 0.01, 0.3])
MOMENTUM = st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 0.999])
BETA = st.sampled_from([0.5, 0.9, 0.99, 0.999, 0.9999])
EPS = st.sampled_from([1e-12, 1e-8, 1e-3, 0.5, 3.0])
DECAY = st.sampled_from([0.0, 0.01, 0.3])
MAYBE_DECAY = st.sampled_from([None, 0.01, 0.3])
START = st.sampled_from([0.0, 0.1, 2.0])
MASK = st.sampled_from([None, True, False, [True, False, True, False, True]])
FLAG = st.booleans()
# PyTorch keeps the product of NAdam's factors in float32, whose error 1 − the product magnifies.
NADAM = st.tuples(st.sampled_from([0.0, 0.5, 0.9]), BETA)

Options = dict[str, st.SearchStrategy[Any]]

DECAYED: Options = {"lr": RATE, "weight_decay": DECAY, "maximize": FLAG}
TWO: Options = {**DECAYED, "betas": st.tuples(MOMENTUM, BETA), "eps": EPS}
TORCH: dict[str, Options] = {
    "SGD": {
        **DECAYED,
        "momentum": MOMENTUM,
        "dampening": st.sampled_from([0, 0.3, 0.9]),
        "nesterov": FLAG,
    },
    "RMSprop": {**DECAYED, "alpha": BETA, "eps": EPS, "momentum": MOMENTUM, "centered": FLAG},
    "Adam": {**TWO, "amsgrad": FLAG, "decoupled_weight_decay": FLAG},
    "AdamW": {**TWO, "amsgrad": FLAG},
    "NAdam": {
        **TWO,
        "betas": NADAM,
        "momentum_decay": st.sampled_from([0.0, 4e-3, 0.1, 1.0]),
        "decoupled_weight_decay": FLAG,
    },
    "RAdam": {**TWO, "decoupled_weight_decay": FLAG},
    "Adamax": TWO,
    "Adagrad": {
        **DECAYED,
        "lr_decay": st.sampled_from([0.0, 0.1, 3.0]),
        "initial_accumulator_value": START,
        "eps": EPS,
    },
    "Adadelta": {**DECAYED, "rho": BETA, "eps": EPS},
}

KERAS_ALL: Options = {"learning_rate": RATE, "weight_decay": MAYBE_DECAY}
KERAS_TWO: Options = {**KERAS_ALL, "beta_1": MOMENTUM, "beta_2": BETA, "epsilon": EPS}
KERAS: dict[str, Options] = {
    "SGD": {**KERAS_ALL, "momentum": MOMENTUM, "nesterov": FLAG},
    "RMSprop": {**KERAS_ALL, "rho": BETA, "momentum": MOMENTUM, "epsilon": EPS, "centered": FLAG},
    "Adam": {**KERAS_TWO, "amsgrad": FLAG},
    "AdamW": {**KERAS_TWO, "weight_decay": DECAY, "amsgrad": FLAG},
    "Nadam": KERAS_TWO,
    "Adamax": KERAS_TWO,
    "Adagrad": {**KERAS_ALL, "initial_accumulator_value": START, "epsilon": EPS},
    "Adadelta": {**KERAS_ALL, "rho": BETA, "epsilon": EPS},
    # Lion steps along a sign, and the sign of a sum that cancels is rounding's.
    "Lion": {**KERAS_ALL, "beta_1": st.sampled_from([0.1, 0.5, 0.9]), "beta_2": BETA},
}
# Of every optimizer of Keras; one of the two at a time.
CLIPPING: Options = {
    "global_clipnorm": st.sampled_from([0.1, 5.0]),
    "clipvalue": st.sampled_from([1e-3, 0.1]),
}

OPTAX_TWO: Options = {"b1": MOMENTUM, "b2": BETA, "eps": EPS, "eps_root": EPS}
OPTAX: dict[str, Options] = {
    "sgd": {"momentum": st.none() | MOMENTUM, "nesterov": FLAG},
    "rmsprop": {
        "decay": BETA,
        "eps": EPS,
        "initial_scale": START,
        "eps_in_sqrt": FLAG,
        "centered": FLAG,
        "momentum": st.none() | MOMENTUM,
        "nesterov": FLAG,
        "bias_correction": FLAG,
    },
    "adam": {**OPTAX_TWO, "nesterov": FLAG},
    "adamw": {**OPTAX_TWO, "weight_decay": DECAY, "mask": MASK, "nesterov": FLAG},
    "amsgrad": {**OPTAX_TWO, "bias_correction_mu": FLAG, "bias_correction_nu": FLAG},
    "nadam": OPTAX_TWO,
    "radam": {
        **OPTAX_TWO,
        "threshold": st.sampled_from([4.5, 5.0, 10.0, 30.0]),
        "nesterov": FLAG,
    },
    "adamax": {"b1": MOMENTUM, "b2": BETA, "eps": EPS},
    "adagrad": {"initial_accumulator_value": START, "eps": EPS},
    "adadelta": {"rho": BETA, "eps": EPS, "weight_decay": DECAY, "weight_decay_mask": MASK},
    "lion": {
        "b1": st.sampled_from([0.1, 0.5, 0.9]),
        "b2": BETA,
        "weight_decay": DECAY,
        "mask": MASK,
    },
}

# What changes nothing (`nox -s parity` compares the lists of arguments), or is refused.
INERT = {"foreach", "fused", "capturable", "differentiable", "mu_dtype", "accumulator_dtype"}


class Peer(NamedTuple):
    """What is tried, where the peer has it, and how the peer takes its run."""

    table: dict[str, Options]
    module: Any
    run: Callable[[Any, dict[str, Any], Any], Arrays]


PEERS = {
    "torch": Peer(
        TORCH, torch.optim, lambda make, o, dtype: by_torch(lambda w: make(w, **o), dtype)
    ),
    "keras": Peer(
        KERAS, keras.optimizers, lambda make, o, dtype: by_keras(lambda: make(**o), dtype)
    ),
    "optax": Peer(OPTAX, optax, lambda make, o, dtype: by_optax(lambda: make(**o), dtype)),
}
CASES = [
    pytest.param(peer, name, id=f"{peer}.{name}") for peer in PEERS for name in PEERS[peer].table
]


def combinations(peer: str, name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of arguments: of each option one of its values, or none."""
    options = PEERS[peer].table[name]
    if peer == "optax":  # which has no default rate
        return st.fixed_dictionaries({"learning_rate": RATE}, optional=options)
    drawn = st.fixed_dictionaries({}, optional=options)
    if peer == "keras":
        clipped = [st.fixed_dictionaries({k: values}) for k, values in CLIPPING.items()]
        return st.builds(lambda a, b: {**a, **b}, drawn, st.just({}) | st.one_of(clipped))
    return drawn


def may_be(peer: str, name: str, options: dict[str, Any]) -> bool:
    """Return whether the peer takes these options together."""
    if (peer, name) == ("torch", "SGD") and options.get("nesterov"):
        return bool(options.get("momentum")) and not options.get("dampening")
    return True


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("peer", "name"), CASES)
def test_combined_options(peer: str, name: str, dtype: Any) -> None:
    ours, theirs = getattr(getattr(gs.compat, peer), name), getattr(PEERS[peer].module, name)
    daily = 40 if peer == "torch" else 15  # Keras and optax take ten times as long

    @settings(
        max_examples=effort(daily, 10 * daily),
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(combinations(peer, name).filter(lambda options: may_be(peer, name, options)))
    def same(options: dict[str, Any]) -> None:
        found = here(lambda w: ours(w, **options), dtype)
        judge = PEERS[peer].run(theirs, options, dtype)
        assert all(np.isfinite(w).all() for w in found)
        if all(np.isfinite(w).all() for w in judge):  # v − m² below 0 is NaN in PyTorch and optax
            assert difference(found, judge) <= tolerance(name, dtype)

    same()


@pytest.mark.parametrize("peer", PEERS)
def test_every_option_is_tried(peer: str) -> None:
    table = PEERS[peer].table
    module = getattr(gs.compat, peer)
    assert set(table) == set(module.__all__)
    for name, options in table.items():
        taken = defaults(getattr(module, name)).keys() - INERT
        # `nadam` is `adam` with the other default.
        taken -= {"learning_rate"} if peer == "optax" else set()
        # What all of Keras's have in common has tests of its own.
        taken -= {*module._NEUTRAL, *module._OPTIONS} if peer == "keras" else set()
        taken -= {"nesterov"} if name == "nadam" else set()
        assert taken == options.keys(), name
