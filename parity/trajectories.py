"""The same run with a peer and with this package: 40 steps on random gradients of several shapes.

Here live the runs and the comparison; the tables of what is run are in the tests.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep as gs

Arrays = list[NDArray[Any]]

SHAPES: list[tuple[int, ...]] = [(13, 7), (40,), (), (2, 3, 5), (1,)]
STEPS = 40
DTYPES = [np.float64, np.float32]


def drawn(dtype: Any, seed: int = 0) -> tuple[Arrays, list[Arrays]]:
    """Return parameters, and the gradients of every step: from 1e-3 to 1, in both signs."""
    rng = np.random.default_rng(seed)

    def arrays(scale: float) -> Arrays:
        return [np.asarray(scale * rng.normal(size=shape)).astype(dtype) for shape in SHAPES]

    return arrays(1.0), [arrays(10.0 ** -(step % 4)) for step in range(STEPS)]


def here(make: Callable[[Arrays], gs.Optimizer], dtype: Any) -> Arrays:
    """Return the parameters after this package's run."""
    params, gradients = drawn(dtype)
    opt = make(params)
    for grads in gradients:
        opt.step(grads)
    return params


def by_torch(make: Callable[[Any], Any], dtype: Any) -> Arrays:
    """Return the parameters after a run of PyTorch's."""
    import torch

    params, gradients = drawn(dtype)
    tensors = [torch.tensor(w, requires_grad=True) for w in params]
    opt = make(tensors)
    for grads in gradients:
        for tensor, g in zip(tensors, grads, strict=True):
            tensor.grad = torch.tensor(g)
        opt.step()
    return [tensor.detach().numpy() for tensor in tensors]


def by_keras(make: Callable[[], Any], dtype: Any) -> Arrays:
    """Return the parameters after a run of Keras's."""
    import keras

    name = np.dtype(dtype).name
    keras.backend.set_floatx(name)
    params, gradients = drawn(dtype)
    variables = [keras.Variable(w, dtype=name) for w in params]
    opt = make()
    opt.build(variables)
    for grads in gradients:
        opt.apply([keras.ops.convert_to_tensor(g) for g in grads], variables)
    return [np.asarray(keras.ops.convert_to_numpy(v.value)) for v in variables]


def by_optax(make: Callable[[], Any], dtype: Any) -> Arrays:
    """Return the parameters after a run of optax's."""
    import jax.numpy as jnp
    import optax

    params, gradients = drawn(dtype)
    tree = [jnp.asarray(w) for w in params]
    opt = make()
    state = opt.init(tree)
    for grads in gradients:
        updates, state = opt.update([jnp.asarray(g) for g in grads], state, tree)
        tree = optax.apply_updates(tree, updates)
    return [np.asarray(w) for w in tree]


def difference(ours: Sequence[NDArray[Any]], theirs: Sequence[NDArray[Any]]) -> float:
    """Return the largest difference, relative to the largest parameter of its array or 1."""
    return max(
        float(np.max(np.abs(a.astype(np.float64) - b)) / max(1.0, float(np.max(np.abs(b)))))
        for a, b in zip(ours, theirs, strict=True)
    )


def tolerance(name: str, dtype: Any) -> float:
    """Return how far a run of the optimizer may be from the peer's."""
    if dtype is np.float32:
        return 4e-5
    return 1e-7 if name == "NAdam" else 1e-11  # PyTorch keeps its product in float32


def defaults(call: Any) -> dict[str, Any]:
    """Return the arguments of a class or function behind `params`, with their defaults.

    Left out are the options of every step, which no peer has, and the name that Keras takes.
    """
    own = {"params", "name", "max_norm", "clip_value", "nonfinite", "average"}
    return {
        name: parameter.default
        for name, parameter in inspect.signature(call).parameters.items()
        if name not in own and parameter.kind is not parameter.VAR_KEYWORD
    }
