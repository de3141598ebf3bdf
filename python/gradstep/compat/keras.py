"""Keras's optimizers: `keras.optimizers`' names, arguments, defaults and results.

Parameters and gradients are this package's (structures of arrays, groups); so are state, schedules
and checkpoints. Compared with Keras 3.15. Keras keeps α inside of the buffers of momentum, adds ε
to √v where others add it to the corrected √v̂, and decouples weight decay everywhere; so does this
module. Keras itself is never imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import gradstep.checks as checks
import gradstep.optimizers as optimizers
from gradstep._typing import Rate
from gradstep.averaging import EWA
from gradstep.compat.base import ByLearningRate, documented
from gradstep.names import given
from gradstep.optimizers.options import Bound, Nonfinite
from gradstep.optimizers.spec import Spec, Values, is_zero, selects

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "RMSprop",
]

# What every optimizer of Keras takes, the values that change nothing, and what there is instead.
_NEUTRAL: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "clipnorm": ((None,), "clip each gradient before the step, or all together by global_clipnorm"),
    "use_ema": ((False,), "pass average=gradstep.EWA(...)"),
    "ema_momentum": ((0.99,), "see use_ema"),
    "ema_overwrite_frequency": ((None,), "see use_ema"),
    "loss_scale_factor": ((None,), "call step(grads, scale=1/factor)"),
    "gradient_accumulation_steps": ((None,), "wrap the optimizer in gradstep.Accumulator"),
}

# What the options of a step are called in Keras.
_OPTIONS: Mapping[str, str] = {"global_clipnorm": "max_norm", "clipvalue": "clip_value"}


_documented = partial(
    documented,
    parameters="""\
global_clipnorm, clipvalue : float or schedule, optional
        Keras's names for `max_norm` and `clip_value`; only one of them.
    name : str, optional
        Taken, and without effect.
    clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, \
gradient_accumulation_steps
        Only with the values that change nothing; the error says what to do instead.
    """,
)


def _adapted(spec: Spec, arguments: Mapping[str, str], **constants: Any) -> Spec:
    """Return how a rule is told of Keras's arguments."""
    common = {"learning_rate": "lr", "beta_1": "beta1", "beta_2": "beta2"}
    return spec.but(
        {**common, **arguments},
        {"decoupled": True, **constants},
        optional=frozenset({"weight_decay"}),
        rate="learning_rate",
    )


def _sgd_rule(values: Values) -> str:
    if is_zero(values["momentum"]):
        return "sgd"
    return "nesterov" if values["nesterov"] is True else "momentum"


class _Keras(ByLearningRate):
    """What all of Keras's optimizers take."""

    def __init__(self, params: Any, *, weight_decay: Rate | None, **arguments: Any) -> None:
        # Called `name` in Keras, which changes nothing, whatever it is.
        arguments = given(arguments, "name")
        for argument, (neutral, instead) in _NEUTRAL.items():
            value = arguments.pop(argument)
            if not isinstance(value, int | float | None) or value not in neutral:
                raise ValueError(f"{argument}={checks.shown(value)} is not supported; {instead}")
        theirs = {name: arguments.pop(name) for name in _OPTIONS}
        if all(value is not None for value in theirs.values()):
            raise ValueError("only one of global_clipnorm and clipvalue can be set, as in Keras")
        renamed = {_OPTIONS[name]: name for name, value in theirs.items() if value is not None}
        for ours, name in renamed.items():
            if arguments[ours] is not None:
                raise ValueError(f"{name} has been given as well, as {ours}")
            arguments[ours] = theirs[name]
        try:
            super().__init__(params, **arguments, weight_decay=weight_decay)
        except (TypeError, ValueError) as error:
            ours, _, rest = str(error).partition(" ")
            if ours not in renamed or type(error) not in (TypeError, ValueError):
                raise
            raise type(error)(f"{renamed[ours]} {rest}") from None


@_documented("Momentum")
class SGD(_Keras):
    """`keras.optimizers.SGD`: ``b := μ b + α g; w := w − b``, with `nesterov` ``w := w − (μ b + α g)``.

    α is kept in the buffer, so a rate that falls acts on new gradients alone. Without momentum no
    buffer is kept.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule, default 0.01
        The learning rate α, also as attribute.
    momentum : float or schedule, default 0.0
        μ, at least 0 and below 1; 0 keeps no buffer.
    nesterov : bool, default False
        Look ahead along the momentum.
    weight_decay : float or schedule, optional
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update. None is 0.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.keras.SGD(w, learning_rate=0.1, momentum=0.9)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.8, -1.6])
    """

    _spec = _adapted(
        Spec(_sgd_rule, {"nesterov": selects}, state_depends_on=frozenset({"momentum"})),
        {"momentum": "beta"},
        rate_in_buffer=True,
    )

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.01,
        momentum: Rate = 0.0,
        nesterov: bool = False,
        weight_decay: Rate | None = None,
        *,
        name: str | None = None,
        clipnorm: float | None = None,
        clipvalue: Bound = None,
        global_clipnorm: Bound = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@_documented("RMSprop")
class RMSprop(_Keras):
    """`keras.optimizers.RMSprop`: ε inside of the root, and α inside of the buffer of momentum.

    ``v := ρ v + (1−ρ) g²; b := μ b + α g / √(v + ε); w := w − b``. With `centered` the root is that
    of ``v − m² + ε``, with ``m := ρ m + (1−ρ) g``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule, default 0.001
        The learning rate α, also as attribute.
    rho : float or schedule, default 0.9
        ρ, at least 0 and below 1.
    momentum : float or schedule, default 0.0
        μ, at least 0 and below 1; 0 keeps no buffer.
    epsilon : float or schedule, default 1e-07
        ε, at least 0.
    centered : bool, default False
        Take the mean of the gradients off v.
    weight_decay : float or schedule, optional
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update. None is 0.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.keras.RMSprop(w, learning_rate=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.683772, -1.683772])
    """

    _spec = _adapted(
        optimizers.RMSprop._spec, {"rho": "beta", "epsilon": "eps_root"}, rate_in_buffer=True
    )

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        rho: Rate = 0.9,
        momentum: Rate = 0.0,
        epsilon: Rate = 1e-7,
        centered: bool = False,
        weight_decay: Rate | None = None,
        *,
        name: str | None = None,
        clipnorm: float | None = None,
        clipvalue: Bound = None,
        global_clipnorm: Bound = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@_documented("Adam")
class Adam(_Keras):
    """`keras.optimizers.Adam`: ε is added to √v, not to the corrected √v̂.

    ``m := β₁ m + (1−β₁) g``, ``v := β₂ v + (1−β₂) g²``;
    ``w := w − α √(1−β₂ᵗ) / (1−β₁ᵗ) m / (√v + ε)``. With `amsgrad` the maximum is taken of v.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule, default 0.001
        The learning rate α, also as attribute.
    beta_1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    beta_2 : float or schedule, default 0.999
        β₂, at least 0 and below 1.
    epsilon : float or schedule, default 1e-07
        ε, at least 0.
    amsgrad : bool, default False
        Divide by the largest v so far.
    weight_decay : float or schedule, optional
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update. None is 0.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.keras.Adam(w, learning_rate=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _spec = _adapted(
        optimizers.Adam._spec, {"epsilon": "eps"}, bias_correction=True, uncorrected_eps=True
    )

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        beta_1: Rate = 0.9,
        beta_2: Rate = 0.999,
        epsilon: Rate = 1e-7,
        amsgrad: bool = False,
        weight_decay: Rate | None = None,
        *,
        name: str | None = None,
        clipnorm: float | None = None,
        clipvalue: Bound = None,
        global_clipnorm: Bound = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@_documented("AdamW")
class AdamW(Adam):
    """`keras.optimizers.AdamW`: as `Adam`, with another default of `weight_decay`.

    ``w := (1 − α λ) w``, then the update of `Adam`.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule, default 0.001
        The learning rate α, also as attribute.
    weight_decay : float or schedule, default 0.004
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update. None is 0.
    beta_1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    beta_2 : float or schedule, default 0.999
        β₂, at least 0 and below 1.
    epsilon : float or schedule, default 1e-07
        ε, at least 0.
    amsgrad : bool, default False
        Divide by the largest v so far.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.keras.AdamW(w, learning_rate=0.1, weight_decay=0.5)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.85, -1.8 ])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        weight_decay: Rate = 0.004,
        beta_1: Rate = 0.9,
        beta_2: Rate = 0.999,
        epsilon: Rate = 1e-7,
        amsgrad: bool = False,
        *,
        name: str | None = None,
        clipnorm: float | None = None,
        clipvalue: Bound = None,
        global_clipnorm: Bound = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@_documented("NAdam")
class Nadam(_Keras):
    """`keras.optimizers.Nadam`: ε outside of the root, ``ψ = 1``.

    As `gradstep.NAdam` with ``μₜ = β₁ (1 − 0.96ᵗ / 2)`` and ``w := w − α n / (√v̂ + ε)``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule, default 0.001
        The learning rate α, also as attribute.
    beta_1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    beta_2 : float or schedule, default 0.999
        β₂, at least 0 and below 1.
    epsilon : float or schedule, default 1e-07
        ε, at least 0.
    weight_decay : float or schedule, optional
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update. None is 0.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.keras.Nadam(w, learning_rate=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.893721, -1.893721])
    """

    _spec = _adapted(optimizers.NAdam._spec, {"epsilon": "eps"}, momentum_decay=1.0)

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        beta_1: Rate = 0.9,
        beta_2: Rate = 0.999,
        epsilon: Rate = 1e-7,
        weight_decay: Rate | None = None,
        *,
        name: str | None = None,
        clipnorm: float | None = None,
        clipvalue: Bound = None,
        global_clipnorm: Bound = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@_documented("Adamax")
class Adamax(_Keras):
    """`keras.optimizers.Adamax`: ε is added to u, outside of the maximum.

    ``m := β₁ m + (1−β₁) g``, ``u := max(β₂ u, |g|)``; ``w := w − α m̂ / (u + ε)`` with
    ``m̂ = m / (1−β₁ᵗ)``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule, default 0.001
        The learning rate α, also as attribute.
    beta_1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    beta_2 : float or schedule, default 0.999
        β₂, at least 0 and below 1.
    epsilon : float or schedule, default 1e-07
        ε, at least 0.
    weight_decay : float or schedule, optional
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update. None is 0.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.keras.Adamax(w, learning_rate=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _spec = _adapted(optimizers.Adamax._spec, {"epsilon": "eps"})

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        beta_1: Rate = 0.9,
        beta_2: Rate = 0.999,
        epsilon: Rate = 1e-7,
        weight_decay: Rate | None = None,
        *,
        name: str | None = None,
        clipnorm: float | None = None,
        clipvalue: Bound = None,
        global_clipnorm: Bound = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@_documented("Adagrad")
class Adagrad(_Keras):
    """`keras.optimizers.Adagrad`: ε inside of the root.

    ``v := v + g²``; ``w := w − α g / √(v + ε)``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule, default 0.001
        The learning rate α, also as attribute.
    initial_accumulator_value : float, default 0.1
        What v starts from, at least 0; no schedule.
    epsilon : float or schedule, default 1e-07
        ε, at least 0.
    weight_decay : float or schedule, optional
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update. None is 0.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.keras.Adagrad(w, learning_rate=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.901227, -1.900311])
    """

    _spec = _adapted(
        optimizers.Adagrad._spec,
        {"initial_accumulator_value": "initial_v", "epsilon": "eps_root"},
    )

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: Rate = 1e-7,
        weight_decay: Rate | None = None,
        *,
        name: str | None = None,
        clipnorm: float | None = None,
        clipvalue: Bound = None,
        global_clipnorm: Bound = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@_documented("Adadelta")
class Adadelta(_Keras):
    """`keras.optimizers.Adadelta`: ε inside of both roots.

    ``v := ρ v + (1−ρ) g²``; ``u = √(d + ε) / √(v + ε) g``; ``d := ρ d + (1−ρ) u²``;
    ``w := w − α u``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule, default 0.001
        The learning rate α, also as attribute.
    rho : float or schedule, default 0.95
        ρ, at least 0 and below 1.
    epsilon : float or schedule, default 1e-07
        ε, at least 0.
    weight_decay : float or schedule, optional
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update. None is 0.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.keras.Adadelta(w, learning_rate=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.999859, -1.999859])
    """

    _spec = _adapted(optimizers.Adadelta._spec, {"epsilon": "eps_root"})

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        rho: Rate = 0.95,
        epsilon: Rate = 1e-7,
        weight_decay: Rate | None = None,
        *,
        name: str | None = None,
        clipnorm: float | None = None,
        clipvalue: Bound = None,
        global_clipnorm: Bound = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@_documented("Lion")
class Lion(_Keras):
    """`keras.optimizers.Lion`: ``w := w − α sign(β₁ m + (1−β₁) g)``, then ``m := β₂ m + (1−β₂) g``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule, default 0.001
        The learning rate α, also as attribute.
    beta_1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    beta_2 : float or schedule, default 0.99
        β₂, at least 0 and below 1.
    weight_decay : float or schedule, optional
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update. None is 0.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.keras.Lion(w, learning_rate=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _spec = _adapted(optimizers.Lion._spec, {})

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        beta_1: Rate = 0.9,
        beta_2: Rate = 0.99,
        weight_decay: Rate | None = None,
        *,
        name: str | None = None,
        clipnorm: float | None = None,
        clipvalue: Bound = None,
        global_clipnorm: Bound = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))
