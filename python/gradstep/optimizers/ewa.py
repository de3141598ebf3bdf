"""The average of values as one step over arrays that the caller keeps."""

from __future__ import annotations

from typing import Any

from gradstep.names import explains_keywords, given
from gradstep.optimizers.apply import apply
from gradstep.optimizers.spec import Spec

# An average is a rule like any other: what is averaged stands for the gradient.
_SPEC = Spec("ewa")


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
    apply(_SPEC, given(locals()), names=("v", "x"))
