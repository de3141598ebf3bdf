"""PyTorch's optimizers: `torch.optim`'s names, arguments, defaults and results.

Parameters and gradients are this package's (structures of arrays, groups); so are state, schedules
and checkpoints. Compared with PyTorch 2.13. `foreach` and `fused`, which choose between PyTorch's own
implementations, are taken and make no difference; PyTorch itself is never imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from gradstep import optimizers
from gradstep.compat import require_unused
from gradstep.optimizer import Optimizer
from gradstep.optimizers import Rate
from gradstep.options import StepOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "RAdam",
    "RMSprop",
]


def _require_eager(**arguments: Any) -> None:
    require_unused("a step here is not part of a graph; leave it out", **arguments)


class SGD(Optimizer):
    """`torch.optim.SGD`: ``b := μ b + (1−d) g``, but ``b := g`` in the first step; ``w := w − α b``.

    With `nesterov` the step is along ``g + μ b``. Decay adds ``λ w`` to the gradient. In this
    package's terms it is `gradstep.Momentum` with a dampening that begins with the second step.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.torch.SGD(w, lr=0.1, momentum=0.9, dampening=0.5)
    >>> opt.step(2 * w)
    >>> w
    array([ 0.8, -1.6])
    """

    _names: ClassVar = {"momentum": "beta"}
    _fixed: ClassVar = {"undamped_start": True}

    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-3,
        momentum: Rate = 0,
        dampening: Rate = 0,
        weight_decay: Rate = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        **options: Unpack[StepOptions],
    ) -> None:
        _require_eager(differentiable=differentiable)
        super().__init__(
            params,
            options,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        has_buffer = not (isinstance(values["momentum"], int | float) and values["momentum"] == 0)
        if values["nesterov"] is True:
            dampening = values["dampening"]
            if not has_buffer or not isinstance(dampening, int | float) or dampening != 0:
                raise ValueError("nesterov=True needs a momentum, and a dampening of 0")
            return "nesterov"
        return "momentum" if has_buffer else "sgd"


class RMSprop(optimizers.RMSprop):
    """`torch.optim.RMSprop`: ε outside of the root, and a buffer of quotients that α multiplies.

    `alpha` is what `gradstep.RMSprop` calls ``beta``. Where rounding leaves ``v − m²`` below 0,
    PyTorch has NaN, and 0 stands here.
    """

    _names: ClassVar = {"alpha": "beta"}
    _fixed: ClassVar = {"eps_root": 0.0}

    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-2,
        alpha: Rate = 0.99,
        eps: Rate = 1e-8,
        weight_decay: Rate = 0,
        momentum: Rate = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        **options: Unpack[StepOptions],
    ) -> None:
        _require_eager(capturable=capturable, differentiable=differentiable)
        Optimizer.__init__(
            self,
            params,
            options,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )


class Adam(optimizers.Adam):
    """`torch.optim.Adam`: ε outside of the root. With `amsgrad` the maximum is taken of v itself."""

    _names: ClassVar = {"decoupled_weight_decay": "decoupled"}
    _fixed: ClassVar = {"eps_root": 0.0, "bias_correction": True}

    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-8,
        weight_decay: Rate = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        **options: Unpack[StepOptions],
    ) -> None:
        _require_eager(capturable=capturable, differentiable=differentiable)
        Optimizer.__init__(
            self,
            params,
            options,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            decoupled_weight_decay=decoupled_weight_decay,
        )


class AdamW(optimizers.Adam):
    """`torch.optim.AdamW`: as `Adam`, with decay that shrinks the parameter before the update."""

    _fixed: ClassVar = {"eps_root": 0.0, "bias_correction": True, "decoupled": True}

    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-8,
        weight_decay: Rate = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        **options: Unpack[StepOptions],
    ) -> None:
        _require_eager(capturable=capturable, differentiable=differentiable)
        Optimizer.__init__(
            self,
            params,
            options,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
        )


class NAdam(optimizers.NAdam):
    """`torch.optim.NAdam`: ε outside of the root.

    PyTorch keeps the product of the factors of momentum in float32, and this package in float64: the
    results differ by about 1e-7.
    """

    _fixed: ClassVar = {**optimizers.NAdam._fixed, "eps_root": 0.0}

    def __init__(
        self,
        params: Any,
        lr: Rate = 2e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-8,
        weight_decay: Rate = 0,
        momentum_decay: Rate = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        **options: Unpack[StepOptions],
    ) -> None:
        _require_eager(capturable=capturable, differentiable=differentiable)
        Optimizer.__init__(
            self,
            params,
            options,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )


class RAdam(optimizers.RAdam):
    """`torch.optim.RAdam`: ε is added to √v, not to the corrected √v̂; rectified where ρ > 5."""

    _fixed: ClassVar = {
        **optimizers.RAdam._fixed,
        "eps_root": 0.0,
        "threshold": 5.0,
        "uncorrected_eps": True,
    }

    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-8,
        weight_decay: Rate = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        **options: Unpack[StepOptions],
    ) -> None:
        _require_eager(capturable=capturable, differentiable=differentiable)
        Optimizer.__init__(
            self,
            params,
            options,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )


class Adamax(optimizers.Adamax):
    """`torch.optim.Adamax`: ε is added to ``|g|``, inside of the maximum."""

    _names: ClassVar = {"eps": "eps_root"}
    _fixed: ClassVar = {**optimizers.Adamax._fixed, "eps": 0.0}

    def __init__(
        self,
        params: Any,
        lr: Rate = 2e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-8,
        weight_decay: Rate = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        **options: Unpack[StepOptions],
    ) -> None:
        _require_eager(capturable=capturable, differentiable=differentiable)
        Optimizer.__init__(
            self,
            params,
            options,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
        )


class Adagrad(optimizers.Adagrad):
    """`torch.optim.Adagrad`: ε outside of the root."""

    _names: ClassVar = {"initial_accumulator_value": "initial_v"}
    _fixed: ClassVar = {"eps_root": 0.0}

    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-2,
        lr_decay: Rate = 0,
        weight_decay: Rate = 0,
        initial_accumulator_value: float = 0,
        eps: Rate = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        **options: Unpack[StepOptions],
    ) -> None:
        _require_eager(differentiable=differentiable)
        Optimizer.__init__(
            self,
            params,
            options,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=maximize,
        )


class Adadelta(optimizers.Adadelta):
    """`torch.optim.Adadelta`: ε inside of both roots."""

    _names: ClassVar = {"rho": "beta", "eps": "eps_root"}

    def __init__(
        self,
        params: Any,
        lr: Rate = 1.0,
        rho: Rate = 0.9,
        eps: Rate = 1e-6,
        weight_decay: Rate = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
        **options: Unpack[StepOptions],
    ) -> None:
        _require_eager(capturable=capturable, differentiable=differentiable)
        Optimizer.__init__(
            self,
            params,
            options,
            lr=lr,
            rho=rho,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
        )
