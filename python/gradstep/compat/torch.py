"""PyTorch's optimizers: `torch.optim`'s names, arguments, defaults and results.

Parameters and gradients are this package's (structures of arrays, groups); so are state, schedules
and checkpoints. Compared with PyTorch 2.13. `foreach` and `fused`, which choose between PyTorch's own
implementations, are taken and make no difference; PyTorch itself is never imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradstep.optimizers as optimizers
from gradstep._typing import Rate
from gradstep.averaging import EWA
from gradstep.compat.base import documented, require_unused
from gradstep.names import given
from gradstep.optimizers.base import Optimizer
from gradstep.optimizers.options import Bound, Nonfinite
from gradstep.optimizers.spec import Spec, Values, is_zero, selects

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


def _eager(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a class without those that choose how PyTorch takes a step.

    ValueError where one asks for a step that is part of a graph.
    """
    graph = {n: arguments[n] for n in ("capturable", "differentiable") if n in arguments}
    require_unused("a step here is not part of a graph; leave it out", **graph)
    return given(arguments, *graph, "foreach", "fused")


def _sgd_rule(values: Values) -> str:
    has_buffer = not is_zero(values["momentum"])
    if values["nesterov"] is True:
        if not has_buffer or not is_zero(values["dampening"]):
            raise ValueError("nesterov=True needs a momentum, and a dampening of 0")
        return "nesterov"
    return "momentum" if has_buffer else "sgd"


@documented("Momentum")
class SGD(Optimizer):
    """`torch.optim.SGD`: ``b := μ b + (1−d) g``, but ``b := g`` in the first step; ``w := w − α b``.

    With `nesterov` the step is along ``g + μ b``. Decay adds ``λ w`` to the gradient. In this
    package's terms it is `gradstep.Momentum` with a dampening that begins with the second step.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    lr : float or schedule, default 0.001
        The learning rate α.
    momentum : float or schedule, default 0
        μ, at least 0 and below 1; 0 keeps no buffer.
    dampening : float or schedule, default 0
        d, at least 0 and below 1; not in the first step.
    weight_decay : float or schedule, default 0
        λ, at least 0; adds ``λ w`` to the gradient.
    nesterov : bool, default False
        Look ahead along the momentum.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    foreach, fused : bool, optional
        Taken, and without effect.
    differentiable : bool, optional
        Only False: a step here is not part of a graph.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.torch.SGD(w, lr=0.1, momentum=0.9, dampening=0.5)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.8, -1.6])
    """

    _spec = Spec(
        _sgd_rule,
        arguments={"momentum": "beta", "nesterov": selects},
        constants={"undamped_start": True},
        state_depends_on=frozenset({"momentum"}),
    )

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
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**_eager(locals()))


@documented("RMSprop")
class RMSprop(optimizers.RMSprop):
    """`torch.optim.RMSprop`: ε outside of the root, and a buffer of quotients that the rate multiplies.

    ``v := α v + (1−α) g²; u := g / (√v + ε); b := μ b + u; w := w − lr b``, and without momentum
    ``w := w − lr u``. With `centered` the root is that of ``v − m²``, with ``m := α m + (1−α) g``;
    where rounding leaves it below 0, PyTorch has NaN, and 0 stands here. `alpha` is what
    `gradstep.RMSprop` calls ``beta``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    lr : float or schedule, default 0.01
        The learning rate α.
    alpha : float or schedule, default 0.99
        β of the average v, at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    weight_decay : float or schedule, default 0
        λ, at least 0; adds ``λ w`` to the gradient.
    momentum : float or schedule, default 0
        μ, at least 0 and below 1; 0 keeps no buffer.
    centered : bool, default False
        Take the mean of the gradients off v.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    foreach : bool, optional
        Taken, and without effect.
    capturable, differentiable : bool, optional
        Only False: a step here is not part of a graph.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.torch.RMSprop(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0., -1.])
    """

    _spec = optimizers.RMSprop._spec.but({"alpha": "beta"}, {"eps_root": 0.0})

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
        *,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        Optimizer.__init__(self, **_eager(locals()))


@documented("Adam")
class Adam(optimizers.Adam):
    """`torch.optim.Adam`: ε outside of the root.

    ``m := β₁ m + (1−β₁) g``, ``v := β₂ v + (1−β₂) g²``; ``w := w − α m̂ / (√v̂ + ε)`` with
    ``m̂ = m / (1−β₁ᵗ)``, ``v̂ = v / (1−β₂ᵗ)``. With `amsgrad` the maximum is taken of v itself, and
    corrected as v would be.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    lr : float or schedule, default 0.001
        The learning rate α.
    betas : pair of float or schedule, default (0.9, 0.999)
        β₁ and β₂, each at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    weight_decay : float or schedule, default 0
        λ, at least 0; adds ``λ w`` to the gradient.
    amsgrad : bool, default False
        Divide by the largest v so far.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    decoupled_weight_decay : bool, default False
        Multiply the parameter by ``1 − α λ`` before the update instead.
    foreach, fused : bool, optional
        Taken, and without effect.
    capturable, differentiable : bool, optional
        Only False: a step here is not part of a graph.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.torch.Adam(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _spec = optimizers.Adam._spec.but(
        {"decoupled_weight_decay": "decoupled"}, {"eps_root": 0.0, "bias_correction": True}
    )

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
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        Optimizer.__init__(self, **_eager(locals()))


@documented("AdamW")
class AdamW(optimizers.Adam):
    """`torch.optim.AdamW`: as `Adam`, with decay that shrinks the parameter before the update.

    ``w := (1 − α λ) w``, then ``w := w − α m̂ / (√v̂ + ε)``; the moments never see the decay.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    lr : float or schedule, default 0.001
        The learning rate α.
    betas : pair of float or schedule, default (0.9, 0.999)
        β₁ and β₂, each at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    weight_decay : float or schedule, default 0.01
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update.
    amsgrad : bool, default False
        Divide by the largest v so far.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    foreach, fused : bool, optional
        Taken, and without effect.
    capturable, differentiable : bool, optional
        Only False: a step here is not part of a graph.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.torch.AdamW(w, lr=0.1, weight_decay=0.5)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.85, -1.8 ])
    """

    _spec = optimizers.Adam._spec.but(
        constants={"eps_root": 0.0, "bias_correction": True, "decoupled": True}
    )

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
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        Optimizer.__init__(self, **_eager(locals()))


@documented("NAdam")
class NAdam(optimizers.NAdam):
    """`torch.optim.NAdam`: ε outside of the root.

    As `gradstep.NAdam` with ``μₜ = β₁ (1 − 0.96^(t ψ) / 2)`` and ``w := w − α n / (√v̂ + ε)``.
    PyTorch keeps the product of the factors of momentum in float32, and this package in float64:
    the results differ by about 1e-7.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    lr : float or schedule, default 0.002
        The learning rate α.
    betas : pair of float or schedule, default (0.9, 0.999)
        β₁ and β₂, each at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    weight_decay : float or schedule, default 0
        λ, at least 0; adds ``λ w`` to the gradient.
    momentum_decay : float or schedule, default 0.004
        ψ, at least 0: how soon the factors of momentum grow from half of β₁ to β₁.
    decoupled_weight_decay : bool, default False
        Multiply the parameter by ``1 − α λ`` before the update instead.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    foreach : bool, optional
        Taken, and without effect.
    capturable, differentiable : bool, optional
        Only False: a step here is not part of a graph.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.torch.NAdam(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.894355, -1.894355])
    """

    _spec = optimizers.NAdam._spec.but(constants={"eps_root": 0.0})

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
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        Optimizer.__init__(self, **_eager(locals()))


@documented("RAdam")
class RAdam(optimizers.RAdam):
    """`torch.optim.RAdam`: ε is added to √v, not to the corrected √v̂; rectified where ρ > 5.

    ``w := w − α r m̂ √(1−β₂ᵗ) / (√v + ε)``, and up to ρ = 5 ``w := w − α m̂``; r and ρ as in
    `gradstep.RAdam`.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    lr : float or schedule, default 0.001
        The learning rate α.
    betas : pair of float or schedule, default (0.9, 0.999)
        β₁ and β₂, each at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    weight_decay : float or schedule, default 0
        λ, at least 0; adds ``λ w`` to the gradient.
    decoupled_weight_decay : bool, default False
        Multiply the parameter by ``1 − α λ`` before the update instead.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    foreach : bool, optional
        Taken, and without effect.
    capturable, differentiable : bool, optional
        Only False: a step here is not part of a graph.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.torch.RAdam(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.8, -1.6])
    """

    _spec = optimizers.RAdam._spec.but(
        constants={"eps_root": 0.0, "threshold": 5.0, "uncorrected_eps": True}
    )

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
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        Optimizer.__init__(self, **_eager(locals()))


@documented("Adamax")
class Adamax(optimizers.Adamax):
    """`torch.optim.Adamax`: ε is added to ``|g|``, inside of the maximum.

    ``m := β₁ m + (1−β₁) g``, ``u := max(β₂ u, |g| + ε)``; ``w := w − α m̂ / u`` with
    ``m̂ = m / (1−β₁ᵗ)``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    lr : float or schedule, default 0.002
        The learning rate α.
    betas : pair of float or schedule, default (0.9, 0.999)
        β₁ and β₂, each at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    weight_decay : float or schedule, default 0
        λ, at least 0; adds ``λ w`` to the gradient.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    foreach : bool, optional
        Taken, and without effect.
    differentiable, capturable : bool, optional
        Only False: a step here is not part of a graph.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.torch.Adamax(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _spec = optimizers.Adamax._spec.but({"eps": "eps_root"}, {"eps": 0.0})

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
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        Optimizer.__init__(self, **_eager(locals()))


@documented("Adagrad")
class Adagrad(optimizers.Adagrad):
    """`torch.optim.Adagrad`: ε outside of the root.

    ``v := v + g²``; ``w := w − α g / (√v + ε) / (1 + (t−1) lr_decay)``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    lr : float or schedule, default 0.01
        The learning rate α.
    lr_decay : float or schedule, default 0
        The rate of step t is ``α / (1 + (t−1) lr_decay)``.
    weight_decay : float or schedule, default 0
        λ, at least 0; adds ``λ w`` to the gradient.
    initial_accumulator_value : float, default 0
        What v starts from, at least 0; no schedule.
    eps : float or schedule, default 1e-10
        ε, at least 0.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    foreach, fused : bool, optional
        Taken, and without effect.
    differentiable : bool, optional
        Only False: a step here is not part of a graph.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.torch.Adagrad(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _spec = optimizers.Adagrad._spec.but(
        {"initial_accumulator_value": "initial_v"}, {"eps_root": 0.0}
    )

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
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        Optimizer.__init__(self, **_eager(locals()))


@documented("Adadelta")
class Adadelta(optimizers.Adadelta):
    """`torch.optim.Adadelta`: ε inside of both roots.

    ``v := ρ v + (1−ρ) g²``; ``u = √(d + ε) / √(v + ε) g``; ``d := ρ d + (1−ρ) u²``;
    ``w := w − α u``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    lr : float or schedule, default 1.0
        The learning rate α.
    rho : float or schedule, default 0.9
        ρ, at least 0 and below 1.
    eps : float or schedule, default 1e-06
        ε, at least 0.
    weight_decay : float or schedule, default 0
        λ, at least 0; adds ``λ w`` to the gradient.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    foreach : bool, optional
        Taken, and without effect.
    capturable, differentiable : bool, optional
        Only False: a step here is not part of a graph.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.torch.Adadelta(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.999684, -1.999684])
    """

    _spec = optimizers.Adadelta._spec.but({"eps": "eps_root"})

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
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        Optimizer.__init__(self, **_eager(locals()))
