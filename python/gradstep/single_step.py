"""One step over arrays whose state the caller keeps: what all of functional.py comes down to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradstep import _core, checks
from gradstep.groups import own
from gradstep.optimizer import Optimizer
from gradstep.options import core_options


def apply(
    cls: type[Optimizer],
    w: object,
    g: object,
    state: Mapping[str, object],
    t: int | None,
    options: Mapping[str, Any],
    mu_product: object = None,
    **values: Any,
) -> None:
    """Take one step over arrays whose state the caller keeps; see functional.py."""
    values = {name: own(value) for name, value in values.items()}
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
    several = isinstance(w, list | tuple)
    parameter, gradient = cls._arguments
    if several and not w:
        raise ValueError(f"{parameter} holds no arrays; pass at least one parameter")
    arguments = {parameter: w, gradient: g, **{name: state[name] for name in needed}}
    columns = [
        _listed_like(several, parameter, w, name, given) for name, given in arguments.items()
    ]

    if mu_product is None and "momentum_decay" in values:
        raise ValueError("mu_product is needed: pass numpy.ones(1) before the first step")
    for name, known_as, value in told:
        if corrected and name.startswith(("beta", "dampening")) and callable(value):
            raise TypeError(
                f"{known_as} must be a number here, got a callable: bias correction needs all "
                "its values so far, which this function does not know; use the optimizer of "
                "the same name"
            )
    others = dict(options)
    scale = others.pop("scale", 1.0)
    stepper = _core.new_stepper(t - 1, core_options(f"{cls.__name__.lower()}()", others))
    index = stepper.add_group(rule, told, None, 0, mu_product)
    for i, (wi, _, *si) in enumerate(zip(*columns, strict=True)):
        stepper.add_parameter(index, f"{parameter}[{i}]" if several else parameter, wi, si)
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


def _listed_like(several: bool, like: str, w: Any, name: str, given: Any) -> Sequence[Any]:
    """Return `given` as a list as long as the parameters: functions take one array each, or lists of them."""
    if not several:
        return [given]
    if not isinstance(given, list | tuple):
        raise TypeError(f"{like} is a list, so {name} must be one too, got {type(given).__name__}")
    if len(given) != len(w):
        raise ValueError(f"{name} must have {len(w)} entries, like {like}, got {len(given)}")
    return given
