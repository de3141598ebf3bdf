"""The optimizers: for each its signature, its formula for readers, and the choice of its rule.

What they share is in optimizer.py; the formulas that run are in cpp/rules.hpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from gradstep.optimizer import Optimizer

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
    weight_decay : float, default 0.0
        λ, at least 0; adds ``λ w`` to the gradient.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.

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
        self, params: Any, lr: Rate = 0.01, *, weight_decay: Rate = 0.0, maximize: bool = False
    ) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, maximize=maximize)

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
    beta : float, default 0.9
        β, at least 0 and below 1: averages about ``1 / (1−β)`` gradients.
    dampening : float, optional
        d, at least 0 and below 1. None means β, the average; 0.0 is the heavy ball, whose steps are
        ``1 / (1−β)`` times as long.
    nesterov : bool, default False
        Look ahead along m.
    bias_correction : bool, default False
        Correct for the zero that m starts from.
    weight_decay : float, default 0.0
        λ, at least 0; adds ``λ w`` to the gradient.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.

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
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            beta=beta,
            dampening=dampening,
            nesterov=nesterov,
            bias_correction=bias_correction,
            weight_decay=weight_decay,
            maximize=maximize,
        )

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
    beta : float, default 0.9
        β, at least 0 and below 1.
    eps : float, default 0.0
        Added outside of the root, at least 0: where most frameworks have their ε.
    eps_root : float, default 1e-8
        Added inside of the root, at least 0: the default of this package.
    centered : bool, default False
        Divide by an estimate of the standard deviation.
    momentum : float, default 0.0
        μ, at least 0 and below 1.
    weight_decay : float, default 0.0
        λ, at least 0; adds ``λ w`` to the gradient.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.

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
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            beta=beta,
            eps=eps,
            eps_root=eps_root,
            centered=centered,
            momentum=momentum,
            weight_decay=weight_decay,
            maximize=maximize,
        )

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
    betas : pair of float, default (0.9, 0.999)
        β₁ and β₂, each at least 0 and below 1.
    eps : float, default 0.0
        Added outside of the root, at least 0: where most frameworks have their ε.
    eps_root : float, default 1e-8
        Added inside of the root, at least 0: the default of this package.
    bias_correction : bool, default True
        Divide m and v by ``1−βᵗ``.
    amsgrad : bool, default False
        Never let the denominator shrink.
    weight_decay : float, default 0.0
        λ, at least 0; adds ``λ w`` to the gradient. For decoupled decay see `AdamW`.
    maximize : bool, default False
        Ascend: the gradient's sign is turned.

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
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            eps_root=eps_root,
            bias_correction=bias_correction,
            amsgrad=amsgrad,
            weight_decay=weight_decay,
            maximize=maximize,
        )

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
    weight_decay : float, default 0.01
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update, and the moments
        never see it.

    Raises
    ------
    TypeError, ValueError
        As in `SGD`.

    References
    ----------
    Loshchilov & Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.

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
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps=eps,
            eps_root=eps_root,
            bias_correction=bias_correction,
            amsgrad=amsgrad,
            weight_decay=weight_decay,
            maximize=maximize,
        )
