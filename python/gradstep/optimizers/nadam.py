"""NAdam and RAdam: Adam with a look ahead, and Adam rectified. Each as a class and as a function.

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
from gradstep.optimizers.spec import Spec, pair


class NAdam(Optimizer):
    r"""Adam with Nesterov's momentum: the step looks ahead along m.

    .. math::
        \mu_t &= \beta_1 (1 - \tfrac{1}{2} 0.96^{t \psi}) \\
        m &:= \beta_1 m + (1 - \beta_1) g, \quad
        \hat m = \frac{\mu_{t+1} m}{1 - \prod_{i \le t+1} \mu_i}
                + \frac{(1 - \mu_t) g}{1 - \prod_{i \le t} \mu_i} \\
        v &:= \beta_2 v + (1 - \beta_2) g^2, \quad \hat v = v / (1 - \beta_2^t) \\
        w &:= w - \alpha \frac{\hat m}{\sqrt{\hat v + \epsilon_{root}} + \epsilon}

    Parameters
    ----------
    params
        As in `SGD`.
    lr : float or schedule, default 0.002
        The learning rate α, finite and at least 0.
    betas : pair of float or schedule, default (0.9, 0.999)
        β₁ and β₂, each at least 0 and below 1.
    momentum_decay : float or schedule, default 0.004
        ψ, at least 0: how soon the factors of momentum grow from half of β₁ to β₁.
    eps : float or schedule, default 0.0
        Added outside of the root, at least 0: where most frameworks have their ε.
    eps_root : float or schedule, default 1e-8
        Added inside of the root, at least 0: the default of this package.
    weight_decay : float or schedule, default 0.0
        λ, at least 0; adds ``λ w`` to the gradient.
    decoupled_weight_decay : bool, default False
        Multiply the parameter by ``1 − α λ`` before the update instead, as `AdamW` does.
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
    The state is ``m`` and ``v``, and for each group the product of the factors of momentum, which
    `state_dict` keeps under ``"products"``. m decays by β₁, as in PyTorch and Keras, where the paper's
    decays by ``μ_t``.

    References
    ----------
    Dozat, "Incorporating Nesterov momentum into Adam", 2016, algorithm 2.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.NAdam(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.894355, -1.894355])
    """

    _spec = Spec(
        "nadam",
        arguments={"betas": pair("beta1", "beta2"), "decoupled_weight_decay": "decoupled"},
        constants={"bias_correction": True, "looks_ahead": True},
    )

    def __init__(
        self,
        params: Any,
        lr: Rate = 0.002,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        *,
        momentum_decay: Rate = 0.004,
        eps: Rate = 0.0,
        eps_root: Rate = 1e-8,
        weight_decay: Rate = 0.0,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


class RAdam(Optimizer):
    r"""Adam, but momentum alone until v has seen enough gradients for its variance to be known.

    .. math::
        \rho_\infty &= 2 / (1 - \beta_2) - 1, \quad
        \rho_t = \rho_\infty - 2 t \beta_2^t / (1 - \beta_2^t) \\
        r &= \sqrt{\frac{(\rho_t - 4)(\rho_t - 2) \rho_\infty}
                        {(\rho_\infty - 4)(\rho_\infty - 2) \rho_t}} \\
        w &:= w - \alpha r \frac{\hat m}{\sqrt{\hat v + \epsilon_{root}} + \epsilon}
        \quad \text{where } \rho_t > \text{threshold}, \text{ else }
        w := w - \alpha \hat m

    with m, v and their corrections as in `Adam`.

    Parameters
    ----------
    params
        As in `SGD`.
    lr : float or schedule, default 0.001
        The learning rate α, finite and at least 0.
    betas : pair of float or schedule, default (0.9, 0.999)
        β₁ and β₂, each at least 0 and below 1.
    threshold : float or schedule, default 5.0
        How large ρ has to be, the length of the average that v stands for. Below 4 there is no
        variance, so smaller values count as 4.
    eps : float or schedule, default 0.0
        Added outside of the root, at least 0: where most frameworks have their ε.
    eps_root : float or schedule, default 1e-8
        Added inside of the root, at least 0: the default of this package.
    weight_decay : float or schedule, default 0.0
        λ, at least 0; adds ``λ w`` to the gradient.
    decoupled_weight_decay : bool, default False
        Multiply the parameter by ``1 − α λ`` before the update instead, as `AdamW` does.
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
    The state is ``m`` and ``v``.

    References
    ----------
    Liu et al., "On the variance of the adaptive learning rate and beyond", 2020, algorithm 2 (with a
    threshold of 4; implementations have 5).

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.RAdam(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w
    array([ 0.8, -1.6])
    """

    _spec = Spec(
        "radam",
        arguments={"betas": pair("beta1", "beta2"), "decoupled_weight_decay": "decoupled"},
        constants={"bias_correction": True, "rectified": True},
    )

    def __init__(
        self,
        params: Any,
        lr: Rate = 0.001,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        *,
        threshold: Rate = 5.0,
        eps: Rate = 0.0,
        eps_root: Rate = 1e-8,
        weight_decay: Rate = 0.0,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@explains_keywords
def nadam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: int,
    lr: Rate,
    mu_product: Any,
    betas: tuple[Rate, Rate] = (0.9, 0.999),
    momentum_decay: Rate = 0.004,
    eps: Rate = 0.0,
    eps_root: Rate = 1e-8,
    weight_decay: Rate = 0.0,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
    scale: float = 1.0,
    max_norm: Bound = None,
    clip_value: Bound = None,
    nonfinite: Nonfinite = "propagate",
) -> None:
    """Take one step of NAdam; see `gradstep.NAdam` for the formula.

    Parameters
    ----------
    w, g, m, v : array, list or dict of arrays
        Parameters, first and second moments, updated in place, and gradients; of the same shape and
        dtype. The moments are zeros before the first step.
    t : int
        The number of this step, counted from 1.
    mu_product : array
        One float64, updated in place: the product of the factors of momentum over the steps so far;
        ``numpy.ones(1)`` before the first step.
    lr, betas, momentum_decay, eps, eps_root, weight_decay, decoupled_weight_decay, maximize
        As in `gradstep.NAdam`; `lr` is required.
    scale, max_norm, clip_value, nonfinite
        As in `gradstep.Optimizer` and its ``step``.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.NAdam` and its ``step``, before any byte has changed.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w, m, v, mu_product = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2), np.ones(1)
    >>> gs.functional.nadam(w, 2 * w, m, v, t=1, lr=0.1, mu_product=mu_product)
    >>> w.round(6), mu_product.round(6)
    (array([ 0.894355, -1.894355]), array([0.450073]))
    """
    apply(NAdam._spec, given(locals()), "m", "v")


@explains_keywords
def radam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: int,
    lr: Rate,
    betas: tuple[Rate, Rate] = (0.9, 0.999),
    threshold: Rate = 5.0,
    eps: Rate = 0.0,
    eps_root: Rate = 1e-8,
    weight_decay: Rate = 0.0,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
    scale: float = 1.0,
    max_norm: Bound = None,
    clip_value: Bound = None,
    nonfinite: Nonfinite = "propagate",
) -> None:
    """Take one step of RAdam; see `gradstep.RAdam` for the formula.

    Parameters
    ----------
    w, g, m, v : array, list or dict of arrays
        Parameters, first and second moments, updated in place, and gradients; of the same shape and
        dtype. The moments are zeros before the first step.
    t : int
        The number of this step, counted from 1.
    lr, betas, threshold, eps, eps_root, weight_decay, decoupled_weight_decay, maximize
        As in `gradstep.RAdam`; `lr` is required.
    scale, max_norm, clip_value, nonfinite
        As in `gradstep.Optimizer` and its ``step``.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.RAdam` and its ``step``, before any byte has changed.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    >>> gs.functional.radam(w, 2 * w, m, v, t=1, lr=0.1)
    >>> w
    array([ 0.8, -1.6])
    """
    apply(RAdam._spec, given(locals()), "m", "v")
