"""A PyTorch model on a CPU, trained by this package's optimizer, without a copy of anything.

    python examples/train_torch.py

PyTorch computes the loss and the gradients; its parameters lend their memory, by `Tensor.numpy()`,
its gradients as they are, and the step is taken in it.
"""

from __future__ import annotations

from needs import needs

with needs('torch ".[examples]"'):
    import numpy as np
    import torch
    from sklearn.datasets import load_digits

    import gradstep as gs


def train(epochs: int = 20) -> list[float]:
    """Train a small network on handwritten digits; return the mean loss of each epoch."""
    torch.manual_seed(0)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    loss_of = torch.nn.CrossEntropyLoss()

    # The arrays are the parameters' own memory, so the model sees every step.
    params = {name: p.detach().numpy() for name, p in model.named_parameters()}
    opt = gs.AdamW(
        gs.by_name(params, {"*.bias": {"weight_decay": 0.0}}), lr=3e-3, weight_decay=0.01
    )
    batches = gs.MiniBatches(x, y, batch_size=64, seed=0)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for xb, yb in batches:
            model.zero_grad()
            loss = loss_of(model(torch.from_numpy(xb)), torch.from_numpy(yb))
            loss.backward()
            opt.step({name: p.grad for name, p in model.named_parameters()})
            total += len(xb) * loss.item()
        losses.append(total / len(x))
    return losses


if __name__ == "__main__":
    for epoch, loss in enumerate(train(), 1):
        print(f"epoch {epoch:2}  loss {loss:.4f}")
