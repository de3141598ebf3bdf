"""The optimizers of `gs.compat` against the peers' formulas in plain NumPy, with the peers' defaults.

Written from docs/conventions.md, apart from the package. `nox -s parity` compares them with the peers
themselves; scikit-learn is in test_sklearn.py.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs

Array = NDArray[np.float64]
State = dict[str, Array]

torch, keras, optax = gs.compat.torch, gs.compat.keras, gs.compat.optax


def average(s: State, name: str, beta: float, x: Array) -> Array:
    s[name] = beta * s.get(name, 0.0) + (1 - beta) * x
    return s[name]


def total(s: State, name: str, kept: float, x: Array) -> Array:
    s[name] = kept * s.get(name, 0.0) + x
    return s[name]


# --- PyTorch: `lr`, `weight_decay` in the gradient, `maximize` --------------------------------


def torch_sgd(
    w: Array, g: Array, s: State, t: int, *,
    lr: float = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0,
    nesterov: bool = False, maximize: bool = False,
) -> Array:  # fmt: skip
    g = (-g if maximize else g) + weight_decay * w
    if not momentum:
        return w - lr * g
    s["b"] = g if t == 1 else momentum * s["b"] + (1 - dampening) * g
    return w - lr * (g + momentum * s["b"] if nesterov else s["b"])


def torch_rmsprop(
    w: Array, g: Array, s: State, t: int, *,
    lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
    momentum: float = 0, centered: bool = False, maximize: bool = False,
) -> Array:  # fmt: skip
    g = (-g if maximize else g) + weight_decay * w
    v = average(s, "v", alpha, g**2)
    if centered:
        v = np.maximum(v - average(s, "m", alpha, g) ** 2, 0)
    u = g / (np.sqrt(v) + eps)
    return w - lr * (total(s, "b", momentum, u) if momentum else u)


def torch_adam(
    w: Array, g: Array, s: State, t: int, *,
    lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
    weight_decay: float = 0, amsgrad: bool = False, maximize: bool = False,
    decoupled_weight_decay: bool = False,
) -> Array:  # fmt: skip
    w, g = torch_decay(w, -g if maximize else g, lr * weight_decay, decoupled_weight_decay, lr)
    m, v = average(s, "m", betas[0], g), average(s, "v", betas[1], g**2)
    if amsgrad:
        v = s["v_max"] = np.maximum(s.get("v_max", 0), v)
    m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps)


def torch_decay(
    w: Array, g: Array, shrunk: float, decoupled: bool, lr: float
) -> tuple[Array, Array]:
    return (w - shrunk * w, g) if decoupled else (w, g + shrunk / lr * w)


def torch_nadam(
    w: Array, g: Array, s: State, t: int, *,
    lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
    weight_decay: float = 0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False,
    maximize: bool = False,
) -> Array:  # fmt: skip
    w, g = torch_decay(w, -g if maximize else g, lr * weight_decay, decoupled_weight_decay, lr)
    return nadam_step(w, g, s, t, lr, betas, eps, momentum_decay)


def nadam_step(
    w: Array, g: Array, s: State, t: int, lr: float, betas: tuple[float, float], eps: float,
    psi: float,
) -> Array:  # fmt: skip
    now, later = (betas[0] * (1 - 0.5 * float(0.96 ** (n * psi))) for n in (t, t + 1))
    product = s["product"] = s.get("product", np.ones(1)) * now
    m, v = average(s, "m", betas[0], g), average(s, "v", betas[1], g**2)
    m_hat = later * m / (1 - product * later) + (1 - now) * g / (1 - product)
    return w - lr * m_hat / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def rectification(beta2: float, t: int, threshold: float) -> float:
    longest = 2 / (1 - beta2) - 1
    rho = longest - 2 * t * beta2**t / (1 - beta2**t)
    if rho <= threshold:
        return 0.0
    r = (rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)
    return math.sqrt(r)


def torch_radam(
    w: Array, g: Array, s: State, t: int, *,
    lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
    weight_decay: float = 0, decoupled_weight_decay: bool = False, maximize: bool = False,
) -> Array:  # fmt: skip
    w, g = torch_decay(w, -g if maximize else g, lr * weight_decay, decoupled_weight_decay, lr)
    m, v = average(s, "m", betas[0], g), average(s, "v", betas[1], g**2)
    m_hat, r = m / (1 - betas[0] ** t), rectification(betas[1], t, 5.0)
    return w - lr * m_hat * (r * math.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps) if r else 1)


def torch_adamax(
    w: Array, g: Array, s: State, t: int, *,
    lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
    weight_decay: float = 0, maximize: bool = False,
) -> Array:  # fmt: skip
    g = (-g if maximize else g) + weight_decay * w
    s["u"] = np.maximum(betas[1] * s.get("u", 0.0), np.abs(g) + eps)
    return w - lr / (1 - betas[0] ** t) * average(s, "m", betas[0], g) / s["u"]


def torch_adagrad(
    w: Array, g: Array, s: State, t: int, *,
    lr: float = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
    initial_accumulator_value: float = 0, eps: float = 1e-10, maximize: bool = False,
) -> Array:  # fmt: skip
    g = (-g if maximize else g) + weight_decay * w
    v = s["v"] = s.get("v", initial_accumulator_value) + g**2
    return w - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(v) + eps)


def torch_adadelta(
    w: Array, g: Array, s: State, t: int, *,
    lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0,
    maximize: bool = False,
) -> Array:  # fmt: skip
    g = (-g if maximize else g) + weight_decay * w
    v = average(s, "v", rho, g**2)
    u = np.sqrt(s.get("d", 0.0) + eps) / np.sqrt(v + eps) * g
    average(s, "d", rho, u**2)
    return w - lr * u


# --- Keras: `learning_rate`, weight decay apart from the gradient everywhere ------------------


def keras_decay(w: Array, learning_rate: float, weight_decay: float | None) -> Array:
    return w - learning_rate * (weight_decay or 0.0) * w


def keras_sgd(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False,
    weight_decay: float | None = None,
) -> Array:  # fmt: skip
    w = keras_decay(w, learning_rate, weight_decay)
    b = total(s, "b", momentum, learning_rate * g)
    return w - (momentum * b + learning_rate * g if nesterov else b)


def keras_rmsprop(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float = 0.001, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
    centered: bool = False, weight_decay: float | None = None,
) -> Array:  # fmt: skip
    w = keras_decay(w, learning_rate, weight_decay)
    v = average(s, "v", rho, g**2)
    if centered:
        v = np.maximum(v - average(s, "m", rho, g) ** 2, 0)
    return w - total(s, "b", momentum, learning_rate * g / np.sqrt(v + epsilon))


def keras_adam(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
    epsilon: float = 1e-7, amsgrad: bool = False, weight_decay: float | None = None,
) -> Array:  # fmt: skip
    w = keras_decay(w, learning_rate, weight_decay)
    m, v = average(s, "m", beta_1, g), average(s, "v", beta_2, g**2)
    if amsgrad:
        v = s["v_max"] = np.maximum(s.get("v_max", 0.0), v)
    rate = learning_rate * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return w - rate * m / (np.sqrt(v) + epsilon)


def keras_adamw(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float = 0.001, weight_decay: float = 0.004, beta_1: float = 0.9,
    beta_2: float = 0.999, epsilon: float = 1e-7, amsgrad: bool = False,
) -> Array:  # fmt: skip
    return keras_adam(
        w, g, s, t, learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
        amsgrad=amsgrad, weight_decay=weight_decay,
    )  # fmt: skip


def keras_nadam(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
    epsilon: float = 1e-7, weight_decay: float | None = None,
) -> Array:  # fmt: skip
    w = keras_decay(w, learning_rate, weight_decay)
    return nadam_step(w, g, s, t, learning_rate, (beta_1, beta_2), epsilon, 1.0)


def keras_adamax(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
    epsilon: float = 1e-7, weight_decay: float | None = None,
) -> Array:  # fmt: skip
    w = keras_decay(w, learning_rate, weight_decay)
    s["u"] = np.maximum(beta_2 * s.get("u", 0.0), np.abs(g))
    m = average(s, "m", beta_1, g)
    return w - learning_rate * m / ((1 - beta_1**t) * (s["u"] + epsilon))


def keras_adagrad(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7,
    weight_decay: float | None = None,
) -> Array:  # fmt: skip
    w = keras_decay(w, learning_rate, weight_decay)
    v = s["v"] = s.get("v", initial_accumulator_value) + g**2
    return w - learning_rate * g / np.sqrt(v + epsilon)


def keras_adadelta(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7,
    weight_decay: float | None = None,
) -> Array:  # fmt: skip
    w = keras_decay(w, learning_rate, weight_decay)
    return torch_adadelta(w, g, s, t, lr=learning_rate, rho=rho, eps=epsilon)


def keras_lion(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.99,
    weight_decay: float | None = None,
) -> Array:  # fmt: skip
    w = keras_decay(w, learning_rate, weight_decay)
    direction = beta_1 * s.get("m", 0.0) + (1 - beta_1) * g
    average(s, "m", beta_2, g)
    return w - learning_rate * np.sign(direction)


# --- optax: `learning_rate` without a default -------------------------------------------------


def optax_sgd(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float, momentum: float | None = None, nesterov: bool = False,
) -> Array:  # fmt: skip
    if momentum is not None:
        b = total(s, "b", momentum, g)
        g = g + momentum * b if nesterov else b
    return w - learning_rate * g


def optax_rmsprop(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float, decay: float = 0.9, eps: float = 1e-8, initial_scale: float = 0.0,
    eps_in_sqrt: bool = True, centered: bool = False, momentum: float | None = None,
    nesterov: bool = False, bias_correction: bool = False,
) -> Array:  # fmt: skip
    s.setdefault("v", np.full(w.shape, initial_scale))
    correction = 1 - decay**t if bias_correction else 1.0
    v = average(s, "v", decay, g**2) / correction
    if centered:
        v = np.maximum(v - (average(s, "m", decay, g) / correction) ** 2, 0)
    u = learning_rate * g / (np.sqrt(v + eps) if eps_in_sqrt else np.sqrt(v) + eps)
    if momentum is not None:
        b = total(s, "b", momentum, u)
        u = u + momentum * b if nesterov else b
    return w - u


def optax_adam(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
    eps_root: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False,
    rectified: Callable[[], float] = lambda: 1.0,
) -> Array:  # fmt: skip
    m, v = average(s, "m", b1, g), average(s, "v", b2, g**2)
    m_hat = m / (1 - b1**t)
    if nesterov:
        m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
    r, root = rectified(), np.sqrt(v / (1 - b2**t) + eps_root) + eps
    return w - learning_rate * ((r * m_hat / root if r else m_hat) + weight_decay * w)


def optax_adamw(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
    eps_root: float = 0.0, weight_decay: float = 1e-4, nesterov: bool = False,
) -> Array:  # fmt: skip
    return optax_adam(
        w, g, s, t, learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, eps_root=eps_root,
        weight_decay=weight_decay, nesterov=nesterov,
    )  # fmt: skip


def optax_amsgrad(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
    eps_root: float = 0.0, bias_correction_mu: bool = True, bias_correction_nu: bool = True,
) -> Array:  # fmt: skip
    m, v = average(s, "m", b1, g), average(s, "v", b2, g**2)
    m_hat = m / (1 - b1**t) if bias_correction_mu else m
    v_hat = v / (1 - b2**t) if bias_correction_nu else v
    s["v_max"] = np.maximum(s.get("v_max", 0.0), v_hat)
    return w - learning_rate * m_hat / (np.sqrt(s["v_max"] + eps_root) + eps)


def optax_radam(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
    eps_root: float = 0.0, threshold: float = 5.0, nesterov: bool = False,
) -> Array:  # fmt: skip
    return optax_adam(
        w, g, s, t, learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, eps_root=eps_root,
        nesterov=nesterov, rectified=lambda: rectification(b2, t, threshold),
    )  # fmt: skip


def optax_adamax(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
) -> Array:  # fmt: skip
    return torch_adamax(w, g, s, t, lr=learning_rate, betas=(b1, b2), eps=eps)


def optax_adagrad(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float, initial_accumulator_value: float = 0.1, eps: float = 1e-7,
) -> Array:  # fmt: skip
    v = s["v"] = s.get("v", initial_accumulator_value) + g**2
    return w - learning_rate * g / np.sqrt(v + eps)


def optax_adadelta(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float | None = None, rho: float = 0.9, eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> Array:  # fmt: skip
    assert learning_rate is not None
    return torch_adadelta(
        w, g, s, t, lr=learning_rate, rho=rho, eps=eps, weight_decay=weight_decay
    )  # fmt: skip


def optax_lion(
    w: Array, g: Array, s: State, t: int, *,
    learning_rate: float, b1: float = 0.9, b2: float = 0.99, weight_decay: float = 1e-3,
) -> Array:  # fmt: skip
    return keras_lion(
        w, g, s, t, learning_rate=learning_rate, beta_1=b1, beta_2=b2, weight_decay=weight_decay
    )


# --- the table --------------------------------------------------------------------------------


def falling(n: int) -> float:
    return 0.1 / (n + 1)


Judge = Callable[..., Array]
TABLE: list[tuple[Any, str, Judge, list[dict[str, Any]]]] = [
    (torch, "SGD", torch_sgd, [
        {}, {"weight_decay": 0.5, "maximize": True},
        {"lr": falling, "momentum": 0.9, "dampening": 0.5},
        {"lr": falling, "momentum": 0.9, "nesterov": True, "weight_decay": 0.5},
    ]),
    (torch, "RMSprop", torch_rmsprop, [
        {}, {"eps": 0.5, "weight_decay": 0.5, "maximize": True},
        {"lr": falling, "momentum": 0.5, "centered": True, "eps": 0.5},
    ]),
    (torch, "Adam", torch_adam, [
        {}, {"eps": 0.5, "weight_decay": 0.5, "maximize": True},
        {"amsgrad": True, "eps": 0.5, "betas": (0.5, 0.75)},
        {"lr": 0.1, "weight_decay": 0.5, "decoupled_weight_decay": True},
    ]),
    (torch, "AdamW", partial(torch_adam, weight_decay=1e-2, decoupled_weight_decay=True), [
        {}, {"lr": 0.1, "eps": 0.5, "weight_decay": 0.5, "amsgrad": True, "maximize": True},
    ]),
    (torch, "NAdam", torch_nadam, [
        {}, {"eps": 0.5, "momentum_decay": 0.5, "betas": (0.5, 0.75), "maximize": True},
        {"lr": 0.1, "weight_decay": 0.5, "decoupled_weight_decay": True},
    ]),
    (torch, "RAdam", torch_radam, [
        {}, {"eps": 0.5, "weight_decay": 0.5, "maximize": True}, {"betas": (0.5, 0.5)},
        {"lr": 0.1, "weight_decay": 0.5, "decoupled_weight_decay": True},
    ]),
    (torch, "Adamax", torch_adamax, [
        {}, {"eps": 0.5, "betas": (0.5, 0.75), "weight_decay": 0.5, "maximize": True},
    ]),
    (torch, "Adagrad", torch_adagrad, [
        {}, {"eps": 0.5, "lr_decay": 0.5},
        {"initial_accumulator_value": 0.5, "weight_decay": 0.5, "maximize": True},
    ]),
    (torch, "Adadelta", torch_adadelta, [
        {}, {"rho": 0.5, "eps": 0.5, "weight_decay": 0.5, "maximize": True},
    ]),
    (keras, "SGD", keras_sgd, [
        {}, {"learning_rate": falling, "momentum": 0.9},
        {"learning_rate": falling, "momentum": 0.9, "nesterov": True, "weight_decay": 0.5},
    ]),
    (keras, "RMSprop", keras_rmsprop, [
        {}, {"learning_rate": falling, "momentum": 0.9, "epsilon": 0.5, "weight_decay": 0.5},
        {"learning_rate": falling, "momentum": 0.5, "centered": True, "epsilon": 0.5, "rho": 0.5},
    ]),
    (keras, "Adam", keras_adam, [
        {}, {"epsilon": 0.5, "beta_1": 0.5, "beta_2": 0.75, "weight_decay": 0.5},
        {"amsgrad": True, "epsilon": 0.5},
    ]),
    (keras, "AdamW", keras_adamw, [
        {}, {"epsilon": 0.5, "amsgrad": True, "weight_decay": 0.5},
    ]),
    (keras, "Nadam", keras_nadam, [
        {}, {"epsilon": 0.5, "beta_1": 0.5, "beta_2": 0.75, "weight_decay": 0.5},
    ]),
    (keras, "Adamax", keras_adamax, [
        {}, {"epsilon": 0.5, "beta_1": 0.5, "beta_2": 0.75, "weight_decay": 0.5},
    ]),
    (keras, "Adagrad", keras_adagrad, [
        {}, {"epsilon": 0.5, "initial_accumulator_value": 0.5, "weight_decay": 0.5},
    ]),
    (keras, "Adadelta", keras_adadelta, [{}, {"epsilon": 0.5, "rho": 0.5, "weight_decay": 0.5}]),
    (keras, "Lion", keras_lion, [{}, {"beta_1": 0.5, "beta_2": 0.75, "weight_decay": 0.5}]),
    (optax, "sgd", optax_sgd, [
        {}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.0},
    ]),
    (optax, "rmsprop", optax_rmsprop, [
        {}, {"eps": 0.5, "initial_scale": 0.5, "eps_in_sqrt": False, "bias_correction": True},
        {"eps": 0.5, "momentum": 0.9, "bias_correction": True},
        {"eps": 0.5, "momentum": 0.9, "nesterov": True, "decay": 0.5},
        {"eps": 0.5, "centered": True, "bias_correction": True},
        {"eps": 0.5, "centered": True, "momentum": 0.5},
        {"eps": 0.5, "centered": True, "momentum": 0.5, "nesterov": True},
    ]),
    (optax, "adam", optax_adam, [
        {}, {"eps": 0.5, "eps_root": 0.25, "b1": 0.5, "b2": 0.75}, {"eps": 0.5, "nesterov": True},
    ]),
    (optax, "adamw", optax_adamw, [
        {}, {"eps": 0.5, "weight_decay": 0.5, "mask": [True, False]},
        {"weight_decay": 0.5, "mask": lambda tree: [w is tree[1] for w in tree]},
        {"eps_root": 0.5, "nesterov": True},
    ]),
    (optax, "amsgrad", optax_amsgrad, [
        {}, {"eps": 0.5, "b1": 0.5, "b2": 0.75}, {"eps_root": 0.5, "bias_correction_mu": False},
        {"eps": 0.5, "bias_correction_nu": False},
    ]),
    (optax, "nadam", partial(optax_adam, nesterov=True), [
        {}, {"eps": 0.5, "eps_root": 0.25, "b1": 0.5, "b2": 0.75},
    ]),
    (optax, "radam", optax_radam, [
        {}, {"eps": 0.5, "eps_root": 0.25}, {"eps": 0.5, "threshold": 10.0, "b2": 0.9},
        {"eps": 0.5, "nesterov": True},
    ]),
    (optax, "adamax", optax_adamax, [{}, {"eps": 0.5, "b1": 0.5, "b2": 0.75}]),
    (optax, "adagrad", optax_adagrad, [{}, {"eps": 0.5, "initial_accumulator_value": 0.5}]),
    (optax, "adadelta", optax_adadelta, [
        {}, {"rho": 0.5, "eps": 0.5, "weight_decay": 0.5, "weight_decay_mask": [False, True]},
    ]),
    (optax, "lion", optax_lion, [
        {}, {"b1": 0.5, "b2": 0.75, "weight_decay": 0.5, "mask": [False, True]},
    ]),
]  # fmt: skip


def named(module: Any, name: str) -> str:
    return f"{module.__name__.rpartition('.')[2]}.{name}"


ROWS = [
    pytest.param(getattr(module, name), judge, options, id=f"{named(module, name)}-{i}")
    for module, name, judge, rows in TABLE
    for i, options in enumerate(rows)
]


@pytest.mark.parametrize(("optimizer", "judge", "options"), ROWS)
def test_the_peers_formula(optimizer: Any, judge: Judge, options: dict[str, Any]) -> None:
    if optimizer.__module__ == optax.__name__:
        options = {"learning_rate": falling, **options}
    rng = np.random.default_rng(0)
    # Some gradients are as small as ε: defaults show too.
    scale = 10.0 ** np.linspace(-11, 0, 45)
    params = [rng.normal(size=45), rng.normal(size=45)]
    judged, states = [w.copy() for w in params], [State(), State()]
    opt = optimizer(params, **options)
    mask = options.get("mask", options.get("weight_decay_mask"))
    mask = mask(params) if callable(mask) else mask
    for t in range(1, 13):
        grads = [scale * rng.normal(size=45) for _ in params]
        opt.step(grads)
        given = {k: v(t - 1) if callable(v) else v for k, v in options.items() if "mask" not in k}
        for i, g in enumerate(grads):
            decay = {} if mask is None or mask[i] else {"weight_decay": 0.0}
            judged[i] = judge(judged[i], g, states[i], t, **{**given, **decay})
    np.testing.assert_allclose(params, judged, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("optimizer", "judge", "options"), ROWS)
def test_a_square_that_overflows_stays_finite(
    optimizer: Any, judge: Judge, options: dict[str, Any]
) -> None:
    if options.get("centered"):  # exempt, as in test_numbers.py
        return
    rate = {"learning_rate": falling} if optimizer.__module__ == optax.__name__ else {}
    params = [np.ones(1, np.float32), np.ones(1, np.float32)]
    opt = optimizer(params, **rate, **options)
    for _ in range(3):
        opt.step([np.full(1, 1e20, np.float32)] * 2)
    assert np.isfinite(params).all()
    assert all(np.isfinite(array).all() for each in opt.state.values() for array in each.values())


@pytest.mark.parametrize("make", [torch.SGD, keras.SGD, partial(optax.sgd, learning_rate=0.1)])
def test_descent_without_momentum_keeps_no_state(make: Any) -> None:
    assert not make(np.ones(1)).state["0"]
    assert list(make(np.ones(1), momentum=0.5).state["0"]) == ["m"]


@pytest.mark.parametrize(
    ("optimizer", "judge"),
    [pytest.param(getattr(m, n), judge, id=named(m, n)) for m, n, judge, _ in TABLE],
)
def test_the_peers_arguments_in_their_order(optimizer: Any, judge: Judge) -> None:
    theirs, ours = inspect.signature(judge).parameters, inspect.signature(optimizer).parameters
    both = theirs.keys() & ours.keys()
    assert {n: ours[n].default for n in both} == {n: theirs[n].default for n in both}
    positional = [n for n in ours if n in both and ours[n].kind is not ours[n].KEYWORD_ONLY]
    assert positional == [n for n in theirs if n in positional]


@pytest.mark.parametrize("make", [keras.Adam, partial(optax.adam, learning_rate=0.1)])
def test_the_rate_by_the_peers_name(make: Any) -> None:
    opt = make(np.ones(1))
    opt.learning_rate = 0.5
    assert (opt.learning_rate, opt.lr, opt.groups[0]["learning_rate"]) == (0.5, 0.5, 0.5)


def test_none_is_keras_for_no_decay_also_in_a_group() -> None:
    w, v = np.ones(1), np.ones(1)
    groups = [{"params": w, "weight_decay": None}, {"params": v}]
    opt = keras.SGD(groups, learning_rate=0.5, weight_decay=0.25)
    opt.step([np.zeros(1), np.zeros(1)])
    assert (w[0], v[0]) == (1.0, 0.875)
    opt.groups[1]["weight_decay"] = None
    opt.step([np.zeros(1), np.zeros(1)])
    assert v == 0.875


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_optax_takes_no_step_where_all_squares_were_zero(dtype: Any) -> None:
    w = np.ones(2, dtype)
    opt = optax.adagrad(w, 0.1, initial_accumulator_value=0.0, eps=0.0)
    opt.step(np.array([0.0, 0.5], dtype))
    assert w.tolist() == [1.0, dtype(0.9)]


def test_optax_rectifies_from_the_threshold_on() -> None:
    # ρ comes to ρ∞ = 2/(1 − 0.75) − 1 = 7 exactly, and never above it.
    reached, below = np.zeros(1), np.zeros(1)
    one = optax.radam(reached, 0.1, b2=0.75, threshold=7.0)
    other = optax.radam(below, 0.1, b2=0.75, threshold=7.5)
    for t in range(400):
        g = np.full(1, 0.1 * (1 + t % 3))
        one.step(g)
        other.step(g)
    assert abs(reached[0] - below[0]) > 1


def test_every_optimizer_is_in_the_table() -> None:
    for module in (torch, keras, optax):
        assert set(module.__all__) == {name for m, name, *_ in TABLE if m is module}


# --- what is refused --------------------------------------------------------------------------

W = np.ones(3)
GRAPH, DTYPE = "not part of a graph", "state has its parameter's dtype"
REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    *((getattr(torch, name), {"differentiable": True}, GRAPH) for name in torch.__all__),
    *(
        (getattr(torch, name), {"capturable": True}, GRAPH)
        for name in torch.__all__
        if name not in ("SGD", "Adagrad")
    ),
    (torch.SGD, {"nesterov": True}, "nesterov=True needs a momentum"),
    (torch.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "a dampening of 0"),
    (torch.SGD, {"nesterov": True, "momentum": 0.9, "dampening": falling}, "a dampening of 0"),
    (optax.adadelta, {}, "learning_rate=None climbs in optax; give a rate"),
    (keras.SGD, {"clipnorm": 1.0}, "clipnorm=1.0 is not supported; clip each gradient"),
    (
        keras.Adam,
        {"clipvalue": 0.5, "global_clipnorm": 1.0},
        "only one of global_clipnorm and clipvalue",
    ),
    (keras.Adam, {"max_norm": 1.0, "global_clipnorm": 2.0}, "global_clipnorm has been given as"),
    (
        keras.Adam,
        {"clipvalue": 1.0, "clip_value": 2.0},
        "clipvalue has been given as well, as clip_v",
    ),
    (keras.Lion, {"use_ema": True}, r"use_ema=True is not supported; pass average=gradstep.EWA"),
    (keras.Nadam, {"ema_momentum": 0.9}, "ema_momentum=0.9 is not supported"),
    (keras.Adamax, {"ema_overwrite_frequency": 5}, "ema_overwrite_frequency=5 is not supported"),
    (keras.Adagrad, {"loss_scale_factor": 2.0}, "loss_scale_factor=2.0 is not supported"),
    (
        keras.Adadelta,
        {"gradient_accumulation_steps": 2},
        "gradient_accumulation_steps=2 is not supported",
    ),
    *(
        (getattr(optax, name), {"learning_rate": 0.1, "mu_dtype": "float32"}, DTYPE)
        for name in ("adam", "adamw", "amsgrad", "nadam", "lion")
    ),
    (optax.sgd, {"learning_rate": 0.1, "accumulator_dtype": "float32"}, DTYPE),
    (optax.adamw, {"learning_rate": 0.1, "mask": [True]}, "mask must be True, False, or"),
    # By the peer's name, though the core has another.
    (torch.RMSprop, {"alpha": 1.0}, "^alpha must be >= 0 and < 1"),
    (keras.Adam, {"beta_1": -0.5}, "^beta_1 must be >= 0 and < 1"),
    (keras.Adam, {"learning_rate": -1.0}, "^learning_rate must be finite"),
    (optax.rmsprop, {"learning_rate": 0.1, "eps": -1.0}, "^eps must be finite"),
    (optax.adagrad, {"learning_rate": 0.1, "initial_accumulator_value": -1.0}, "^initial_acc"),
]


@pytest.mark.parametrize(("optimizer", "options", "message"), REFUSED)
def test_what_is_not_supported_is_refused(optimizer: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimizer(W, **options)


@pytest.mark.parametrize(
    ("mask", "where"),
    [
        ({"W": True}, "mask"),
        ({"W": True, "b": True, "c": True}, "mask"),
        ({"W": True, "b": [True]}, r"mask\['b'\]"),
        ({"W": True, "b": [True, False, True]}, r"mask\['b'\]"),
        ({"W": 1, "b": False}, r"mask\['W'\]"),
    ],
)
def test_masks_that_do_not_fit(mask: Any, where: str) -> None:
    params = {"W": np.ones(1), "b": [np.ones(1), np.ones(1)]}
    with pytest.raises(ValueError, match=f"^{where} must be True, False, or structured"):
        optax.lion(params, 0.1, mask=mask)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Adam(W, epsilom=1e-7), "Adam has no argument 'epsilom'"),
        (lambda: optax.rmsprop(W, 0.1, eps_in_sqrt=1), "eps_in_sqrt must be True or False"),
        (lambda: optax.amsgrad(W, 0.1, bias_correction_mu=1), "bias_correction_mu must be True"),
        (lambda: optax.rmsprop(W, 0.1, initial_scale=falling), "initial_scale must be a number"),
        (lambda: optax.adam(W), "learning_rate"),
    ],
)
def test_what_is_no_argument_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_what_changes_nothing_is_taken() -> None:
    neutral = {
        "clipnorm": None, "clipvalue": None, "global_clipnorm": None, "use_ema": False,
        "ema_momentum": 0.99, "ema_overwrite_frequency": None, "loss_scale_factor": None,
        "gradient_accumulation_steps": None, "name": "mine",
    }  # fmt: skip
    for name in keras.__all__:
        getattr(keras, name)(W, **neutral)
    for name in torch.__all__:
        for value in (True, False, None):
            getattr(torch, name)(W, foreach=value, differentiable=False)


@pytest.mark.parametrize("make", [keras.SGD, optax.sgd])
def test_the_rate_is_set_by_either_name(make: Any) -> None:
    w = np.zeros(1)
    opt = make([{"params": w}, {"params": np.zeros(1), "learning_rate": 0.5}], 0.25)
    assert [group["learning_rate"] for group in opt.groups] == [0.25, 0.5]
    opt.lr = 1.0
    assert [group["learning_rate"] for group in opt.groups] == [1.0, 1.0]
    opt.groups[0]["learning_rate"] = 2.0
    assert opt.lr == 2.0
    opt.step([np.ones(1), np.ones(1)])
    assert w == [-2.0]


def test_there_is_no_other_peer() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'jax'"):
        _ = gs.compat.jax
    assert dir(gs.compat) == ["keras", "optax", "sklearn", "torch"]
