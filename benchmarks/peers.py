"""Who takes the step: Adam as each peer does it, with one start and one way to read the answer.

A new peer is one function and one row of PEERS. What is stepped is in cases.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import gradstep as gs
from cases import Array, Arrays

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


class Run(NamedTuple):
    """A started peer: `step` takes one step, `params` returns the parameters after the last one."""

    step: Callable[[], None]
    params: Callable[[], Arrays]


@dataclass(frozen=True)
class Peer:
    """A way to take the step.

    `start(params, grads)` may keep and change `params`. The numbers in `grads` are replaced in
    place between steps, so a peer that copies them must do it in every step.
    """

    name: str
    version: str | None  # None where it is not installed: such a peer is left out
    start: Callable[[Arrays, Arrays], Run]


def naive(params: Arrays, grads: Arrays) -> Run:
    """Step as a course writes it: every operation allocates, every step rebinds."""
    v = {name: np.zeros_like(g) for name, g in grads.items()}
    s = {name: np.zeros_like(g) for name, g in grads.items()}
    t = 0

    def step() -> None:
        nonlocal t
        t += 1
        v_corrected, s_corrected = {}, {}
        for name in params:
            d = "d" + name
            v[d] = BETA1 * v[d] + (1 - BETA1) * grads[d]
            v_corrected[d] = v[d] / (1 - BETA1**t)
            s[d] = BETA2 * s[d] + (1 - BETA2) * grads[d] ** 2
            s_corrected[d] = s[d] / (1 - BETA2**t)
            params[name] = params[name] - LR * v_corrected[d] / np.sqrt(s_corrected[d] + EPS)

    return Run(step, lambda: params)


def tuned(params: Arrays, grads: Arrays) -> Run:
    """Step in place with one scratch buffer, whole array by whole array."""
    return _in_place(params, grads, block=max(w.size for w in params.values()))


def blocked(params: Arrays, grads: Arrays) -> Run:
    """Step in place in blocks that stay in the L2 cache: the best that NumPy can do when large."""
    return _in_place(params, grads, block=32 * 1024)


def _in_place(params: Arrays, grads: Arrays, block: int) -> Run:
    scratch = np.empty(block, np.float32)
    work: list[tuple[Array, ...]] = []
    for name, parameter in params.items():
        w, g = parameter.reshape(-1), grads["d" + name].reshape(-1)
        m, v = np.zeros_like(w), np.zeros_like(w)
        for i in range(0, w.size, block):
            part = [array[i : i + block] for array in (w, g, m, v)]
            work.append((*part, scratch[: part[0].size]))
    t = 0

    def step() -> None:
        nonlocal t
        t += 1
        # Ten passes instead of twelve: m and v are kept without the factors (1 − β), and all
        # factors meet here, outside of the arrays.
        factor = (1 - BETA2) / (1 - BETA2**t)
        lr = LR * (1 - BETA1) / (1 - BETA1**t) / factor**0.5
        for w, g, m, v, x in work:
            np.multiply(m, BETA1, out=m)
            np.add(m, g, out=m)
            np.multiply(v, BETA2, out=v)
            np.square(g, out=x)
            np.add(v, x, out=v)
            np.add(v, EPS / factor, out=x)
            np.sqrt(x, out=x)
            np.divide(m, x, out=x)
            np.multiply(x, lr, out=x)
            np.subtract(w, x, out=w)

    return Run(step, lambda: params)


def gradstep(params: Arrays, grads: Arrays, **options: Any) -> Run:
    """Step with this package."""
    optimizer = gs.Adam(params, **{"lr": LR, "betas": (BETA1, BETA2), "eps_root": EPS, **options})
    return Run(lambda: optimizer.step(grads), lambda: params)


# The first is the judge of the others' answers.
PEERS = [
    Peer("naive", np.__version__, naive),
    Peer("tuned", np.__version__, tuned),
    Peer("blocked", np.__version__, blocked),
    Peer("gradstep", gs.__version__, gradstep),
]


def refuse_disagreement(case_name: str, runs: dict[str, Run], grads: Arrays) -> None:
    """Take a few steps with every peer and raise where one's parameters are not the first's.

    The gradients change from step to step: with constant ones Adam's answer does not depend on its
    betas. Tolerated is a thousandth of one step's length: float32 rounding of parameters below 0.6
    takes a tenth of that in four steps, and ε on the wrong side of the root takes more than all of
    it from any gradient below 2e-3.
    """
    for scale in (1.0, -0.5, 4.0, -0.5):  # powers of two whose product is 1: exact, and undone
        for g in grads.values():
            g *= scale
        for run in runs.values():
            run.step()
    (judge, first), *others = runs.items()
    for peer, run in others:
        for name, w in run.params().items():
            difference = np.max(np.abs(w - first.params()[name]))
            if not difference <= 1e-3 * LR:  # NaN disagrees, too
                raise RuntimeError(
                    f"case {case_name!r}: after 4 steps {name} of peer {peer!r} is off that of "
                    f"{judge!r} by {difference:.2g}, more than {1e-3 * LR:.0e}; "
                    "one of them computes another formula"
                )
