"""Adam, AdamW and Adamax. Each as a class and as a function.

What all optimizers share is in base.py; the formulas that run are in cpp/engine/rules.hpp.
"""

from __future__ import annotations

from typing import Any

from gradstep._typing import Rate
from gradstep.averaging import EWA
from gradstep.names import explains_keywords, given
from gradstep.optimizers.apply import apply
from gradstep.optimizers.base import Optimizer
from gradstep.optimizers.options import Bound, Nonfinite
from gradstep.optimizers.spec import Spec, pair, selects


class Adam(Optimizer):
    r"""Momentum and RMSprop together, both corrected for their start at zero.

    .. math::
        m &:= \beta_1 m + (1 - \beta_1) g, \quad \hat m = m / (1 - \beta_1^t) \\
        v &:= \beta_2 v + (1 - \beta_2) g^2, \quad \hat v = v / (1 - \beta_2^t) \\
        w &:= w - \alpha \frac{\hat m}{\sqrt{\hat v + \epsilon_{root}} + \epsilon}

    With `amsgrad`, ``v_max := max(v_max, v)`` stands for v and is corrected as v would be.

    Parameters
    ----------
    params
        As in `SGD`.
    lr : float or schedule, default 0.001
        The learning rate α, finite and at least 0.
    betas : pair of float or schedule, default (0.9, 0.999)
        β₁ and β₂, each at least 0 and below 1.
    eps : float or schedule, default 0.0
        Added outside of the root, at least 0: where most frameworks have their ε.
    eps_root : float or schedule, default 1e-8
        Added inside of the root, at least 0: the default of this package.
    bias_correction : bool, default True
        Divide m and v by ``1−βᵗ``.
    amsgrad : bool, default False
        Never let the denominator shrink.
    weight_decay : float or schedule, default 0.0
        λ, at least 0; adds ``λ w`` to the gradient. For decoupled decay see `AdamW`.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    max_norm, clip_value, nonfinite, average
        Options of a step, as in `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        As in `SGD`.

    Notes
    -----
    The state is ``m`` and ``v``, with `amsgrad` also ``v_max``.

    References
    ----------
    Kingma & Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
    Reddi, Kale & Kumar, "On the convergence of Adam and beyond", 2018, algorithm 2 (amsgrad).

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> params = {"W": np.array([[1.0, -2.0]]), "b": np.zeros(1)}
    >>> opt = gs.Adam(params, lr=0.1)
    >>> opt.step({"dW": 2 * params["W"], "db": np.ones(1)})
    >>> params["W"].round(6), params["b"].round(6)
    (array([[ 0.9, -1.9]]), array([-0.1]))
    """

    _spec = Spec(
        lambda values: "amsgrad" if values["amsgrad"] is True else "adam",
        arguments={"betas": pair("beta1", "beta2"), "amsgrad": selects},
        state_depends_on=frozenset({"amsgrad"}),
    )

    def __init__(
        self,
        params: Any,
        lr: Rate = 0.001,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        *,
        eps: Rate = 0.0,
        eps_root: Rate = 1e-8,
        bias_correction: bool = True,
        amsgrad: bool = False,
        weight_decay: Rate = 0.0,
        maximize: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


class AdamW(Adam):
    r"""Adam with decoupled weight decay.

    .. math:: w := w - \alpha \lambda w, \quad \text{then the update of Adam}

    Parameters
    ----------
    params, lr, betas, eps, eps_root, bias_correction, amsgrad, maximize
        As in `Adam`.
    weight_decay : float or schedule, default 0.01
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update, and the moments
        never see it.
    max_norm, clip_value, nonfinite, average
        Options of a step, as in `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        As in `SGD`.

    References
    ----------
    Loshchilov & Hutter, "Decoupled weight decay regularization", 2019, algorithm 2, whose schedule
    multiplier η stands for the whole rate here, so that λ is multiplied by α, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.AdamW(w, lr=0.1, weight_decay=0.5)
    >>> opt.step(np.zeros(2))
    >>> w
    array([ 0.95, -1.9 ])
    """

    _spec = Adam._spec.but(constants={"decoupled": True})

    def __init__(
        self,
        params: Any,
        lr: Rate = 0.001,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        *,
        eps: Rate = 0.0,
        eps_root: Rate = 1e-8,
        bias_correction: bool = True,
        amsgrad: bool = False,
        weight_decay: Rate = 0.01,
        maximize: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


class Adamax(Optimizer):
    r"""Adam with the largest gradient, slowly forgotten, in the place of the root.

    .. math::
        m &:= \beta_1 m + (1 - \beta_1) g, \quad \hat m = m / (1 - \beta_1^t) \\
        u &:= \max(\beta_2 u, |g| + \epsilon_{root}) \\
        w &:= w - \alpha \frac{\hat m}{u + \epsilon}

    Parameters
    ----------
    params
        As in `SGD`.
    lr : float or schedule, default 0.002
        The learning rate α, finite and at least 0.
    betas : pair of float or schedule, default (0.9, 0.999)
        β₁ and β₂, each at least 0 and below 1.
    eps : float or schedule, default 0.0
        Added to u, at least 0: where Keras has its ε.
    eps_root : float or schedule, default 1e-8
        Added inside, at least 0: u is the root of infinite order, and this stands under it. Where
        PyTorch and optax have their ε; the paper has none.
    weight_decay : float or schedule, default 0.0
        λ, at least 0; adds ``λ w`` to the gradient.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    max_norm, clip_value, nonfinite, average
        Options of a step, as in `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        As in `SGD`.

    Notes
    -----
    The state is ``m`` and ``u``.

    References
    ----------
    Kingma & Ba, "Adam: a method for stochastic optimization", 2015, section 7.1, algorithm 2.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.Adamax(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _spec = Spec(
        "adamax",
        arguments={"betas": pair("beta1", "beta2")},
        constants={"bias_correction": True},
    )

    def __init__(
        self,
        params: Any,
        lr: Rate = 0.002,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        *,
        eps: Rate = 0.0,
        eps_root: Rate = 1e-8,
        weight_decay: Rate = 0.0,
        maximize: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@explains_keywords
def adam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: int,
    lr: Rate,
    betas: tuple[Rate, Rate] = (0.9, 0.999),
    v_max: Any = None,
    eps: Rate = 0.0,
    eps_root: Rate = 1e-8,
    bias_correction: bool = True,
    amsgrad: bool = False,
    weight_decay: Rate = 0.0,
    maximize: bool = False,
    scale: float = 1.0,
    max_norm: Bound = None,
    clip_value: Bound = None,
    nonfinite: Nonfinite = "propagate",
) -> None:
    """Take one step of Adam, ``w := w − α m̂ / (√(v̂ + eps_root) + eps)``; see `gradstep.Adam`.

    Parameters
    ----------
    w, g, m, v : array, list or dict of arrays
        Parameters, first and second moments, updated in place, and gradients; of the same shape and
        dtype. The moments are zeros before the first step.
    t : int
        The number of this step, counted from 1.
    v_max : array, list or dict of arrays, optional
        The largest second moments, needed with `amsgrad`; zeros before the first step.
    lr, betas, eps, eps_root, bias_correction, amsgrad, weight_decay, maximize
        As in `gradstep.Adam`; `lr` is required.
    scale, max_norm, clip_value, nonfinite
        As in `gradstep.Optimizer` and its ``step``.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.Adam` and its ``step``, before any byte has changed.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    >>> gs.functional.adam(w, 2 * w, m, v, t=1, lr=0.1)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """
    apply(Adam._spec, given(locals()), "m", "v", "v_max")


@explains_keywords
def adamw(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: int,
    lr: Rate,
    betas: tuple[Rate, Rate] = (0.9, 0.999),
    v_max: Any = None,
    eps: Rate = 0.0,
    eps_root: Rate = 1e-8,
    bias_correction: bool = True,
    amsgrad: bool = False,
    weight_decay: Rate = 0.01,
    maximize: bool = False,
    scale: float = 1.0,
    max_norm: Bound = None,
    clip_value: Bound = None,
    nonfinite: Nonfinite = "propagate",
) -> None:
    """Take one step of AdamW: ``w := w − α λ w``, then Adam's update; see `gradstep.AdamW`.

    Parameters
    ----------
    w, g, m, v, t, v_max
        As in `adam`.
    lr, betas, eps, eps_root, bias_correction, amsgrad, weight_decay, maximize
        As in `gradstep.AdamW`; `lr` is required.
    scale, max_norm, clip_value, nonfinite
        As in `gradstep.Optimizer` and its ``step``.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.AdamW` and its ``step``, before any byte has changed.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    >>> gs.functional.adamw(w, np.zeros(2), m, v, t=1, lr=0.1, weight_decay=0.5)
    >>> w
    array([ 0.95, -1.9 ])
    """
    apply(AdamW._spec, given(locals()), "m", "v", "v_max")


@explains_keywords
def adamax(
    w: Any,
    g: Any,
    m: Any,
    u: Any,
    *,
    t: int,
    lr: Rate,
    betas: tuple[Rate, Rate] = (0.9, 0.999),
    eps: Rate = 0.0,
    eps_root: Rate = 1e-8,
    weight_decay: Rate = 0.0,
    maximize: bool = False,
    scale: float = 1.0,
    max_norm: Bound = None,
    clip_value: Bound = None,
    nonfinite: Nonfinite = "propagate",
) -> None:
    """Take one step of Adamax, ``u := max(β₂ u, |g| + ε); w := w − α m̂ / u``; see `gradstep.Adamax`.

    Parameters
    ----------
    w, g, m, u : array, list or dict of arrays
        Parameters, first moments and maxima, updated in place, and gradients; of the same shape and
        dtype. Moments and maxima are zeros before the first step.
    t : int
        The number of this step, counted from 1.
    lr, betas, eps, eps_root, weight_decay, maximize
        As in `gradstep.Adamax`; `lr` is required.
    scale, max_norm, clip_value, nonfinite
        As in `gradstep.Optimizer` and its ``step``.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.Adamax` and its ``step``, before any byte has changed.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w, m, u = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    >>> gs.functional.adamax(w, 2 * w, m, u, t=1, lr=0.1)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """
    apply(Adamax._spec, given(locals()), "m", "u")
