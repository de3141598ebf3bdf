"""The random generator that draws the order of an epoch: from a seed, and from a saved state.

When an order is drawn, and what else belongs to a state, is in minibatches.py.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradstep.checks import is_whole, shown

# NumPy would walk through any other object, and it crashes in a list that holds itself.
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
    """Return the generator that `seed` stands for.

    Raises
    ------
    TypeError
        If it is of a type that stands for none.
    ValueError
        If it is or holds a negative integer.
    """
    message = (
        "seed must be None, an integer >= 0, a list of such, a numpy.random.SeedSequence or a "
        f"numpy.random.Generator, got {shown(seed)}"
    )
    if not _is_seed(seed):
        raise TypeError(message)
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise ValueError(message) from error


def generator_at(like: np.random.Generator, state: Mapping[str, Any]) -> np.random.Generator:
    """Return another generator of the same kind that stands at `state`."""
    bits = type(like.bit_generator)()
    bits.state = state
    return np.random.Generator(bits)


def checked_state(name: str, state: Any, like: np.random.Generator) -> Any:
    """Return a copy of a saved random state, which another generator of the kind of `like` took.

    Raises
    ------
    ValueError
        If it is of another kind of bit generator, or damaged.
    """
    kind = like.bit_generator.state["bit_generator"]
    saved = state.get("bit_generator") if isinstance(state, dict) else state
    if not isinstance(saved, str) or saved != kind:
        raise ValueError(
            f"{name} must be of the bit generator {kind!r}, as here, got {shown(saved)}; pass a "
            "Generator of the saved kind as seed"
        )
    try:
        _require_integers(state)
        return generator_at(like, state).bit_generator.state
    except (LookupError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a state of {kind}, got a damaged one ({error!r})"
        ) from error


def _require_integers(state: object) -> None:
    """Raise TypeError if a number of a random state is not an integer: NumPy would convert it."""
    if isinstance(state, dict):
        for value in state.values():
            _require_integers(value)
        return
    is_number = isinstance(state, (np.generic, numbers.Number)) and not isinstance(state, str)
    if is_number and not is_whole(state) and not isinstance(state, bool):
        raise TypeError(f"{shown(state)} is not an integer")
