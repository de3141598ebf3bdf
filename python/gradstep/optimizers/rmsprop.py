"""RMSprop: gradients divided by their root mean square. Each as a class and as a function.

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
from gradstep.optimizers.spec import Spec, Values, is_zero, selects


def _rule(values: Values) -> str:
    centered = "_centered" if values["centered"] is True else ""
    return f"rmsprop{centered}{'' if is_zero(values['momentum']) else '_momentum'}"


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

    _spec = Spec(
        _rule,
        arguments={"centered": selects},
        state_depends_on=frozenset({"momentum", "centered"}),
    )

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
    apply(RMSprop._spec, given(locals()), "v", "m", "b")
