"""Gradient descent, plain and with momentum. Each as a class and as a function.

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
from gradstep.optimizers.spec import Spec, by_default, selects


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

    _spec = Spec("sgd")

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

    _spec = Spec(
        lambda values: "nesterov" if values["nesterov"] is True else "momentum",
        arguments={"nesterov": selects, "dampening": by_default("beta")},
    )

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


@explains_keywords
def sgd(
    w: Any,
    g: Any,
    *,
    lr: Rate,
    weight_decay: Rate = 0.0,
    maximize: bool = False,
    scale: float = 1.0,
    max_norm: Bound = None,
    clip_value: Bound = None,
    nonfinite: Nonfinite = "propagate",
) -> None:
    """Take one step of gradient descent, ``w := w − α g``; see `gradstep.SGD`.

    Parameters
    ----------
    w, g : array, list or dict of arrays
        Parameters, updated in place, and gradients of the same shape and dtype.
    lr, weight_decay, maximize
        As in `gradstep.SGD`; `lr` is required.
    scale, max_norm, clip_value, nonfinite
        As in `gradstep.Optimizer` and its ``step``.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.SGD` and its ``step``, before any byte has changed.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> gs.functional.sgd(w, 2 * w, lr=0.1)
    >>> w
    array([ 0.8, -1.6])
    """
    apply(SGD._spec, given(locals()))


@explains_keywords
def momentum(
    w: Any,
    g: Any,
    m: Any,
    *,
    lr: Rate,
    beta: Rate = 0.9,
    t: int | None = None,
    dampening: Rate | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    weight_decay: Rate = 0.0,
    maximize: bool = False,
    scale: float = 1.0,
    max_norm: Bound = None,
    clip_value: Bound = None,
    nonfinite: Nonfinite = "propagate",
) -> None:
    """Take one step of Momentum, ``m := β m + (1−d) g; w := w − α m``; see `gradstep.Momentum`.

    Parameters
    ----------
    w, g, m : array, list or dict of arrays
        Parameters and first moments, updated in place, and gradients; of the same shape and dtype.
        The moments are zeros before the first step.
    t : int, optional
        The number of this step, counted from 1; needed with `bias_correction`.
    lr, beta, dampening, nesterov, bias_correction, weight_decay, maximize
        As in `gradstep.Momentum`; `lr` is required.
    scale, max_norm, clip_value, nonfinite
        As in `gradstep.Optimizer` and its ``step``.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.Momentum` and its ``step``, before any byte has changed.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w, m = np.array([1.0, -2.0]), np.zeros(2)
    >>> gs.functional.momentum(w, 2 * w, m, lr=0.1)
    >>> w, m
    (array([ 0.98, -1.96]), array([ 0.2, -0.4]))
    """
    apply(Momentum._spec, given(locals()), "m")
