"""The judge of all peers' answers: Adam in plain NumPy float64, written from the paper.

Nothing of the package and none of the peers is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cases import Arrays, Case

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
TOLERANCE = 1e-3 * LR
# Of the gradients, one step after the other: with constant ones Adam's answer does not depend on
# its betas. Powers of two whose product is 1: exact, and undone at the end.
SCALES = (1.0, -0.5, 4.0, -0.5)

BLOCK = 2**13  # elements judged at once: what float64 makes of them stays in the cache

Convention = Literal["inside", "outside"]  # where ε stands: of the root over v


class Stepping(Protocol):
    """What is judged."""

    @property
    def step(self) -> Callable[[], object]:
        """Take one step."""

    @property
    def params(self) -> Callable[[], Arrays]:
        """Return the parameters after the last step."""


class Judged(NamedTuple):
    """Who is judged, and by which convention."""

    run: Stepping
    epsilon: Convention


def adam(
    w: NDArray[np.float64], gradients: list[NDArray[np.float64]], epsilon: Convention
) -> NDArray[np.float64]:
    """Return the parameters after a step with each gradient.

    Kingma & Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1, has ε outside.
    """
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g**2
        m_hat = m / (1 - BETA1**t)
        v_hat = v / (1 - BETA2**t)
        w = w - LR * m_hat / (np.sqrt(v_hat + EPS) if epsilon == "inside" else np.sqrt(v_hat) + EPS)
    return w


def refuse_disagreement(case: Case, judged: Mapping[str, Judged], grads: Arrays) -> None:
    """Take a few steps with everybody, from `case.params()`, and raise where an answer is wrong.

    Tolerated is a thousandth of one step's length. Rounding parameters below 0.6 to float32 takes a
    tenth of that in four steps; another place for ε takes a hundred times as much from the
    smallest gradient of every array.
    """
    for scale in SCALES:
        for g in grads.values():
            g *= scale
        for run, _ in judged.values():
            run.step()
    scales = np.cumprod(SCALES)
    answers = {name: run.params() for name, (run, _) in judged.items()}
    for array, start in case.params().items():
        flat, gradient = start.reshape(-1), grads["d" + array].reshape(-1)
        for i in range(0, flat.size, BLOCK):
            w = flat[i : i + BLOCK].astype(np.float64)
            g = gradient[i : i + BLOCK].astype(np.float64)
            for epsilon in sorted({each.epsilon for each in judged.values()}):
                right = adam(w, [scale * g for scale in scales], epsilon)
                for name, answer in answers.items():
                    if judged[name].epsilon != epsilon:
                        continue
                    given = answer[array].reshape(-1)[i : i + BLOCK]
                    difference = np.max(np.abs(given - right))
                    if not difference <= TOLERANCE:  # NaN disagrees, too
                        raise RuntimeError(
                            f"case {case.name!r}: after {len(SCALES)} steps {array} of peer "
                            f"{name!r} is off Adam with ε {epsilon} of the root by "
                            f"{difference:.2g}, more than {TOLERANCE:.0e}"
                        )
