"""What is stepped: single arrays of all sizes and the arrays of models, filled with seeded numbers.

A new case is one row of CASES. Who steps them is in peers.py, how it is timed in timing.py.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Arrays = dict[str, Array]
Shape = tuple[int, ...]

# Drawing 10^8 numbers takes longer than measuring with them: a block of this size is repeated.
BLOCK = 2**20

# With ε = 1e-8, Adam's first step is 0.01 of the rate where ε stands inside of the root, 0.99 where
# it stands outside, and 1 where there is none.
SMALL_GRADIENT = 1e-6


def numbers(shape: Shape, scale: float, rng: np.random.Generator) -> Array:
    """Return normally distributed float32 numbers: no zeros, no denormals."""
    drawn = rng.standard_normal(min(math.prod(shape), BLOCK), dtype=np.float32)
    return np.resize(drawn * np.float32(scale), shape)


@dataclass(frozen=True)
class Case:
    """The shapes of all arrays that one step updates."""

    name: str
    shapes: list[Shape]

    @property
    def elements(self) -> int:
        """Count the parameters of all arrays."""
        return sum(math.prod(shape) for shape in self.shapes)

    def params(self) -> Arrays:
        """Return new arrays with the parameters every peer starts from."""
        rng = np.random.default_rng(1)
        return {f"W{i}": numbers(shape, 0.1, rng) for i, shape in enumerate(self.shapes)}

    def grads(self) -> Arrays:
        """Return new arrays with the gradients, named as a course names them.

        The first of each array is so small that the judge sees whether there is an ε, and where.
        """
        rng = np.random.default_rng(2)
        grads = {f"dW{i}": numbers(shape, 0.01, rng) for i, shape in enumerate(self.shapes)}
        for g in grads.values():
            g.flat[0] = SMALL_GRADIENT
        return grads


def dense(*widths: int) -> list[Shape]:
    """Return the weights and biases of a multilayer perceptron in the course's layout."""
    pairs = itertools.pairwise(widths)
    return [shape for fan_in, units in pairs for shape in ((units, fan_in), (units, 1))]


def transformer(vocabulary: int, width: int, blocks: int) -> list[Shape]:
    """Return an embedding and, a block, attention, feed-forward and two layer norms."""
    norm: list[Shape] = [(width,), (width,)]
    attention: list[Shape] = [(width, 3 * width), (3 * width,), (width, width), (width,)]
    forward: list[Shape] = [(width, 4 * width), (4 * width,), (4 * width, width), (width,)]
    return [(vocabulary, width)] + (norm + attention + norm + forward) * blocks


SINGLE = [Case(f"one array of 1e{power}", [(10**power,)]) for power in range(1, 9)]
MODELS = [
    Case("6 arrays of 10", [(10,)] * 6),
    Case("course net 784-38-20-10", dense(784, 38, 20, 10)),
    Case("MLP 784-512-256-10", dense(784, 512, 256, 10)),
    Case("1000 arrays of 1000", [(1000,)] * 1000),
    Case("transformer, 9 blocks of 512", transformer(96, 512, 9)),
]
CASES = SINGLE + MODELS
