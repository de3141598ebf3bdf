"""Keras's optimizers: `keras.optimizers`' names, arguments, defaults and results.

Parameters and gradients are this package's (structures of arrays, groups); so are state, schedules
and checkpoints. Compared with Keras 3.15. Keras keeps α inside of the buffers of momentum, adds ε
to √v where others add it to the corrected √v̂, and decouples weight decay everywhere; so does this
module. Keras itself is never imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from gradstep import checks, optimizers
from gradstep.compat import _ByLearningRate
from gradstep.optimizers import Rate
from gradstep.options import StepOptions

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


class _Keras(_ByLearningRate):
    """What all of Keras's optimizers take."""

    _names: ClassVar = {"learning_rate": "lr", "beta_1": "beta1", "beta_2": "beta2"}
    _fixed: ClassVar = {"decoupled": True}
    _optional: ClassVar = frozenset({"weight_decay"})

    def __init__(
        self,
        params: Any,
        *,
        weight_decay: Rate | None = None,
        others: Mapping[str, Any],
        **hyperparameters: Any,
    ) -> None:
        options: dict[str, Any] = {}
        for argument, value in others.items():
            if argument == "name":  # it changes nothing, whatever it is
                continue
            if argument in StepOptions.__annotations__ or argument in _OPTIONS:
                option = _OPTIONS.get(argument, argument)
                if option in options:
                    raise ValueError(f"{argument} has been given as well, by its other name")
                options[option] = value
                continue
            if argument not in _NEUTRAL:
                raise TypeError(f"{type(self).__name__} has no argument {argument!r}")
            neutral, instead = _NEUTRAL[argument]
            if not isinstance(value, int | float | None) or value not in neutral:
                raise ValueError(f"{argument}={checks.shown(value)} cannot be had here: {instead}")
        if {"global_clipnorm", "clipvalue"} <= {n for n, v in others.items() if v is not None}:
            raise ValueError("only one of global_clipnorm and clipvalue can be set, as in Keras")
        super().__init__(params, options, **hyperparameters, weight_decay=weight_decay)


class SGD(_Keras):
    """`keras.optimizers.SGD`: ``b := μ b + α g; w := w − b``, with `nesterov` ``w := w − (μ b + α g)``."""

    _names: ClassVar = {**_Keras._names, "momentum": "beta"}
    _fixed: ClassVar = {**_Keras._fixed, "rate_in_buffer": True}

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.01,
        momentum: Rate = 0.0,
        nesterov: bool = False,
        weight_decay: Rate | None = None,
        **others: Any,
    ) -> None:
        super().__init__(
            params,
            learning_rate=learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            others=others,
        )

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        if isinstance(values["momentum"], int | float) and values["momentum"] == 0:
            return "sgd"
        return "nesterov" if values["nesterov"] is True else "momentum"


class RMSprop(_Keras):
    """`keras.optimizers.RMSprop`: ε inside of the root; ``b := μ b + α g/√(v + ε)``, ``w := w − b``.

    Where rounding leaves ``v − m²`` below 0, Keras may have NaN, and 0 stands here.
    """

    _names: ClassVar = {**_Keras._names, "rho": "beta", "epsilon": "eps_root"}
    _fixed: ClassVar = {**_Keras._fixed, "rate_in_buffer": True}

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        rho: Rate = 0.9,
        momentum: Rate = 0.0,
        epsilon: Rate = 1e-7,
        centered: bool = False,
        weight_decay: Rate | None = None,
        **others: Any,
    ) -> None:
        super().__init__(
            params,
            learning_rate=learning_rate,
            rho=rho,
            momentum=momentum,
            epsilon=epsilon,
            centered=centered,
            weight_decay=weight_decay,
            others=others,
        )

    _rule = optimizers.RMSprop._rule


class Adam(_Keras):
    """`keras.optimizers.Adam`: ε is added to √v, not to the corrected √v̂."""

    _names: ClassVar = {**_Keras._names, "epsilon": "eps"}
    _fixed: ClassVar = {**_Keras._fixed, "bias_correction": True, "uncorrected_eps": True}

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        beta_1: Rate = 0.9,
        beta_2: Rate = 0.999,
        epsilon: Rate = 1e-7,
        amsgrad: bool = False,
        weight_decay: Rate | None = None,
        **others: Any,
    ) -> None:
        super().__init__(
            params,
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            amsgrad=amsgrad,
            weight_decay=weight_decay,
            others=others,
        )

    _rule = optimizers.Adam._rule


class AdamW(Adam):
    """`keras.optimizers.AdamW`: as `Adam`, with another default of `weight_decay`."""

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        weight_decay: Rate = 0.004,
        beta_1: Rate = 0.9,
        beta_2: Rate = 0.999,
        epsilon: Rate = 1e-7,
        amsgrad: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(
            params, learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, **others
        )


class Nadam(_Keras):
    """`keras.optimizers.Nadam`: `gradstep.NAdam` with ``momentum_decay=1`` and ε outside of the root."""

    _names: ClassVar = {**_Keras._names, "epsilon": "eps"}
    _fixed: ClassVar = {**_Keras._fixed, "momentum_decay": 1.0, **optimizers.NAdam._fixed}

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        beta_1: Rate = 0.9,
        beta_2: Rate = 0.999,
        epsilon: Rate = 1e-7,
        weight_decay: Rate | None = None,
        **others: Any,
    ) -> None:
        super().__init__(
            params,
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            others=others,
        )

    _rule = optimizers.NAdam._rule


class Adamax(_Keras):
    """`keras.optimizers.Adamax`: ε is added to u, outside of the maximum."""

    _names: ClassVar = {**_Keras._names, "epsilon": "eps"}
    _fixed: ClassVar = {**_Keras._fixed, **optimizers.Adamax._fixed}

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        beta_1: Rate = 0.9,
        beta_2: Rate = 0.999,
        epsilon: Rate = 1e-7,
        weight_decay: Rate | None = None,
        **others: Any,
    ) -> None:
        super().__init__(
            params,
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            others=others,
        )

    _rule = optimizers.Adamax._rule


class Adagrad(_Keras):
    """`keras.optimizers.Adagrad`: ε inside of the root."""

    _names: ClassVar = {
        **_Keras._names,
        "initial_accumulator_value": "initial_v",
        "epsilon": "eps_root",
    }

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: Rate = 1e-7,
        weight_decay: Rate | None = None,
        **others: Any,
    ) -> None:
        super().__init__(
            params,
            learning_rate=learning_rate,
            initial_accumulator_value=initial_accumulator_value,
            epsilon=epsilon,
            weight_decay=weight_decay,
            others=others,
        )

    _rule = optimizers.Adagrad._rule


class Adadelta(_Keras):
    """`keras.optimizers.Adadelta`: ε inside of both roots."""

    _names: ClassVar = {**_Keras._names, "rho": "beta", "epsilon": "eps_root"}

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        rho: Rate = 0.95,
        epsilon: Rate = 1e-7,
        weight_decay: Rate | None = None,
        **others: Any,
    ) -> None:
        super().__init__(
            params,
            learning_rate=learning_rate,
            rho=rho,
            epsilon=epsilon,
            weight_decay=weight_decay,
            others=others,
        )

    _rule = optimizers.Adadelta._rule


class Lion(_Keras):
    """`keras.optimizers.Lion`."""

    def __init__(
        self,
        params: Any,
        learning_rate: Rate = 0.001,
        beta_1: Rate = 0.9,
        beta_2: Rate = 0.99,
        weight_decay: Rate | None = None,
        **others: Any,
    ) -> None:
        super().__init__(
            params,
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            weight_decay=weight_decay,
            others=others,
        )

    _rule = optimizers.Lion._rule
