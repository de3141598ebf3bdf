"""optax's optimizers: their names, arguments, defaults and results.

Each is an optimizer of this package over `params`, which it updates in place; optax's own are pairs
of functions over states that the caller keeps. Compared with optax 0.2.8, which is never imported.
optax takes its maximum for AMSGrad of the corrected v̂, has NAdam without factors of momentum, and
keeps α inside of RMSprop's buffer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import gradstep.checks as checks
import gradstep.optimizers as optimizers
from gradstep._typing import Rate
from gradstep.averaging import EWA
from gradstep.compat.base import ByLearningRate, documented, require_unused
from gradstep.names import given
from gradstep.optimizers.options import Bound, Nonfinite
from gradstep.optimizers.selection import Masked
from gradstep.optimizers.spec import Convert, CoreArgs, Spec, Values, selects

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "lion",
    "nadam",
    "radam",
    "rmsprop",
    "sgd",
]

Mask = Any | Callable[[Any], Any] | None


def _require_own_dtype(**arguments: Any) -> None:
    require_unused("state has its parameter's dtype; leave it out", **arguments)


def _masked(params: Any, mask: Mask) -> Any:
    """Return parameters of which those that `mask` leaves out have no weight decay."""
    if mask is None:
        return params
    return Masked(params, mask(params) if callable(mask) else mask, {"weight_decay": 0.0})


def _adapted(spec: Spec, arguments: Mapping[str, str | Convert], **constants: Any) -> Spec:
    """Return how a rule is told of optax's arguments."""
    common: dict[str, str | Convert] = {
        "learning_rate": "lr",
        "b1": "beta1",
        "b2": "beta2",
        "nesterov": selects,
    }
    return spec.but(
        {**common, **arguments}, constants, optional=frozenset({"momentum"}), rate="learning_rate"
    )


def _sgd_rule(values: Values) -> str:
    if values["momentum"] is None:
        return "sgd"
    return "nesterov" if values["nesterov"] is True else "momentum"


def _rmsprop_rule(values: Values) -> str:
    kind = "rmsprop_centered" if values["centered"] is True else "rmsprop"
    if values["momentum"] is None:
        return kind
    return f"{kind}_nesterov" if values["nesterov"] is True else f"{kind}_momentum"


def _eps_of_rmsprop(name: str, values: Values) -> CoreArgs:
    inside = checks.flag("eps_in_sqrt", values["eps_in_sqrt"])
    return [("eps_root" if inside else "eps", name, values[name])]


def _unless(core: str) -> Convert:
    """Return what makes a core argument that is the opposite of a flag."""
    return lambda name, values: [(core, name, not checks.flag(name, values[name]))]


def _threshold(name: str, values: Values) -> CoreArgs:
    threshold = values[name]
    if isinstance(threshold, int | float) and threshold > 0:
        # The core rectifies above it, optax from it on.
        threshold = math.nextafter(threshold, 0.0)
    return [(name, name, threshold)]


@documented("Momentum")
class sgd(ByLearningRate):
    """`optax.sgd`: ``b := μ b + g; w := w − α b``, with `nesterov` ``w := w − α (μ b + g)``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule
        The learning rate α, also as attribute.
    momentum : float or schedule, optional
        μ, at least 0 and below 1; None keeps no buffer.
    nesterov : bool, default False
        Look ahead along the momentum.
    accumulator_dtype : None
        Only None: state has its parameter's dtype.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.optax.sgd(w, 0.1, momentum=0.9)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.8, -1.6])
    """

    _spec = _adapted(
        Spec(_sgd_rule, state_depends_on=frozenset({"momentum"})), {"momentum": "beta"}
    )

    def __init__(
        self,
        params: Any,
        learning_rate: Rate,
        momentum: Rate | None = None,
        nesterov: bool = False,
        accumulator_dtype: None = None,
        *,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        _require_own_dtype(accumulator_dtype=accumulator_dtype)
        super().__init__(**given(locals(), "accumulator_dtype"))


@documented("RMSprop")
class rmsprop(ByLearningRate):
    """`optax.rmsprop`: ``b := μ b + α u; w := w − b``, with `nesterov` ``w := w − (μ b + α u)``.

    ``v := β v + (1−β) g²``, and the quotient is ``u = g / √(v + ε)``, or ``g / (√v + ε)`` where
    `eps_in_sqrt` is False. With `centered` the root is that of ``v − m²``, with
    ``m := β m + (1−β) g``; with `bias_correction` v and m are divided by ``1 − βᵗ``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule
        The learning rate α, also as attribute.
    decay : float or schedule, default 0.9
        β, at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    initial_scale : float, default 0.0
        What v starts from, at least 0; no schedule.
    eps_in_sqrt : bool, default True
        Whether ε stands inside of the root.
    centered : bool, default False
        Take the mean of the gradients off v.
    momentum : float or schedule, optional
        μ, at least 0 and below 1; None keeps no buffer.
    nesterov : bool, default False
        Look ahead along the momentum.
    bias_correction : bool, default False
        Correct for the zero that averages start from.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.optax.rmsprop(w, 0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.683772, -1.683772])
    """

    _spec = _adapted(
        optimizers.RMSprop._spec,
        {
            "decay": "beta",
            "initial_scale": "initial_v",
            "eps": _eps_of_rmsprop,
            "eps_in_sqrt": selects,
        },
        rate_in_buffer=True,
    ).but(rule=_rmsprop_rule)

    def __init__(
        self,
        params: Any,
        learning_rate: Rate,
        decay: Rate = 0.9,
        eps: Rate = 1e-8,
        initial_scale: float = 0.0,
        eps_in_sqrt: bool = True,
        centered: bool = False,
        momentum: Rate | None = None,
        nesterov: bool = False,
        bias_correction: bool = False,
        *,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@documented("Adam")
class adam(ByLearningRate):
    """`optax.adam`: `eps` outside of the root, `eps_root` inside; `nesterov` as in `nadam`.

    ``m := β₁ m + (1−β₁) g``, ``v := β₂ v + (1−β₂) g²``;
    ``w := w − α m̂ / (√(v̂ + eps_root) + eps)`` with ``m̂ = m / (1−β₁ᵗ)``, ``v̂ = v / (1−β₂ᵗ)``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule
        The learning rate α, also as attribute.
    b1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    b2 : float or schedule, default 0.999
        β₂, at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    eps_root : float or schedule, default 0.0
        Added inside of the root, at least 0.
    nesterov : bool, default False
        Look ahead along the momentum.
    mu_dtype : None
        Only None: state has its parameter's dtype.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.optax.adam(w, 0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _spec = _adapted(
        Spec(lambda values: "nadam" if values["nesterov"] is True else "adam"),
        {},
        bias_correction=True,
        looks_ahead=True,
    )

    def __init__(
        self,
        params: Any,
        learning_rate: Rate,
        b1: Rate = 0.9,
        b2: Rate = 0.999,
        eps: Rate = 1e-8,
        eps_root: Rate = 0.0,
        mu_dtype: None = None,
        *,
        nesterov: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        _require_own_dtype(mu_dtype=mu_dtype)
        super().__init__(**given(locals(), "mu_dtype"))


@documented("NAdam")
class nadam(adam):
    """`optax.nadam`: NAdam with β₁ for every factor of momentum.

    As `adam`, with ``β₁ m / (1−β₁ᵗ⁺¹) + (1−β₁) g / (1−β₁ᵗ)`` for m̂.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule
        The learning rate α, also as attribute.
    b1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    b2 : float or schedule, default 0.999
        β₂, at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    eps_root : float or schedule, default 0.0
        Added inside of the root, at least 0.
    nesterov : bool, default True
        Look ahead along the momentum.
    mu_dtype : None
        Only None: state has its parameter's dtype.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.optax.nadam(w, 0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.852632, -1.852632])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Rate,
        b1: Rate = 0.9,
        b2: Rate = 0.999,
        eps: Rate = 1e-8,
        eps_root: Rate = 0.0,
        mu_dtype: None = None,
        *,
        nesterov: bool = True,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@documented("AdamW")
class adamw(ByLearningRate):
    """`optax.adamw`: as `adam`, with decay that shrinks the parameters that `mask` has True for.

    ``w := w − α (m̂ / (√(v̂ + eps_root) + eps) + λ w)``, to within rounding.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule
        The learning rate α, also as attribute.
    b1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    b2 : float or schedule, default 0.999
        β₂, at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    eps_root : float or schedule, default 0.0
        Added inside of the root, at least 0.
    weight_decay : float or schedule, default 0.0001
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update.
    mask : structure of bool or callable, optional
        Which parameters decay: truth values in the structure of `params`, one for all below it
        where it ends early, or a function that makes them of `params`.
    nesterov : bool, default False
        Look ahead along the momentum.
    mu_dtype : None
        Only None: state has its parameter's dtype.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.optax.adamw(w, 0.1, weight_decay=0.5)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.85, -1.8 ])
    """

    _spec = adam._spec.but(constants={"decoupled": True})

    def __init__(
        self,
        params: Any,
        learning_rate: Rate,
        b1: Rate = 0.9,
        b2: Rate = 0.999,
        eps: Rate = 1e-8,
        eps_root: Rate = 0.0,
        mu_dtype: None = None,
        weight_decay: Rate = 1e-4,
        mask: Mask = None,
        *,
        nesterov: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        _require_own_dtype(mu_dtype=mu_dtype)
        params = _masked(params, mask)
        super().__init__(**given(locals(), "mu_dtype", "mask"))


@documented("Adam")
class amsgrad(ByLearningRate):
    """`optax.amsgrad`: the maximum is taken of the corrected v̂.

    As `adam`, with ``v_max := max(v_max, v̂)`` in place of v̂.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule
        The learning rate α, also as attribute.
    b1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    b2 : float or schedule, default 0.999
        β₂, at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    eps_root : float or schedule, default 0.0
        Added inside of the root, at least 0.
    bias_correction_mu : bool, default True
        Correct m.
    bias_correction_nu : bool, default True
        Correct v, before its maximum is taken.
    mu_dtype : None
        Only None: state has its parameter's dtype.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.optax.amsgrad(w, 0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _spec = _adapted(
        Spec("amsgrad_of_corrected"),
        {
            "bias_correction_mu": _unless("uncorrected_m"),
            "bias_correction_nu": _unless("uncorrected_v"),
        },
        bias_correction=True,
    )

    def __init__(
        self,
        params: Any,
        learning_rate: Rate,
        b1: Rate = 0.9,
        b2: Rate = 0.999,
        eps: Rate = 1e-8,
        eps_root: Rate = 0.0,
        mu_dtype: None = None,
        bias_correction_mu: bool = True,
        bias_correction_nu: bool = True,
        *,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        _require_own_dtype(mu_dtype=mu_dtype)
        super().__init__(**given(locals(), "mu_dtype"))


@documented("RAdam")
class radam(ByLearningRate):
    """`optax.radam`: ε is added to the corrected √v̂; `nesterov` as in `nadam`.

    ``w := w − α r m̂ / (√(v̂ + eps_root) + eps)``, and below ρ = `threshold` ``w := w − α m̂``; r
    and ρ as in `gradstep.RAdam`. A threshold below 4 is 4 here, where optax has NaN.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule
        The learning rate α, also as attribute.
    b1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    b2 : float or schedule, default 0.999
        β₂, at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    eps_root : float or schedule, default 0.0
        Added inside of the root, at least 0.
    threshold : float or schedule, default 5.0
        From which ρ on steps are rectified.
    nesterov : bool, default False
        Look ahead along the momentum.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.optax.radam(w, 0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.8, -1.6])
    """

    _spec = _adapted(
        Spec(lambda values: "radam_nesterov" if values["nesterov"] is True else "radam"),
        {"threshold": _threshold},
        bias_correction=True,
        looks_ahead=True,
        rectified=True,
    )

    def __init__(
        self,
        params: Any,
        learning_rate: Rate,
        b1: Rate = 0.9,
        b2: Rate = 0.999,
        eps: Rate = 1e-8,
        eps_root: Rate = 0.0,
        threshold: Rate = 5.0,
        *,
        nesterov: bool = False,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@documented("Adamax")
class adamax(ByLearningRate):
    """`optax.adamax`: ε is added to ``|g|``, inside of the maximum.

    ``m := β₁ m + (1−β₁) g``, ``u := max(β₂ u, |g| + ε)``; ``w := w − α m̂ / u`` with
    ``m̂ = m / (1−β₁ᵗ)``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule
        The learning rate α, also as attribute.
    b1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    b2 : float or schedule, default 0.999
        β₂, at least 0 and below 1.
    eps : float or schedule, default 1e-08
        ε, at least 0.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.optax.adamax(w, 0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """

    _spec = _adapted(optimizers.Adamax._spec, {"eps": "eps_root"})

    def __init__(
        self,
        params: Any,
        learning_rate: Rate,
        b1: Rate = 0.9,
        b2: Rate = 0.999,
        eps: Rate = 1e-8,
        *,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@documented("Adagrad")
class adagrad(ByLearningRate):
    """`optax.adagrad`: ε inside of the root; no step where v is 0.

    ``v := v + g²``; ``w := w − α g / √(v + ε)``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule
        The learning rate α, also as attribute.
    initial_accumulator_value : float, default 0.1
        What v starts from, at least 0; no schedule.
    eps : float or schedule, default 1e-07
        ε, at least 0.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.optax.adagrad(w, 0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.901227, -1.900311])
    """

    _spec = _adapted(
        optimizers.Adagrad._spec,
        {"eps": "eps_root", "initial_accumulator_value": "initial_v"},
        # Too little to show, but 0/0 is 0: optax takes no step where v is 0.
        eps=math.ulp(0.0),
    )

    def __init__(
        self,
        params: Any,
        learning_rate: Rate,
        initial_accumulator_value: float = 0.1,
        eps: Rate = 1e-7,
        *,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        super().__init__(**given(locals()))


@documented("Adadelta")
class adadelta(ByLearningRate):
    """`optax.adadelta`: ε inside of both roots.

    ``v := ρ v + (1−ρ) g²``; ``u = √(d + ε) / √(v + ε) g``; ``d := ρ d + (1−ρ) u²``;
    ``w := w − α u``. Without a `learning_rate` optax adds its updates to the parameters, and so
    climbs: that is refused.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule, optional
        The learning rate α, also as attribute.
    rho : float or schedule, default 0.9
        ρ, at least 0 and below 1.
    eps : float or schedule, default 1e-06
        ε, at least 0.
    weight_decay : float or schedule, default 0.0
        λ, at least 0; adds ``λ w`` to the gradient.
    weight_decay_mask : structure of bool or callable, optional
        Which parameters decay: truth values in the structure of `params`, one for all below it
        where it ends early, or a function that makes them of `params`.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.optax.adadelta(w, 0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.999684, -1.999684])
    """

    _spec = _adapted(optimizers.Adadelta._spec, {"eps": "eps_root"})

    def __init__(
        self,
        params: Any,
        learning_rate: Rate | None = None,
        rho: Rate = 0.9,
        eps: Rate = 1e-6,
        weight_decay: Rate = 0.0,
        weight_decay_mask: Mask = None,
        *,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        if learning_rate is None:
            raise ValueError(
                "learning_rate=None climbs in optax; give a rate, 1.0 for Zeiler's own"
            )
        params = _masked(params, weight_decay_mask)
        super().__init__(**given(locals(), "weight_decay_mask"))


@documented("Lion")
class lion(ByLearningRate):
    """`optax.lion`: ``w := w − α sign(β₁ m + (1−β₁) g)``, then ``m := β₂ m + (1−β₂) g``.

    Parameters
    ----------
    params
        As in `gradstep.SGD`.
    learning_rate : float or schedule
        The learning rate α, also as attribute.
    b1 : float or schedule, default 0.9
        β₁, at least 0 and below 1.
    b2 : float or schedule, default 0.99
        β₂, at least 0 and below 1.
    weight_decay : float or schedule, default 0.001
        λ, at least 0; the parameter is multiplied by ``1 − α λ`` before the update.
    mask : structure of bool or callable, optional
        Which parameters decay: truth values in the structure of `params`, one for all below it
        where it ends early, or a function that makes them of `params`.
    mu_dtype : None
        Only None: state has its parameter's dtype.
    {common}

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.array([1.0, -2.0])
    >>> opt = gs.compat.optax.lion(w, 0.1)
    >>> opt.step(2 * w)
    >>> w.round(6)
    array([ 0.8999, -1.8998])
    """

    _spec = _adapted(optimizers.Lion._spec, {})

    def __init__(
        self,
        params: Any,
        learning_rate: Rate,
        b1: Rate = 0.9,
        b2: Rate = 0.99,
        mu_dtype: None = None,
        weight_decay: Rate = 1e-3,
        mask: Mask = None,
        *,
        max_norm: Bound = None,
        clip_value: Bound = None,
        nonfinite: Nonfinite = "propagate",
        average: EWA | None = None,
    ) -> None:
        _require_own_dtype(mu_dtype=mu_dtype)
        params = _masked(params, mask)
        super().__init__(**given(locals(), "mu_dtype", "mask"))
