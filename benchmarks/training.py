"""The whole loop: a NumPy network's forward and backward pass, and the step in turn.

The network and the ways to update it live here; in which process they run is up to loop.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import gradstep as gs
import peers
from cases import Array, Arrays
from report import Result
from timing import Sampler, looped
from timing import measure as take_turns

BATCH = 64
BATCHES = 16  # that are drawn, and seen in turn

# The rate while timing: so small that thousands of iterations leave losses and gradients as they
# are. A trained network's gradients are zeros, which cost another time.
SLOW = 1e-6


@dataclass
class Network:
    """A multilayer perceptron in training: ReLU, softmax, cross-entropy."""

    params: Arrays
    grads: Arrays  # the same dict in every iteration, with new arrays
    batches: list[tuple[Array, NDArray[np.intp]]]
    loss: float = np.nan
    seen: int = 0

    @classmethod
    def new(cls, widths: tuple[int, ...]) -> Network:
        """Draw weights as He et al. (2015) do, inputs, and labels that cannot be learnt from them."""
        rng = np.random.default_rng(4)
        params: Arrays = {}
        for i, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
            scale = np.float32(np.sqrt(2 / inputs))
            params[f"W{i}"] = rng.standard_normal((inputs, outputs), dtype=np.float32) * scale
            params[f"b{i}"] = np.zeros(outputs, np.float32)
        batches = [
            (
                rng.standard_normal((BATCH, widths[0]), dtype=np.float32),
                rng.integers(widths[-1], size=BATCH),
            )
            for _ in range(BATCHES)
        ]
        return cls(params, {f"d{name}": np.zeros_like(w) for name, w in params.items()}, batches)

    def differentiate(self) -> None:
        """Take the next batch forward and backward: a new loss, new gradients."""
        x, y = self.batches[self.seen % BATCHES]
        self.seen += 1
        layers = len(self.params) // 2
        outputs = [x]
        for i in range(1, layers + 1):
            z = outputs[-1] @ self.params[f"W{i}"] + self.params[f"b{i}"]
            outputs.append(np.maximum(z, 0) if i < layers else z)
        shifted = outputs.pop() - z.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows = np.arange(len(y))
        self.loss = -float(log_probabilities[rows, y].mean())

        # From here back, dz is the loss's derivative by the layer's sums, before ReLU or softmax.
        dz = np.exp(log_probabilities)
        dz[rows, y] -= 1
        dz /= len(y)
        for i in range(layers, 0, -1):
            a = outputs[i - 1]
            self.grads[f"dW{i}"] = a.T @ dz
            self.grads[f"db{i}"] = dz.sum(axis=0)
            if i > 1:
                dz = dz @ self.params[f"W{i}"].T * (a > 0)


@dataclass
class Training:
    """A network, who updates it, and with how many threads of gradstep's."""

    network: Network
    update: Callable[[], object] | None
    threads: int

    def iterate(self) -> None:
        """Differentiate and update."""
        self.network.differentiate()
        if self.update:
            self.update()

    def sampler(self) -> Sampler:
        """Return what times iterations."""
        sample = looped(self.iterate)

        def with_threads(count: int) -> float:
            gs.set_num_threads(self.threads)
            return sample(count)

        return with_threads


def trainings(widths: tuple[int, ...], threads: int, lr: float) -> dict[str, Training]:
    """Return one network for each way to update it, all alike."""

    def training(start: Callable[..., peers.Run] | None, threads: int = threads) -> Training:
        network = Network.new(widths)
        run = start(network.params, network.grads, lr=lr) if start else None
        return Training(network, run.step if run else None, threads)

    return {
        "naive": training(peers.naive),
        "tuned": training(peers.tuned),
        "gradstep, 1 thread": training(peers.gradstep, 1),
        "gradstep": training(peers.gradstep),
        "no update": training(None),
    }


def refuse_disagreement(widths: tuple[int, ...], threads: int, iterations: int = 3) -> None:
    """Train a little in every way and raise where the parameters part."""
    lr = 1e-3
    first, *others = (
        (name, training)
        for name, training in trainings(widths, threads, lr).items()
        if training.update
    )
    for name, training in (first, *others):
        gs.set_num_threads(training.threads)
        for _ in range(iterations):
            training.iterate()
        for array, w in training.network.params.items():
            difference = np.max(np.abs(w - first[1].network.params[array]))
            # A hundredth of a step: the passes' own rounding, a step later, is a part of it.
            if not difference <= 0.01 * lr:
                raise RuntimeError(
                    f"training {widths}: after {iterations} iterations {array} of {name!r} is off "
                    f"that of {first[0]!r} by {difference:.2g}"
                )


def measure(widths: tuple[int, ...], threads: int, rounds: int, seconds: float) -> Result:
    """Check and time the loops of one network, in short blocks that take turns."""
    refuse_disagreement(widths, threads)
    running = trainings(widths, threads, SLOW)
    samplers = {name: training.sampler() for name, training in running.items()}
    times = take_turns(samplers, rounds, least=0.01, seconds=seconds)
    losses = [training.network.loss for training in running.values()]
    if not all(1 < loss < 10 for loss in losses):
        raise RuntimeError(f"training {widths}: losses {losses} are no longer a fresh network's")
    elements = sum(w.size for w in running["gradstep"].network.params.values())
    return {"widths": list(widths), "elements": elements, "seconds": times}
