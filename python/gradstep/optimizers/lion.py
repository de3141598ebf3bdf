"""Lion: steps along the sign of an average. Each as a class and as a function.

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

    _spec = Spec("lion", arguments={"betas": pair("beta1", "beta2")}, constants={"decoupled": True})

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
    apply(Lion._spec, given(locals()), "m")
