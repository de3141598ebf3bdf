"""Loading as a transaction: every object prepares first, then all changes are committed at once.

Each class checks its own states. Whole checkpoints are in checkpoints/plan.py.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

import gradstep._core as _core
from gradstep._typing import Array


class Prepared(NamedTuple):
    """The changes of a load, checked and allocated; nothing has changed yet.

    A class has ``_prepare_load(state, strict)``, which returns this, or raises TypeError or
    ValueError if the state does not fit. The ``state_dict`` of such a class returns copies.
    """

    # Changes of the core's objects. The core refuses one if its object has changed since.
    core: Sequence[_core.PreparedUpdate] = ()
    # Arrays to fill, each from another like it.
    fills: Sequence[tuple[Array, Array]] = ()
    # Existing attributes to set: object, name, value. Setting one must neither fail nor run code.
    swaps: Sequence[tuple[object, str, Any]] = ()
    # NumPy's bit generators, and the states to set, which may fail without memory.
    random: Sequence[tuple[Any, Any]] = ()
    # If not strict: what was asked for and is not in the state or does not fit, and what is only in
    # the state. Each text begins with a name within the part.
    missing: Sequence[str] = ()
    unexpected: Sequence[str] = ()
    # An optimizer restores its average, and an average that is kept follows its optimizer.
    restores: Sequence[object] = ()
    follows: Sequence[object] = ()
    # Warnings for the user.
    warnings: Sequence[str] = ()


def take_over(prepared: Prepared) -> None:
    """Commit the changes that the `load_state_dict` of one object has prepared."""
    for warning in prepared.warnings:
        warnings.warn(warning, stacklevel=3)
    commit([prepared], [False])  # last, as an error after it would come too late


def commit(prepared: Sequence[Prepared], done: list[bool]) -> None:
    """Make all prepared changes, and note in `done` that they are made.

    This is one call of C code, in which no signal handler runs. The changes that may fail come
    first: random states, without memory, and those of the core, which checks before it changes
    anything. After an error the caller restores the random states.
    """
    drawn = [draw for one in prepared for draw in one.random]
    fills = [fill for one in prepared for fill in one.fills]
    swaps = [swap for one in prepared for swap in one.swaps]
    core = [replacement for one in prepared for replacement in one.core]
    bits, states = zip(*drawn, strict=True) if drawn else ((), ())
    targets, sources = zip(*fills, strict=True) if fills else ((), ())
    objects, names, values = zip(*swaps, strict=True) if swaps else ((), (), ())
    steps = [
        map(setattr, bits, repeat("state"), states),
        map(_core.commit, [core] if core else []),  # even an empty call needs memory
        map(operator.setitem, targets, repeat(...), sources),
        # Not setattr: a class may have a __setattr__ in Python.
        map(object.__setattr__, objects, names, values),
        map(operator.setitem, [done], [0], [True]),
    ]
    any(chain.from_iterable(steps))
