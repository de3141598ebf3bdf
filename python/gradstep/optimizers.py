"""The optimizers: for each its signature, its formula for readers, and the choice of its rule.

What they share is in optimizer.py; the formulas that run are in cpp/rules.hpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from gradstep.averaging import EWA
from gradstep.names import given
from gradstep.optimizer import Optimizer
from gradstep.options import Bound, Nonfinite

Rate = float | Callable[[int], float]


class SGD(Optimizer):
    r"""Gradient descent: mini-batch, stochastic (batch size 1) or batch (all examples).

    .. math:: w := w - \alpha g

    Parameters
    ----------
    params
        One array, a list or tuple of arrays, a dict (nesting allowed), or a list of groups
        ``[{"params": ..., "lr": ...}, ...]``: float32 or float64, updated in place.
    lr : float or schedule, default 0.01
        The learning rate α, finite and at least 0; a schedule is called with the number of steps
        taken so far.
    weight_decay : float or schedule, default 0.0
        λ, at least 0; adds ``λ w`` to the gradient.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.
    max_norm, clip_value, nonfinite, average
        Options of a step, as in `Optimizer`.

    Raises
    ------
    TypeError
        If a parameter is not an array or has another dtype, or a hyperparameter is no number.
    ValueError
        If a hyperparameter is out of its range, a parameter is read-only or repeats elements, two
        parameters share memory, two have one name, or there is none.

    References
    ----------
    Robbins & Monro, "A stochastic approximation method", 1951, section 2.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.SGD(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w
    array([ 0.8, -1.6])
    """

    def __init__(
        self,
        params: Any,
        lr: Rate = 0.01,
        *,
        weight_decay: Rate = 0.0,
        maximize: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        return "sgd"


class Momentum(Optimizer):
    r"""Descent along an exponentially weighted average of the gradients.

    .. math::
        m &:= \beta m + (1 - d) g \\
        w &:= w - \alpha m

    With `nesterov` the step is along ``β m + (1−d) g``, with the new m. Bias correction divides the
    step by the sum of the weights in it: ``c = (1−d)(1−βᵗ)/(1−β)``, with nesterov ``β c + (1−d)``.

    Parameters
    ----------
    params
        As in `SGD`.
    lr : float or schedule, default 0.01
        The learning rate α, finite and at least 0.
    beta : float or schedule, default 0.9
        β, at least 0 and below 1: averages about ``1 / (1−β)`` gradients.
    dampening : float or schedule, optional
        d, at least 0 and below 1. None means β, the average; 0.0 is the heavy ball, whose steps are
        ``1 / (1−β)`` times as long.
    nesterov : bool, default False
        Look ahead along m.
    bias_correction : bool, default False
        Correct for the zero that m starts from.
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
    The state is ``m``.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013,
    section 2.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.Momentum(w, lr=0.1, beta=0.9)
    >>> opt.step(2 * w)
    >>> w
    array([ 0.98, -1.96])
    >>> opt.state["0"]["m"]
    array([ 0.2, -0.4])
    """

    def __init__(
        self,
        params: Any,
        lr: Rate = 0.01,
        beta: Rate = 0.9,
        *,
        dampening: Rate | None = None,
        nesterov: bool = False,
        bias_correction: bool = False,
        weight_decay: Rate = 0.0,
        maximize: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        return "nesterov" if values["nesterov"] is True else "momentum"


class RMSprop(Optimizer):
    r"""Descent with each element's gradient divided by its root mean square.

    .. math::
        v &:= \beta v + (1 - \beta) g^2 \\
        w &:= w - \alpha \frac{g}{\sqrt{v + \epsilon_{root}} + \epsilon}

    Centered, it keeps ``m := β m + (1−β) g`` too, and ``max(v − m², 0)`` stands for v. With momentum
    μ the quotient u is gathered, ``b := μ b + u``, and ``w := w − α b``.

    Parameters
    ----------
    params
        As in `SGD`.
    lr : float or schedule, default 0.001
        The learning rate α, finite and at least 0.
    beta : float or schedule, default 0.9
        β, at least 0 and below 1.
    eps : float or schedule, default 0.0
        Added outside of the root, at least 0: where most frameworks have their ε.
    eps_root : float or schedule, default 1e-8
        Added inside of the root, at least 0: the default of this package.
    centered : bool, default False
        Divide by an estimate of the standard deviation.
    momentum : float or schedule, default 0.0
        μ, at least 0 and below 1.
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
    The state is ``v``, with `centered` also ``m``, with `momentum` also ``b``.

    A gradient whose square overflows leaves v at the largest number and its parameter nearly in
    place, never NaN; `centered` is exempt, because there ``m²`` overflows too.

    References
    ----------
    Hinton, "Neural networks for machine learning", Coursera 2012, lecture 6e.
    Graves, "Generating sequences with recurrent neural networks", 2013, section 4.2 (centered).

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.RMSprop(w, lr=0.01, beta=0.75)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.98, -1.98])
    """

    def __init__(
        self,
        params: Any,
        lr: Rate = 0.001,
        beta: Rate = 0.9,
        *,
        eps: Rate = 0.0,
        eps_root: Rate = 1e-8,
        centered: bool = False,
        momentum: Rate = 0.0,
        weight_decay: Rate = 0.0,
        maximize: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        momentum = values["momentum"]
        has_buffer = not (isinstance(momentum, int | float) and momentum == 0)
        centered = "_centered" if values["centered"] is True else ""
        return f"rmsprop{centered}{'_momentum' if has_buffer else ''}"


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

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        return "amsgrad" if values["amsgrad"] is True else "adam"


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

    _fixed: ClassVar = {"decoupled": True}

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

    _names: ClassVar = {"decoupled_weight_decay": "decoupled"}
    _fixed: ClassVar = {"bias_correction": True, "looks_ahead": True}

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

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        return "nadam"


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

    _names: ClassVar = {"decoupled_weight_decay": "decoupled"}
    _fixed: ClassVar = {"bias_correction": True, "rectified": True}

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

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        return "radam"


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

    _fixed: ClassVar = {"bias_correction": True}

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

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        return "adamax"


class Adagrad(Optimizer):
    r"""Descent with each element's gradient divided by the root of all its squares so far.

    .. math::
        v &:= v + g^2 \\
        w &:= w - \frac{\alpha}{1 + (t - 1) \eta}
                  \frac{g}{\sqrt{v + \epsilon_{root}} + \epsilon}

    Parameters
    ----------
    params
        As in `SGD`.
    lr : float or schedule, default 0.01
        The learning rate α, finite and at least 0.
    lr_decay : float or schedule, default 0.0
        η, at least 0: lets the rate fall with the number of steps, besides what v does.
    initial_accumulator : float, default 0.0
        What v starts from, at least 0; a number. Some implementations take 0.1, which bounds the
        first steps.
    eps : float or schedule, default 0.0
        Added outside of the root, at least 0: where most frameworks have their ε.
    eps_root : float or schedule, default 1e-8
        Added inside of the root, at least 0: the default of this package.
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
    The state is ``v``, a sum, not an average.

    References
    ----------
    Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", 2011, section 1.1 (the diagonal form).

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.Adagrad(w, lr=0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _names: ClassVar = {"initial_accumulator": "initial_v"}

    def __init__(
        self,
        params: Any,
        lr: Rate = 0.01,
        *,
        lr_decay: Rate = 0.0,
        initial_accumulator: float = 0.0,
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

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        return "adagrad"


class Adadelta(Optimizer):
    r"""RMSprop whose steps have the size that steps have had so far: it needs no rate.

    .. math::
        v &:= \rho v + (1 - \rho) g^2, \quad
        u = \frac{\sqrt{d + \epsilon_{root}}}{\sqrt{v + \epsilon_{root}}} g \\
        d &:= \rho d + (1 - \rho) u^2 \\
        w &:= w - \alpha u

    Parameters
    ----------
    params
        As in `SGD`.
    lr : float or schedule, default 1.0
        α, finite and at least 0; the paper has none, which is 1.
    rho : float or schedule, default 0.9
        ρ, at least 0 and below 1.
    eps_root : float or schedule, default 1e-6
        Added inside of both roots, at least 0. With 0 no parameter moves, and where v is 0 it is NaN.
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
    The state is ``v`` and ``d``, averages of the squares of gradients and of updates.

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", 2012, algorithm 1.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.Adadelta(w)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.996838, -1.996838])
    """

    _names: ClassVar = {"rho": "beta"}

    def __init__(
        self,
        params: Any,
        lr: Rate = 1.0,
        rho: Rate = 0.9,
        *,
        eps_root: Rate = 1e-6,
        weight_decay: Rate = 0.0,
        maximize: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        return "adadelta"


class Lion(Optimizer):
    r"""Steps of one size along the sign of an average that the newest gradient counts more in.

    .. math::
        w &:= w - \alpha \lambda w, \quad
        w := w - \alpha \, \text{sign}(\beta_1 m + (1 - \beta_1) g) \\
        m &:= \beta_2 m + (1 - \beta_2) g

    Parameters
    ----------
    params
        As in `SGD`.
    lr : float or schedule, default 1e-4
        The learning rate α, finite and at least 0: the length of each element's step. The paper
        advises three to ten times less than for `AdamW`.
    betas : pair of float or schedule, default (0.9, 0.99)
        β₁ and β₂, each at least 0 and below 1.
    weight_decay : float or schedule, default 0.0
        λ, at least 0, decoupled: the parameter is multiplied by ``1 − α λ`` before the update.
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
    The state is ``m``. The sign of 0 is 0.

    References
    ----------
    Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.Lion(w, lr=0.25)
    >>> opt.step(2 * w)
    >>> w
    array([ 0.75, -1.75])
    """

    _fixed: ClassVar = {"decoupled": True}

    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-4,
        betas: tuple[Rate, Rate] = (0.9, 0.99),
        *,
        weight_decay: Rate = 0.0,
        maximize: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))

    @classmethod
    def _rule(cls, values: Mapping[str, Any]) -> str:
        return "lion"
