"""The generator that orders come from, and its states."""

from __future__ import annotations

import contextlib
import numbers
from typing import Any

import numpy as np

from gradstep.checks import is_whole, shown


def require_integers(state: object) -> None:
    """Raise TypeError where a number of a random state is none: NumPy would make one of it."""
    if isinstance(state, dict):
        for value in state.values():
            require_integers(value)
        return
    is_number = isinstance(state, (np.generic, numbers.Number)) and not isinstance(state, str)
    if is_number and not is_whole(state) and not isinstance(state, bool):
        raise TypeError(f"{shown(state)} is no integer")


# Whatever else there is NumPy would walk through, and it crashes in a list that holds itself.
_SEEDS = (
    np.random.Generator,
    np.random.BitGenerator,
    np.random.RandomState,
    np.random.bit_generator.ISeedSequence,
)


def _is_seed(given: Any) -> bool:
    if isinstance(given, (list, tuple)):
        return all(map(is_whole, given))
    if isinstance(given, np.ndarray):
        return given.dtype.kind in "iu"
    return given is None or is_whole(given) or isinstance(given, _SEEDS)


def make_generator(seed: Any) -> np.random.Generator:
    """Return the generator that a `seed` stands for; ValueError where it stands for none."""
    if _is_seed(seed):
        with contextlib.suppress(TypeError, ValueError):  # a negative one, for instance
            return np.random.default_rng(seed)
    raise ValueError(
        f"seed is {shown(seed)}, expected None, an integer >= 0, a list of such, a "
        "numpy.random.SeedSequence or a numpy.random.Generator"
    )
