"""Who takes the step: Adam as each peer does it, with one start and one way to read the answer.

A new peer is one function and one row of PEERS. What is stepped is in cases.py, whether the answer
is right in judge.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import gradstep as gs
import packages
from cases import Array, Arrays
from judge import BETA1, BETA2, EPS, LR, Convention


@dataclass(frozen=True)
class Run:
    """A started peer: `step` takes one step, `params` returns the parameters after the last one."""

    step: Callable[[], object]
    params: Callable[[], Arrays]


@dataclass(frozen=True)
class Peer:
    """A way to take the step.

    `start(params, grads)` may keep and change `params`. The numbers in `grads` are replaced in
    place between steps, so a peer that copies them must do it in every step. In a training loop
    the arrays are replaced, too; that suits those who look them up in every step, as NumPy's do.
    """

    name: str
    about: str
    start: Callable[[Arrays, Arrays], Run]
    epsilon: Convention = "inside"
    package: str | None = None  # what has to be installed, beside NumPy and gradstep

    @property
    def installed(self) -> bool:
        """Whether this peer can be started."""
        return self.package is None or packages.version(self.package) is not None


def naive(params: Arrays, grads: Arrays, *, lr: float = LR) -> Run:
    """Step as a course writes it: every operation allocates, every step rebinds."""
    v = {name: np.zeros_like(w) for name, w in params.items()}
    s = {name: np.zeros_like(w) for name, w in params.items()}
    t = 0

    def step() -> None:
        nonlocal t
        t += 1
        v_corrected, s_corrected = {}, {}
        for name in params:
            g = grads["d" + name]
            v[name] = BETA1 * v[name] + (1 - BETA1) * g
            v_corrected[name] = v[name] / (1 - BETA1**t)
            s[name] = BETA2 * s[name] + (1 - BETA2) * g**2
            s_corrected[name] = s[name] / (1 - BETA2**t)
            params[name] = params[name] - lr * v_corrected[name] / np.sqrt(s_corrected[name] + EPS)

    return Run(step, lambda: params)


def tuned(params: Arrays, grads: Arrays, *, lr: float = LR) -> Run:
    """Step in place with one scratch buffer, whole array by whole array."""
    return _in_place(params, grads, lr, block=None)


def blocked(params: Arrays, grads: Arrays) -> Run:
    """Step in place in blocks that stay in the L2 cache: the best that NumPy can do when large."""
    return _in_place(params, grads, LR, block=32 * 1024)


def _in_place(params: Arrays, grads: Arrays, lr: float, block: int | None) -> Run:
    scratch = np.empty(block or max(w.size for w in params.values()), np.float32)
    # What lies between two blocks, w, m, v and the scratch buffer are cut only once. Arrays of one
    # block are not cut at all.
    work: list[tuple[str, slice | None, Array, Array, Array, Array]] = []
    for name, w in params.items():
        m, v = np.zeros_like(w), np.zeros_like(w)
        if block is None or w.size <= block:
            work.append(("d" + name, None, w, m, v, scratch[: w.size].reshape(w.shape)))
            continue
        for i in range(0, w.size, block):
            part = slice(i, i + block)
            cut = [array.reshape(-1)[part] for array in (w, m, v)]
            work.append(("d" + name, part, cut[0], cut[1], cut[2], scratch[: cut[0].size]))
    t = 0

    def step() -> None:
        nonlocal t
        t += 1
        # Ten passes instead of twelve: m and v are kept without the factors (1 − β), and all
        # factors meet here, outside of the arrays.
        factor = (1 - BETA2) / (1 - BETA2**t)
        rate = lr * (1 - BETA1) / (1 - BETA1**t) / factor**0.5
        for name, part, w, m, v, x in work:
            g = grads[name] if part is None else grads[name].reshape(-1)[part]
            np.multiply(m, BETA1, out=m)
            np.add(m, g, out=m)
            np.multiply(v, BETA2, out=v)
            np.square(g, out=x)
            np.add(v, x, out=v)
            np.add(v, EPS / factor, out=x)
            np.sqrt(x, out=x)
            np.divide(m, x, out=x)
            np.multiply(x, rate, out=x)
            np.subtract(w, x, out=w)

    return Run(step, lambda: params)


def fused(params: Arrays, grads: Arrays) -> Run:
    """Step with PyTorch's one kernel over all tensors."""
    torch = packages.load("torch")
    # In memory of its own, aligned as PyTorch likes it; only the gradients are shared.
    tensors = {name: torch.from_numpy(w).clone().requires_grad_() for name, w in params.items()}
    for name, tensor in tensors.items():
        tensor.grad = torch.from_numpy(grads["d" + name])
    betas = (BETA1, BETA2)
    optimizer = torch.optim.Adam(tensors.values(), lr=LR, betas=betas, eps=EPS, fused=True)
    return Run(
        optimizer.step,
        lambda: {name: tensor.detach().numpy() for name, tensor in tensors.items()},
    )


def numba_serial(params: Arrays, grads: Arrays) -> Run:
    """Step with a loop compiled by numba, array by array."""
    return _compiled_by_numba(params, grads, parallel=False)


def numba_parallel(params: Arrays, grads: Arrays) -> Run:
    """Step with a loop compiled by numba for all threads, array by array."""
    return _compiled_by_numba(params, grads, parallel=True)


def _compiled_by_numba(params: Arrays, grads: Arrays, parallel: bool) -> Run:
    loop = _numba_loop(parallel)
    arrays = [
        (
            w.reshape(-1),
            grads["d" + name].reshape(-1),
            np.zeros(w.size, w.dtype),
            np.zeros(w.size, w.dtype),
        )
        for name, w in params.items()
    ]
    # As float32: a Python float would turn the whole loop into float64.
    beta1, rest1, beta2, rest2, eps = map(np.float32, (BETA1, 1 - BETA1, BETA2, 1 - BETA2, EPS))
    t = 0

    def step() -> None:
        nonlocal t
        t += 1
        factor = 1 / (1 - BETA2**t)
        lr = np.float32(LR / (1 - BETA1**t))
        for w, g, m, v in arrays:
            loop(w, g, m, v, beta1, rest1, beta2, rest2, np.float32(factor), lr, eps)

    return Run(step, lambda: params)


@functools.cache
def _numba_loop(parallel: bool) -> Callable[..., None]:
    numba = packages.load("numba")

    def loop(  # type: ignore[no-untyped-def]
        w, g, m, v, beta1, rest1, beta2, rest2, factor, lr, eps
    ):
        for i in numba.prange(w.size):
            m[i] = beta1 * m[i] + rest1 * g[i]
            v[i] = beta2 * v[i] + rest2 * (g[i] * g[i])
            w[i] -= lr * m[i] / np.sqrt(factor * v[i] + eps)

    # IEEE arithmetic, as everybody here. NumPy's way with a division by zero: Python's exception
    # would keep the loop from being vectorized, for four times the time.
    compiled: Callable[..., None] = numba.njit(error_model="numpy", parallel=parallel)(loop)
    return compiled


def gradstep(params: Arrays, grads: Arrays, **options: Any) -> Run:
    """Step with this package."""
    optimizer = gs.Adam(params, **{"lr": LR, "betas": (BETA1, BETA2), "eps_root": EPS, **options})
    return Run(functools.partial(optimizer.step, grads), lambda: params)


PEERS = [
    Peer("naive", "NumPy as in a course", naive),
    Peer("tuned", "NumPy in place", tuned),
    Peer("blocked", "NumPy in place, in blocks for the cache", blocked),
    Peer("torch", "PyTorch, Adam(fused=True)", fused, epsilon="outside", package="torch"),
    Peer("numba, serial", "a loop compiled by numba", numba_serial, package="numba"),
    Peer("numba, parallel", "the same over prange", numba_parallel, package="numba"),
    Peer("gradstep", "this package", gradstep),
]


def use_threads(threads: int) -> None:
    """Give every peer that is installed the same number of threads."""
    gs.set_num_threads(threads)
    if packages.version("torch"):
        packages.load("torch").set_num_threads(threads)
    if packages.version("numba"):
        numba = packages.load("numba")
        # It takes no more than it found cores, or NUMBA_NUM_THREADS names.
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
