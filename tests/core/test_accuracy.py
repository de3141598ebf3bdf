"""How far a step is from exact arithmetic: random hyperparameters, states and numbers of steps.

float64 judges float32, and mpmath judges float64, by the formulas of oracle.py. What is promised, in
units in the last place (ULP) and units of rounding (the largest relative error of one rounding):

- A moment is within 3 ULP of its largest operand: of what is kept, of what is added, or of itself.
  The buffer b of RMSprop adds up quotients, each of which is rounded: it is within 7. Adadelta's d
  adds up squares of such: it is within 16.
- A parameter is within 1 ULP of itself, before or after the step, whichever is larger, and 16 units
  of rounding of its update's size. Terms that cancel count in the size as if they had one sign.
  Decoupled decay has 2 ULP, because (1 − αλ) w is rounded on its own.
- Coupled weight decay rounds g + λ w to within 2 ULP of the largest of g, λ w and the sum. What
  follows is as exact as for a gradient of just that value.
- Centered RMSprop rounds v − m² to within 8 units of rounding of v + m². What follows is as exact as
  for a variance of just that value.
- NAdam keeps the product of its factors in one float64, so where that is within δ of 1, the update is
  off by 2⁻⁵¹/δ besides. (With the usual ψ it is below ½ from the first step on.)
- Lion's sign is that of a sum within 8 units of rounding of its gradient's part.

Numbers so large or small that they overflow or are flushed to zero are in test_numbers.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
from support.effort import effort, endurance
from support.oracle import CASES, Case, radam

Array = NDArray[Any]


@dataclass(frozen=True)
class Precision:
    """A type of elements, and the numbers that judge it."""

    dtype: Any
    number: Callable[[Any], Any]
    reach: int  # magnitudes lie between 10^-reach and 10^reach
    samples: int

    @property
    def rounding(self) -> float:
        return float(np.finfo(self.dtype).eps) / 2

    def exact(self, x: Array) -> Array:
        """Return the array in the judge's numbers."""
        if self.number is float:
            return x.astype(np.float64)
        return np.array([self.number(value) for value in x.tolist()], object)

    def ulp(self, *arrays: Array) -> Array:
        """Return the unit in the last place of the largest, element by element."""
        largest = np.max([np.abs(x).astype(self.dtype) for x in arrays], axis=0)
        spacing: Array = np.spacing(largest).astype(np.float64)
        return spacing


PRECISIONS = {
    "float32": Precision(np.float32, float, 15, effort(50_000, 10_000_000)),
    "float64": Precision(np.float64, mpmath.mpf, 60, effort(1_000, 100_000)),
}
SETTINGS = effort(3, 30)  # of hyperparameters, for each case


def drawn_beta(rng: np.random.Generator) -> float:
    return float(1 - 10.0 ** rng.uniform(-6, -0.05))


def drawn_case(case: Case, rng: np.random.Generator) -> tuple[Case, float]:
    """Return the case with other numbers in the place of its own, and a learning rate."""
    known = inspect.signature(case.judge).parameters
    eps = rng.choice([0.0, 10.0 ** rng.uniform(-12, 0)]) if "eps" in known else 0.0
    draws: dict[str, Callable[[], Any]] = {
        "beta": lambda: rng.choice([0.0, drawn_beta(rng)], p=[0.1, 0.9]),
        "betas": lambda: (draws["beta"](), draws["beta"]()),
        "eps": lambda: eps,
        "eps_root": lambda: 0.0 if eps and rng.random() < 0.5 else 10.0 ** rng.uniform(-16, 0),
        "rho": lambda: drawn_beta(rng),
        "momentum_decay": lambda: rng.choice([0.0, 10.0 ** rng.uniform(-6, 1)]),
        "threshold": lambda: rng.uniform(3, 50),
    }
    options = dict(case.options)
    for name in known:
        if name in draws:
            options[name] = draws[name]()
        elif options.get(name) and name in ("dampening", "momentum", "lr_decay"):
            options[name] = drawn_beta(rng)
    if "weight_decay" in options or case.optimizer is gs.AdamW:
        options["weight_decay"] = 10.0 ** rng.uniform(-6, 0)
    return replace(case, options=options), 10.0 ** rng.uniform(-6, 0)


def drawn_array(rng: np.random.Generator, n: int, p: Precision) -> Array:
    """Return numbers of both signs and a few zeros; half have about the same magnitude."""
    alike = rng.random(n) < 0.5
    exponents = np.where(alike, rng.uniform(-0.3, 0.3, n), rng.uniform(-p.reach, p.reach, n))
    signs = rng.choice([-1.0, 1.0, 0.0], n, p=[0.48, 0.48, 0.04])
    return (signs * 10.0**exponents).astype(p.dtype)


def drawn_state(rng: np.random.Generator, n: int, p: Precision) -> dict[str, Array]:
    m, b = drawn_array(rng, n, p), drawn_array(rng, n, p)
    v = np.where(rng.random(n) < 0.5, m, drawn_array(rng, n, p)) ** 2 * rng.uniform(0.5, 3, n)
    v_max, d = v * rng.uniform(0.5, 2, n), v * 10.0 ** rng.uniform(-6, 0, n)
    u = np.abs(m) * rng.uniform(0.5, 2, n)
    positive = {"v": v, "v_max": v_max, "d": d, "u": u}
    return {"m": m, "b": b, **{name: s.astype(p.dtype) for name, s in positive.items()}}


def with_decay(case: Case, w: Array, g: Array, p: Precision) -> tuple[Case, Array]:
    """Return the case and the gradient as they are once the decay is coupled and the sign taken."""
    options = dict(case.options)
    if options.pop("maximize", False):
        g = -g
    if not case.decoupled and "weight_decay" in options:
        decay = options.pop("weight_decay")
        rounded = g + p.dtype(decay) * w
        error = abs(p.exact(rounded) - (p.exact(g) + p.number(decay) * p.exact(w)))
        assert np.all(error <= 2 * p.ulp(g, decay * w, rounded))
        g = rounded
    return replace(case, options=options), g


class Judge:
    """Steps from one state in the judge's numbers, as often as it takes."""

    def __init__(self, case: Case, lr: float, t: int, p: Precision) -> None:
        def exact(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(p.number, value))
            return value if isinstance(value, bool) else p.number(value)

        self.options = {name: exact(value) for name, value in case.options.items()}
        self.case, self.lr, self.t = case, p.number(lr), t

    def step(
        self, w: Array, g: Array, state: dict[str, Array], **changed: Array
    ) -> tuple[Array, dict[str, Array]]:
        """Return the new parameter and state."""
        state = dict(state)
        case = replace(self.case, options={**self.options, **changed})
        return case.step(w, g, state, self.t, self.lr), state


def floor(case: Case, name: str, dtype: Any) -> float:
    """Return the magnitude below which a moment is stored as zero; see test_numbers.py."""
    tiny = float(np.finfo(dtype).tiny)
    decaying = tiny * 2.0**6
    if name in ("v", "v_max", "u", "d"):
        return decaying
    return decaying**0.5 if name == "m" and case.options.get("centered") else tiny * 2.0**26


def check(case: Case, lr: float, t: int, n: int, p: Precision, rng: np.random.Generator) -> None:
    """Take one step from a random state, and compare every array with the judge's."""
    w, g, drawn = drawn_array(rng, n, p), drawn_array(rng, n, p), drawn_state(rng, n, p)
    before = w.copy()
    opt = case.optimizer(w, lr=lr, **case.options)
    found = opt.state["0"]
    for name in case.states:
        found[name][...] = drawn[name]
    opt.load_state_dict({**opt.state_dict(), "t": t - 1})
    opt.step(g)

    case, g = with_decay(case, before, g, p)
    judge = Judge(case, lr, t, p)
    exact_w, exact_g = p.exact(before), p.exact(g)
    state = {name: p.exact(drawn[name]) for name in case.states}
    zero = p.exact(np.zeros(n))
    expected, after = judge.step(exact_w, exact_g, state)
    changes: list[dict[str, Array]] = [{}]
    if case.options.get("centered"):  # the least and the largest variance that rounding may leave
        variance = np.maximum(after["v"] - after["m"] ** 2, 0)
        slack = 8 * p.rounding * (after["v"] + after["m"] ** 2)
        root = judge.options["eps_root"]
        changes = [{"eps_root": root - np.minimum(slack, variance)}, {"eps_root": root + slack}]
    ends = [judge.step(exact_w, exact_g, state, **change) for change in changes]
    ends_of_w = [end for end, _ in ends]
    if case.optimizer is gs.Lion:  # what cancels may come out with either sign, or as zero
        sides = (1 - 8 * p.rounding, 1 + 8 * p.rounding)
        ends_of_w = [judge.step(exact_w, side * exact_g, state)[0] for side in sides]

    # How large each of the terms was that were added up; of b, one is the quotient.
    left, kept = judge.step(zero, 0 * exact_g, state)
    _, added = judge.step(zero, exact_g, dict.fromkeys(state, zero))
    right, quotient = judge.step(zero, exact_g, {**state, "b": zero}, **changes[0])
    added["b"] = quotient["b"]
    for name in case.states:
        slack = {"b": 7, "d": 16}.get(name, 3) * p.ulp(kept[name], added[name], after[name])
        flushed = abs(after[name]) < floor(case, name, p.dtype)
        require_between([end[name] for _, end in ends], found[name], p, slack, flushed)
    if case.options.get("centered"):
        size = abs(left) + abs(right)
    else:
        size = abs(judge.step(zero, abs(exact_g), {name: abs(s) for name, s in state.items()})[0])
    ulps = 2 if case.decoupled else 1
    roundings = 16 * p.rounding
    if case.optimizer is gs.NAdam:
        product, _ = opt.state_dict()["groups"][0]["products"]["mu"]
        roundings += 2.0**-51 / (1 - product)
    slack = ulps * p.ulp(before, expected) + roundings * size
    require_between(ends_of_w, w, p, slack, np.False_)


def require_between(ends: list[Array], x: Array, p: Precision, slack: Array, flushed: Any) -> None:
    """Fail unless each element is between the ends, give or take its slack, or may be zero and is."""
    low, high = np.minimum(ends[0], ends[-1]), np.maximum(ends[0], ends[-1])
    exact = p.exact(x)
    right = (low - slack <= exact) & (exact <= high + slack)
    assert np.all(right | (flushed & (x == 0)))


@endurance
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_step_against_exact_arithmetic(case: Case, precision: str) -> None:
    p = PRECISIONS[precision]
    rng = np.random.default_rng(CASES.index(case))
    n = -(-p.samples // len(CASES) // SETTINGS)
    with mpmath.workdps(60):
        for _ in range(SETTINGS):
            drawn, lr = drawn_case(case, rng)
            t = int(10.0 ** rng.uniform(0, rng.choice([1, 15.9])))
            check(drawn, lr, t, n, p, rng)


@pytest.mark.parametrize("t", [6, 50, 10_000])
@pytest.mark.parametrize("beta2", [1 - 1e-9, 1 - 1e-6, 0.999])
def test_the_rectification_against_exact_arithmetic(beta2: float, t: int) -> None:
    # Where beta2 is close to 1, ρ is the small difference of large numbers.
    w, g, m, v = np.zeros(1), np.full(1, 0.5), np.full(1, 0.25), np.full(1, 0.5)
    p = PRECISIONS["float64"]
    with mpmath.workdps(60):
        betas = p.number(0.9), p.number(beta2)
        state = {"m": p.exact(m), "v": p.exact(v)}
        expected = radam(p.exact(w), p.exact(g), state, t, lr=p.number(1), betas=betas)[0]
    gs.functional.radam(w, g, m, v, t=t, lr=1.0, betas=(0.9, beta2))
    assert abs(w[0] - expected) <= 16 * p.rounding * abs(expected)


def test_the_factors_of_momentum_against_exact_arithmetic() -> None:
    w, g, m, v = np.zeros(1), np.ones(1), np.zeros(1), np.zeros(1)
    with mpmath.workdps(60):
        for t in range(1, 400):
            product = np.ones(1)
            gs.functional.nadam(w, g, m, v, t=t, lr=0.0, momentum_decay=0.25, mu_product=product)
            expected = mpmath.mpf(0.9) * (1 - mpmath.mpf("0.96") ** (t * mpmath.mpf(0.25)) / 2)
            assert abs(product[0] - expected) <= 2.0**-52 * expected
