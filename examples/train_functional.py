"""A model whose optimizer state lives elsewhere: here in one file that is mapped into memory.

    python examples/train_functional.py STATE_FILE

`gradstep.functional` takes a step over whatever arrays it is given, as the course's
`update_parameters_with_adam(parameters, grads, v, s, t)` does. Stop the program and start it again:
it goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from needs import needs

with needs():
    import numpy as np
    from numpy.typing import NDArray
    from sklearn.datasets import load_digits

    import gradstep as gs

SHAPES = {"W1": (64, 32), "b1": (32,), "W2": (32, 10), "b2": (10,)}
SIZES = {name: int(np.prod(shape)) for name, shape in SHAPES.items()}
KINDS = ("parameter", "m", "v")

Arrays = list[NDArray[np.float64]]


def mapped(path: Path) -> tuple[dict[str, Arrays], NDArray[np.float64]]:
    """Return views of the file: for each kind the arrays in the order of SHAPES, and the count."""
    total = len(KINDS) * sum(SIZES.values()) + 1
    fresh = not path.exists()
    memory = np.memmap(path, np.float64, "w+" if fresh else "r+", shape=(total,))
    views: dict[str, Arrays] = {kind: [] for kind in KINDS}
    start = 0
    for kind in KINDS:
        for name, shape in SHAPES.items():
            views[kind].append(memory[start : start + SIZES[name]].reshape(shape))
            start += SIZES[name]
    if fresh:
        rng = np.random.default_rng(0)
        for w in views["parameter"]:
            if w.ndim == 2:
                w[...] = rng.normal(size=w.shape) * (2 / len(w)) ** 0.5
    return views, memory[-1:]


def loss_and_gradients(params: Arrays, x: Any, y: Any) -> tuple[float, Arrays]:
    """Return the mean cross-entropy of a network of two layers, and its gradients."""
    w1, b1, w2, b2 = params
    hidden = np.maximum(x @ w1 + b1, 0)
    scores = hidden @ w2 + b2
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    loss = float(-np.mean(np.log(p[rows, y])))
    p[rows, y] -= 1
    p /= len(y)
    back = (p @ w2.T) * (hidden > 0)
    return loss, [x.T @ back, back.sum(axis=0), hidden.T @ p, p.sum(axis=0)]


def train(path: Path, epochs: int = 10) -> list[float]:
    """Train on handwritten digits; return the mean loss of each epoch."""
    x, y = load_digits(return_X_y=True)
    x = x / 16
    views, count = mapped(path)
    batches = gs.MiniBatches(x, y, batch_size=64, seed=0)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for xb, yb in batches:
            loss, grads = loss_and_gradients(views["parameter"], xb, yb)
            t = int(count[0]) + 1
            gs.functional.adam(views["parameter"], grads, views["m"], views["v"], t=t, lr=3e-3)
            count[0] = t
            total += len(xb) * loss
        losses.append(total / len(x))
    return losses


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("give the name of the file that is to keep the model and its state")
    for epoch, loss in enumerate(train(Path(sys.argv[1])), 1):
        print(f"epoch {epoch:2}  loss {loss:.4f}")
