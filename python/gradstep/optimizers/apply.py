"""One step over arrays whose state the caller keeps: what all of functional.py comes down to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import gradstep._core as _core
import gradstep.checks as checks
from gradstep.optimizers.base import Optimizer
from gradstep.optimizers.options import DEFAULTS, core_options
from gradstep.pytree import Structure
from gradstep.values import frozen


def apply(cls: type[Optimizer], arguments: dict[str, Any], *states: str) -> None:
    """Take one step over arrays whose state the caller keeps; see functional.py.

    `arguments` are all that the function was given; those named in `states` are arrays of state.
    """
    values = dict(arguments)
    parameter, gradient = cls._arguments
    w, g = values.pop(parameter), values.pop(gradient)
    state = {name: values.pop(name) for name in states}
    t, mu_product = values.pop("t", None), values.pop("mu_product", None)
    scale = values.pop("scale", 1.0)
    options = {name: values.pop(name, default) for name, default in DEFAULTS.items()}
    values = {name: frozen(value) for name, value in values.items()}
    rule = cls._rule(values)
    needed = _core.state_names(rule)
    _require_states(state, needed, {key: values[key] for key in values if key in cls._shapes})
    told = cls._told(values)
    corrected = any(name == "bias_correction" and value is True for name, _, value in told)
    if t is None:
        if corrected and "bias_correction" not in values:
            raise ValueError("t is needed: the number of this step, from 1 on")
        for name in ("bias_correction", "lr_decay"):
            value = values.get(name, 0)
            if isinstance(value, int | float) and value != 0:
                raise ValueError(
                    f"{name}={values[name]!r} needs t, the number of this step, from 1 on"
                )
        given = {**values, **options}
        scheduled = [name for name, value in given.items() if callable(value)]
        if scheduled:
            raise TypeError(
                f"{scheduled[0]} must be a number here, got a callable: this function does not "
                f"know how many steps were taken; call it yourself, {scheduled[0]}=schedule(n)"
            )
        t = 1
    t = checks.count("t", t, least=1)
    names, columns = _columns({parameter: w, gradient: g, **{n: state[n] for n in needed}})

    if mu_product is None and "momentum_decay" in values:
        raise ValueError("mu_product is needed: pass numpy.ones(1) before the first step")
    for name, known_as, value in told:
        if corrected and name.startswith(("beta", "dampening")) and callable(value):
            raise TypeError(
                f"{known_as} must be a number here, got a callable: bias correction needs all "
                "its values so far, which this function does not know; use the optimizer of "
                "the same name"
            )
    stepper = _core.new_stepper(t - 1, core_options(options))
    index = stepper.add_group(rule, told, None, 0, mu_product)
    for name, wi, _, *si in zip(names, *columns, strict=True):
        stepper.add_parameter(index, name, wi, si)
    stepper.step(columns[1], scale)


def _require_states(
    state: Mapping[str, object], needed: Sequence[str], shapes: Mapping[str, Any]
) -> None:
    because = (
        " with " + ", ".join(f"{k}={checks.shown(v)}" for k, v in shapes.items()) if shapes else ""
    )
    for name, given in state.items():
        if given is None and name in needed:
            raise ValueError(f"{name} is needed{because}: pass zeros in the shape of w at first")
        if given is not None and name not in needed:
            raise ValueError(f"{name} is not used{because}: leave it out")


def _columns(arguments: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """Return the names of the parameters, and each argument as a list of arrays.

    The first argument has the parameters: one array, a list, or a dict. The others are like it.
    """
    parameter, w = next(iter(arguments.items()))
    several = isinstance(w, list | tuple)
    if not several and not isinstance(w, Mapping):
        return [parameter], [[array] for array in arguments.values()]
    if not w:
        raise ValueError(f"{parameter} holds no arrays; pass at least one parameter")
    if several and not any(map(_holds_arrays, w)):
        names = [f"{parameter}[{i}]" for i in range(len(w))]
        return names, [_listed_like(parameter, w, name, like) for name, like in arguments.items()]
    columns = [] if several else [_looked_up(w, like) for like in arguments.values()]
    found = [column for column in columns if column is not None]
    if len(found) == len(arguments):
        return list(w), found
    structure = Structure(w)
    return structure.names, [
        structure.flatten_gradients(like, name) for name, like in arguments.items()
    ]


def _holds_arrays(entry: object) -> bool:
    """Whether an entry of a list is a structure of its own; a list of numbers is no array."""
    if isinstance(entry, list | tuple):
        return not all(isinstance(inner, int | float) for inner in entry)
    return isinstance(entry, Mapping)


def _looked_up(w: Mapping[Any, Any], like: object) -> list[Any] | None:
    """Return the arrays of a flat dict with the keys of `w`, or these led by a ``d``.

    None where it takes a closer look: a step over small arrays is all overhead.
    """
    if type(like) is not dict or len(like) != len(w):
        return None
    arrays = [like.get(key) for key in w]
    if arrays and arrays[0] is None:
        arrays = [like.get(f"d{key}") for key in w]
    plain = all(type(key) is str for key in w) and all(type(a) is np.ndarray for a in arrays)
    return arrays if plain else None


def _listed_like(parameter: str, w: Sequence[Any], name: str, like: Any) -> Sequence[Any]:
    """Return an argument that has to be a list as long as that of the parameters."""
    if not isinstance(like, list | tuple):
        raise TypeError(
            f"{parameter} is a list, so {name} must be one too, got {type(like).__name__}"
        )
    if len(like) != len(w):
        raise ValueError(f"{name} must have {len(w)} entries, like {parameter}, got {len(like)}")
    return like
