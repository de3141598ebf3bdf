"""One step over arrays whose state the caller keeps: the optimizers as functions.

Each takes arrays, equally long lists of arrays, or dicts of them (nested as you like), updates them in
place and returns None. Gradients and state in dicts have the keys of the parameters, or each with a
leading ``d``, as courses keep them: ``v["dW1"]`` for ``parameters["W1"]``. Formulas, hyperparameters
and errors are those of the class that its docstring names. Each optimizer's function also takes
``scale=`` as its ``step`` does, and ``max_norm=``, ``clip_value=`` and ``nonfinite=``. A step that is
skipped leaves everything as it was and says nothing, so whoever counts `t` uses ``nonfinite="raise"``
and does not count what raised.

Where a function takes `t`, a hyperparameter may be a schedule, whose value after ``t − 1`` steps counts.
A β that bias correction divides by may not: that takes its values in all steps, which an optimizer keeps.
"""

from __future__ import annotations

from typing import Any

from gradstep import optimizers as _optimizers
from gradstep.names import explains_keywords, given
from gradstep.optimizer import Optimizer
from gradstep.optimizers import Rate
from gradstep.options import Bound, Nonfinite
from gradstep.single_step import apply

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "ewa",
    "lion",
    "momentum",
    "nadam",
    "radam",
    "rmsprop",
    "sgd",
]


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
    apply(_optimizers.SGD, given(locals()))


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
    apply(_optimizers.Momentum, given(locals()), "m")


@explains_keywords
def rmsprop(
    w: Any,
    g: Any,
    v: Any,
    *,
    lr: Rate,
    beta: Rate = 0.9,
    m: Any = None,
    b: Any = None,
    eps: Rate = 0.0,
    eps_root: Rate = 1e-8,
    centered: bool = False,
    momentum: Rate = 0.0,
    weight_decay: Rate = 0.0,
    maximize: bool = False,
    scale: float = 1.0,
    max_norm: Bound = None,
    clip_value: Bound = None,
    nonfinite: Nonfinite = "propagate",
) -> None:
    """Take one step of RMSprop, ``v := β v + (1−β) g²; w := w − α g/√(v+ε)``; see `gradstep.RMSprop`.

    Parameters
    ----------
    w, g, v : array, list or dict of arrays
        Parameters and second moments, updated in place, and gradients; of the same shape and dtype.
        The moments are zeros before the first step.
    m, b : array, list or dict of arrays, optional
        First moments, needed with `centered`, and the momentum buffer, needed with `momentum`; zeros
        before the first step.
    lr, beta, eps, eps_root, centered, momentum, weight_decay, maximize
        As in `gradstep.RMSprop`; `lr` is required.
    scale, max_norm, clip_value, nonfinite
        As in `gradstep.Optimizer` and its ``step``.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.RMSprop` and its ``step``, before any byte has changed.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w, v = np.array([1.0, -2.0]), np.zeros(2)
    >>> gs.functional.rmsprop(w, 2 * w, v, lr=0.01, beta=0.75)
    >>> w.round(6), v
    (array([ 0.98, -1.98]), array([1., 4.]))
    """
    apply(_optimizers.RMSprop, given(locals()), "v", "m", "b")


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
    apply(_optimizers.Adam, given(locals()), "m", "v", "v_max")


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
    apply(_optimizers.AdamW, given(locals()), "m", "v", "v_max")


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
    apply(_optimizers.NAdam, given(locals()), "m", "v")


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
    apply(_optimizers.RAdam, given(locals()), "m", "v")


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
    apply(_optimizers.Adamax, given(locals()), "m", "u")


@explains_keywords
def adagrad(
    w: Any,
    g: Any,
    v: Any,
    *,
    lr: Rate,
    t: int | None = None,
    lr_decay: Rate = 0.0,
    eps: Rate = 0.0,
    eps_root: Rate = 1e-8,
    weight_decay: Rate = 0.0,
    maximize: bool = False,
    scale: float = 1.0,
    max_norm: Bound = None,
    clip_value: Bound = None,
    nonfinite: Nonfinite = "propagate",
) -> None:
    """Take one step of Adagrad, ``v := v + g²; w := w − α g/√(v+ε)``; see `gradstep.Adagrad`.

    Parameters
    ----------
    w, g, v : array, list or dict of arrays
        Parameters and sums of squares, updated in place, and gradients; of the same shape and dtype.
        The sums are zeros before the first step, or what they are to start from.
    t : int, optional
        The number of this step, counted from 1; needed with `lr_decay`.
    lr, lr_decay, eps, eps_root, weight_decay, maximize
        As in `gradstep.Adagrad`; `lr` is required.
    scale, max_norm, clip_value, nonfinite
        As in `gradstep.Optimizer` and its ``step``.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.Adagrad` and its ``step``, before any byte has changed.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w, v = np.array([1.0, -2.0]), np.zeros(2)
    >>> gs.functional.adagrad(w, 2 * w, v, lr=0.1)
    >>> w.round(6), v
    (array([ 0.9, -1.9]), array([ 4., 16.]))
    """
    apply(_optimizers.Adagrad, given(locals()), "v")


@explains_keywords
def adadelta(
    w: Any,
    g: Any,
    v: Any,
    d: Any,
    *,
    lr: Rate,
    rho: Rate = 0.9,
    eps_root: Rate = 1e-6,
    weight_decay: Rate = 0.0,
    maximize: bool = False,
    scale: float = 1.0,
    max_norm: Bound = None,
    clip_value: Bound = None,
    nonfinite: Nonfinite = "propagate",
) -> None:
    """Take one step of Adadelta, ``w := w − α √(d+ε)/√(v+ε) g``; see `gradstep.Adadelta`.

    Parameters
    ----------
    w, g, v, d : array, list or dict of arrays
        Parameters and averages of the squares of gradients and of updates, updated in place, and
        gradients; of the same shape and dtype. The averages are zeros before the first step.
    lr, rho, eps_root, weight_decay, maximize
        As in `gradstep.Adadelta`; `lr` is required.
    scale, max_norm, clip_value, nonfinite
        As in `gradstep.Optimizer` and its ``step``.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.Adadelta` and its ``step``, before any byte has changed.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w, v, d = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    >>> gs.functional.adadelta(w, 2 * w, v, d, lr=1.0)
    >>> w.round(6)
    array([ 0.996838, -1.996838])
    """
    apply(_optimizers.Adadelta, given(locals()), "v", "d")


@explains_keywords
def lion(
    w: Any,
    g: Any,
    m: Any,
    *,
    lr: Rate,
    betas: tuple[Rate, Rate] = (0.9, 0.99),
    weight_decay: Rate = 0.0,
    maximize: bool = False,
    scale: float = 1.0,
    max_norm: Bound = None,
    clip_value: Bound = None,
    nonfinite: Nonfinite = "propagate",
) -> None:
    """Take one step of Lion, ``w := w − α sign(β₁ m + (1−β₁) g)``; see `gradstep.Lion`.

    Parameters
    ----------
    w, g, m : array, list or dict of arrays
        Parameters and moments, updated in place, and gradients; of the same shape and dtype. The
        moments are zeros before the first step.
    lr, betas, weight_decay, maximize
        As in `gradstep.Lion`; `lr` is required.
    scale, max_norm, clip_value, nonfinite
        As in `gradstep.Optimizer` and its ``step``.

    Raises
    ------
    TypeError, ValueError
        As in `gradstep.Lion` and its ``step``, before any byte has changed.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w, m = np.array([1.0, -2.0]), np.zeros(2)
    >>> gs.functional.lion(w, 2 * w, m, lr=0.25)
    >>> w
    array([ 0.75, -1.75])
    """
    apply(_optimizers.Lion, given(locals()), "m")


@explains_keywords
def ewa(v: Any, x: Any, *, beta: float = 0.9) -> None:
    """Fold `x` into the exponentially weighted average `v`: ``v := β v + (1−β) x``.

    Parameters
    ----------
    v, x : array, list or dict of arrays
        Averages, updated in place (zeros at first), and values of the same shape and dtype.
    beta : float, default 0.9
        β, at least 0 and below 1: averages about ``1 / (1−β)`` values.

    Raises
    ------
    TypeError, ValueError
        As in the step of an optimizer, before any byte has changed.

    See Also
    --------
    gradstep.EWA : keeps the average and its count, and corrects for the start at zero.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> v = np.zeros(2)
    >>> gs.functional.ewa(v, np.array([1.0, 2.0]), beta=0.75)
    >>> v
    array([0.25, 0.5 ])
    """
    apply(_Average, given(locals()))


class _Average(Optimizer):
    """An average is a rule like any other: what is averaged stands for the gradient."""

    _arguments = ("v", "x")

    @classmethod
    def _rule(cls, values: object) -> str:
        return "ewa"
