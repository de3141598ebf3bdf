"""Adagrad and Adadelta: steps that shrink with the gradients seen so far. Each as a class and as a function.

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
from gradstep.optimizers.spec import Spec


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

    _spec = Spec("adagrad", arguments={"initial_accumulator": "initial_v"})

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

    _spec = Spec("adadelta", arguments={"rho": "beta"})

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
    apply(Adagrad._spec, given(locals()), "v")


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
    apply(Adadelta._spec, given(locals()), "v", "d")
