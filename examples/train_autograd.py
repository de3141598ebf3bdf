"""A model in autograd (HIPS), with nested parameters and gradients of the same structure.

pip install autograd ".[examples]"
python examples/train_autograd.py
"""

from __future__ import annotations

import itertools
from typing import Any

from needs import needs

with needs('autograd ".[examples]"'):
    import autograd.numpy as anp
    import numpy as np
    from autograd import value_and_grad
    from sklearn.datasets import load_digits

    import gradstep as gs


def new_parameters(widths: list[int]) -> list[dict[str, Any]]:
    """Return one dict of weights and biases for each layer."""
    rng = np.random.default_rng(0)
    return [
        {"W": rng.normal(size=(n, m)) * (2 / n) ** 0.5, "b": np.zeros(m)}
        for n, m in itertools.pairwise(widths)
    ]


def loss_of(params: list[dict[str, Any]], x: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    for layer in params[:-1]:
        x = anp.maximum(x @ layer["W"] + layer["b"], 0)
    scores = x @ params[-1]["W"] + params[-1]["b"]
    scores = scores - anp.max(scores, axis=1, keepdims=True)
    chosen = scores[anp.arange(len(y)), y]
    return anp.mean(anp.log(anp.sum(anp.exp(scores), axis=1)) - chosen)


def train(epochs: int = 20) -> list[float]:
    """Train on handwritten digits; return the mean loss of each epoch."""
    x, y = load_digits(return_X_y=True)
    x = x / 16
    params = new_parameters([64, 32, 10])
    opt = gs.NAdam(params, lr=3e-3)
    gradient_of = value_and_grad(loss_of)
    batches = gs.MiniBatches(x, y, batch_size=64, seed=0)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for xb, yb in batches:
            loss, grads = gradient_of(params, xb, yb)
            opt.step(grads)  # lists of dicts, as params
            total += len(xb) * float(loss)
        losses.append(total / len(x))
    return losses


if __name__ == "__main__":
    for epoch, loss in enumerate(train(), 1):
        print(f"epoch {epoch:2}  loss {loss:.4f}")
