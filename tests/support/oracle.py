"""The judge: every optimizer's formula in plain NumPy float64, and the table of cases it judges.

Written from the formulas of the documentation, apart from the core; nothing of the package is used
but the classes that the table names. A new optimizer is one function here and its rows below.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep as gs

Array = NDArray[np.float64]
State = dict[str, Array]


def norm(grads: Iterable[NDArray[Any]]) -> float:
    """Return the L2 norm of all elements together, exact but for the last place or two."""
    elements = [x for g in grads for x in g.astype(np.float64).ravel().tolist()]
    if not all(map(math.isfinite, elements)):
        return math.nan if any(map(math.isnan, elements)) else math.inf
    _, exponent = math.frexp(max(map(abs, elements), default=0.0))
    root = math.sqrt(math.fsum(math.ldexp(x, -exponent) ** 2 for x in elements))
    try:
        return math.ldexp(root, exponent)
    except OverflowError:
        return math.inf


def wide(rng: np.random.Generator, n: int, dtype: Any) -> NDArray[Any]:
    """Return gradients of all magnitudes, so that no two orders of adding up agree."""
    spread = rng.uniform(-18, 18 if dtype is np.float32 else 150, n)
    g: NDArray[Any] = (rng.normal(size=n) * 10.0**spread).astype(dtype)
    return g


def limited(
    grads: list[NDArray[Any]],
    scale: float = 1.0,
    max_norm: float | None = None,
    clip_value: float | None = None,
) -> list[Array]:
    """Return what an update is given: scaled, clipped by the norm, and then each by its value."""
    scaled = [scale * g.astype(np.float64) for g in grads]
    total = norm(scaled)
    if max_norm is not None and math.isfinite(total) and total > max_norm:
        scaled = [g * (max_norm / total) for g in scaled]
    return [g if clip_value is None else np.clip(g, -clip_value, clip_value) for g in scaled]


def sgd(w: Array, g: Array, s: State, t: int, *, lr: float) -> Array:
    return w - lr * g


def momentum(
    w: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float,
    beta: float = 0.9,
    dampening: float | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> Array:
    d = beta if dampening is None else dampening
    s["m"] = beta * s["m"] + (1 - d) * g
    u = beta * s["m"] + (1 - d) * g if nesterov else s["m"]
    if bias_correction:
        weight = (1 - d) * (1 - beta**t) / (1 - beta)
        u = u / (beta * weight + (1 - d) if nesterov else weight)
    return w - lr * u


def rmsprop(
    w: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float,
    beta: float = 0.9,
    eps: float = 0.0,
    eps_root: float = 1e-8,
    centered: bool = False,
    momentum: float = 0.0,
) -> Array:
    s["v"] = beta * s["v"] + (1 - beta) * g**2
    v = s["v"]
    if centered:
        s["m"] = beta * s["m"] + (1 - beta) * g
        v = np.maximum(v - s["m"] ** 2, 0)
    u = g / (np.sqrt(v + eps_root) + eps)
    if momentum:
        s["b"] = momentum * s["b"] + u
        u = s["b"]
    return w - lr * u


def adam(
    w: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 0.0,
    eps_root: float = 1e-8,
    bias_correction: bool = True,
    amsgrad: bool = False,
) -> Array:
    s["m"] = betas[0] * s["m"] + (1 - betas[0]) * g
    s["v"] = betas[1] * s["v"] + (1 - betas[1]) * g**2
    v = s["v"]
    if amsgrad:
        s["v_max"] = v = np.maximum(s["v_max"], v)
    m_hat = s["m"] / (1 - betas[0] ** t) if bias_correction else s["m"]
    v_hat = v / (1 - betas[1] ** t) if bias_correction else v
    return w - lr * m_hat / (np.sqrt(v_hat + eps_root) + eps)


def nadam(
    w: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    momentum_decay: float = 0.004,
    eps: float = 0.0,
    eps_root: float = 1e-8,
) -> Array:
    now, later = (betas[0] * (1 - 0.96 ** (n * momentum_decay) / 2) for n in (t, t + 1))
    product = s["mu_product"] = s.get("mu_product", 1) * now
    s["m"] = betas[0] * s["m"] + (1 - betas[0]) * g
    s["v"] = betas[1] * s["v"] + (1 - betas[1]) * g**2
    m_hat: Array = later * s["m"] / (1 - product * later) + (1 - now) * g / (1 - product)
    v_hat = s["v"] / (1 - betas[1] ** t)
    return w - lr * m_hat / (np.sqrt(v_hat + eps_root) + eps)


def radam(
    w: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    threshold: float = 5.0,
    eps: float = 0.0,
    eps_root: float = 1e-8,
) -> Array:
    s["m"] = betas[0] * s["m"] + (1 - betas[0]) * g
    s["v"] = betas[1] * s["v"] + (1 - betas[1]) * g**2
    m_hat = s["m"] / (1 - betas[0] ** t)
    longest = 2 / (1 - betas[1]) - 1
    length = longest - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    change: Array = m_hat
    if length > max(threshold, 4):
        r = ((length - 4) * (length - 2) * longest) / ((longest - 4) * (longest - 2) * length)
        v_hat = s["v"] / (1 - betas[1] ** t)
        change = r**0.5 * m_hat / (np.sqrt(v_hat + eps_root) + eps)
    return w - lr * change


def adamax(
    w: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 0.0,
    eps_root: float = 1e-8,
) -> Array:
    s["m"] = betas[0] * s["m"] + (1 - betas[0]) * g
    s["u"] = np.maximum(betas[1] * s["u"], abs(g) + eps_root)
    return w - lr / (1 - betas[0] ** t) * s["m"] / (s["u"] + eps)


def adagrad(
    w: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float,
    lr_decay: float = 0.0,
    eps: float = 0.0,
    eps_root: float = 1e-8,
) -> Array:
    s["v"] = s["v"] + g**2
    return w - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["v"] + eps_root) + eps)


def adadelta(
    w: Array, g: Array, s: State, t: int, *, lr: float, rho: float = 0.9, eps_root: float = 1e-6
) -> Array:
    s["v"] = rho * s["v"] + (1 - rho) * g**2
    u = np.sqrt(s["d"] + eps_root) / np.sqrt(s["v"] + eps_root) * g
    s["d"] = rho * s["d"] + (1 - rho) * u**2
    return w - lr * u


def lion(
    w: Array, g: Array, s: State, t: int, *, lr: float, betas: tuple[float, float] = (0.9, 0.99)
) -> Array:
    direction = betas[0] * s["m"] + (1 - betas[0]) * g
    s["m"] = betas[1] * s["m"] + (1 - betas[1]) * g
    return w - lr * np.sign(direction)


@functools.cache
def _signature(function: Callable[..., None]) -> tuple[list[str], bool]:
    """Return what a function takes by position behind w and g, and whether it takes `t`."""
    parameters = inspect.signature(function).parameters
    _, _, *states = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    return states, "t" in parameters


@dataclass(frozen=True)
class Case:
    """One optimizer with options, its judge, and its function in `gradstep.functional`."""

    optimizer: type[gs.Optimizer]
    judge: Callable[..., Array]
    states: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        listed = ",".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.optimizer.__name__}({listed})"

    @property
    def function(self) -> Callable[..., None]:
        return getattr(gs.functional, self.optimizer.__name__.lower())  # type: ignore[no-any-return]

    @property
    def decoupled(self) -> bool:
        """Whether weight decay shrinks the parameter, apart from the gradient."""
        always = self.optimizer in (gs.AdamW, gs.Lion)
        return always or self.options.get("decoupled_weight_decay", False)

    @property
    def rule(self) -> str:
        """The name of the rule in the core."""
        return self.optimizer(np.ones(1), **self.options).groups[0].rule

    @property
    def loop(self) -> tuple[str, bool, bool]:
        """What the core compiles a loop of its own for: the rule, and how weights decay."""
        return self.rule, self.decays, self.decoupled

    @property
    def decays(self) -> bool:
        return bool(self.options.get("weight_decay", self.optimizer is gs.AdamW))

    def new_state(self, w: NDArray[Any], dtype: Any = np.float64) -> State:
        start = self.options.get("initial_accumulator", 0.0)
        return {name: np.full(w.shape, start, dtype) for name in self.states}

    def kept_by_the_caller(self, ws: list[NDArray[Any]]) -> dict[str, Any]:
        """Return what its function takes as state, by name, for a list of parameters."""
        made = [self.new_state(w, w.dtype) for w in ws]
        states: dict[str, Any] = {name: [state[name] for state in made] for name in self.states}
        if self.optimizer is gs.NAdam:
            states["mu_product"] = np.ones(1)
        return states

    def step(self, w: Array, g: Array, state: State, t: int, lr: float) -> Array:
        """Return the new parameter; `state` is replaced entry by entry."""
        options = dict(self.options)
        decay = options.pop("weight_decay", 0.01 if self.optimizer is gs.AdamW else 0.0)
        if options.pop("maximize", False):
            g = -g
        for name in ("decoupled_weight_decay", "initial_accumulator"):
            options.pop(name, None)
        if self.decoupled:
            w = w - lr * decay * w
        else:
            g = g + decay * w
        return self.judge(w, g, state, t, lr=lr, **options)

    def call(self, w: Any, g: Any, states: dict[str, Any], t: int, lr: float) -> None:
        """Call the function: state by position where it stands so, `t` where it is taken."""
        positional, counted = _signature(self.function)
        keywords = {name: s for name, s in states.items() if name not in positional}
        if counted:
            keywords["t"] = t
        given = [states[name] for name in positional]
        options = {k: v for k, v in self.options.items() if k != "initial_accumulator"}
        self.function(w, g, *given, lr=lr, **keywords, **options)


def _rows(
    optimizer: type[gs.Optimizer],
    judge: Callable[..., Array],
    *rows: tuple[tuple[str, ...], dict[str, Any]],
) -> list[Case]:
    return [Case(optimizer, judge, states, options) for states, options in rows]


M, V, MV, MAX = ("m",), ("v",), ("m", "v"), ("m", "v", "v_max")
MU, VD = ("m", "u"), ("v", "d")
CASES = [
    *_rows(
        gs.SGD,
        sgd,
        ((), {}),
        ((), {"weight_decay": 0.3}),
        ((), {"maximize": True, "weight_decay": 0.3}),
    ),
    *_rows(
        gs.Momentum,
        momentum,
        (M, {}),
        (M, {"beta": 0.5}),
        (M, {"dampening": 0.0}),
        (M, {"dampening": 0.4, "bias_correction": True}),
        (M, {"nesterov": True}),
        (M, {"bias_correction": True}),
        (M, {"nesterov": True, "bias_correction": True, "dampening": 0.0}),
        (M, {"weight_decay": 0.3}),
        (M, {"nesterov": True, "maximize": True}),
    ),
    *_rows(
        gs.RMSprop,
        rmsprop,
        (V, {}),
        (V, {"beta": 0.5, "eps": 0.25}),
        (V, {"eps_root": 0.25}),
        (("v", "m"), {"centered": True, "eps_root": 0.01}),
        (("v", "b"), {"momentum": 0.7}),
        (("v", "m", "b"), {"centered": True, "momentum": 0.7, "eps": 0.1}),
        (V, {"weight_decay": 0.3}),
        (V, {"maximize": True}),
    ),
    *_rows(
        gs.Adam,
        adam,
        (MV, {}),
        (MV, {"betas": (0.5, 0.75)}),
        (MV, {"eps": 0.25}),
        (MV, {"eps_root": 0.25}),
        (MV, {"eps": 1e-3, "eps_root": 0.0}),
        (MV, {"bias_correction": False, "eps_root": 0.01}),
        (MAX, {"amsgrad": True}),
        (MAX, {"amsgrad": True, "eps": 0.25, "weight_decay": 0.3}),
        (MV, {"weight_decay": 0.3}),
        (MV, {"maximize": True}),
    ),
    *_rows(
        gs.AdamW,
        adam,
        (MV, {}),
        (MV, {"weight_decay": 0.3, "eps": 0.25}),
        (MAX, {"weight_decay": 0.3, "amsgrad": True, "maximize": True}),
    ),
    *_rows(
        gs.NAdam,
        nadam,
        (MV, {}),
        (MV, {"betas": (0.5, 0.75), "momentum_decay": 0.5}),
        (MV, {"eps": 0.25}),
        (MV, {"eps_root": 0.25, "momentum_decay": 0.0}),
        (MV, {"weight_decay": 0.3, "maximize": True}),
        (MV, {"weight_decay": 0.3, "decoupled_weight_decay": True}),
    ),
    *_rows(
        gs.RAdam,
        radam,
        (MV, {}),
        (MV, {"betas": (0.5, 0.75), "eps": 0.25}),
        (MV, {"eps_root": 0.25, "threshold": 8.0}),
        (MV, {"betas": (0.9, 0.5)}),
        (MV, {"weight_decay": 0.3, "maximize": True}),
        (MV, {"weight_decay": 0.3, "decoupled_weight_decay": True}),
    ),
    *_rows(
        gs.Adamax,
        adamax,
        (MU, {}),
        (MU, {"betas": (0.5, 0.75), "eps": 0.25}),
        (MU, {"eps_root": 0.25}),
        (MU, {"eps": 1e-3, "eps_root": 0.0}),
        (MU, {"weight_decay": 0.3, "maximize": True}),
    ),
    *_rows(
        gs.Adagrad,
        adagrad,
        (V, {}),
        (V, {"eps": 0.25, "lr_decay": 0.5}),
        (V, {"eps_root": 0.25, "initial_accumulator": 0.5}),
        (V, {"weight_decay": 0.3, "maximize": True}),
    ),
    *_rows(
        gs.Adadelta,
        adadelta,
        (VD, {}),
        (VD, {"rho": 0.5, "eps_root": 0.25}),
        (VD, {"weight_decay": 0.3, "maximize": True}),
    ),
    *_rows(
        gs.Lion,
        lion,
        (M, {}),
        (M, {"betas": (0.5, 0.75)}),
        (M, {"weight_decay": 0.3, "maximize": True}),
    ),
]


def _first_of_each(part: Callable[[Case], Any]) -> list[Case]:
    return list({part(case): case for case in reversed(CASES)}.values())[::-1]


# For what depends on the streams of a loop alone, or on the loop, and not on hyperparameters.
RULES = _first_of_each(lambda case: case.rule)
LOOPS = _first_of_each(lambda case: case.loop)
