"""Dynamic loss scaling: a factor that keeps small gradients from vanishing in few bits.

How the factor moves is decided here. The optimizer's step divides the gradients by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import gradstep.checks as checks
import gradstep.transaction as transaction
from gradstep.names import FixedAttributes

# The inverse of the scale has to be a normal number in float32.
_LEAST, _MOST = 2.0**-100, 2.0**100


class Steps(Protocol):
    """An optimizer, or an `Accumulator` over one, as a scaler needs it."""

    def step(self, grads: Any, scale: float = 1.0) -> None:
        """Take one step."""

    @property
    def t(self) -> int:
        """The number of steps taken."""

    @property
    def skipped(self) -> int:
        """The number of steps refused."""

    @property
    def nonfinite(self) -> str:
        """What is done about gradients that are not finite."""


class _ScalerState(NamedTuple):
    """All that a scaler keeps. Replaced as a whole: an interruption finds the old or the new one."""

    scale: float
    good: int  # steps since the scale moved or a step was skipped
    growth: float
    backoff: float
    interval: int
    # The steps that the optimizer had taken and skipped before the present one. If an interruption
    # comes before the scale has moved, it moves at the next call.
    before: tuple[int, int] | None = None


class LossScaler(FixedAttributes):
    """Dynamic loss scaling: scale the loss up, and the gradients back down in the step.

    Gradients of a loss times `scale` are as many times larger, so that in float16 or bfloat16 they
    do not vanish. If they overflow, the optimizer skips the step and the scale backs off; after
    `interval` steps without an overflow it grows.

    Parameters
    ----------
    optimizer : Optimizer or Accumulator
        With ``nonfinite="skip"``.
    scale : float, default 65536.0
        The factor of the loss at first, from 2⁻¹⁰⁰ to 2¹⁰⁰.
    growth : float, default 2.0
        Multiplies `scale` after `interval` good steps, at least 1.
    backoff : float, default 0.5
        Multiplies `scale` after a skipped step, above 0 and at most 1.
    interval : int, default 2000
        Good steps from one growth to the next.

    Raises
    ------
    TypeError, ValueError
        If the optimizer does not skip, or a number is out of its range.

    Notes
    -----
    The scale stays between 2⁻¹⁰⁰ and 2¹⁰⁰. All defaults are powers of two, which change no bit of a
    gradient.

    References
    ----------
    Micikevicius et al., "Mixed precision training", 2018, section 3.2.

    Examples
    --------
    >>> import numpy as np, gradstep as gs
    >>> w = np.ones(2, np.float32)
    >>> scaler = gs.LossScaler(gs.SGD(w, lr=0.5, nonfinite="skip"), scale=1024.0)
    >>> scaler.step(scaler.scale * w)  # the gradient of scale · ‖w‖²/2
    >>> w
    array([0.5, 0.5], dtype=float32)
    >>> scaler.step(np.array([np.inf, 0.0], np.float32))
    >>> scaler.scale
    512.0
    """

    def __init__(
        self,
        optimizer: Steps,
        scale: float = 65536.0,
        *,
        growth: float = 2.0,
        backoff: float = 0.5,
        interval: int = 2000,
    ) -> None:
        if not all(hasattr(optimizer, name) for name in ("step", "t", "skipped", "nonfinite")):
            raise TypeError(
                f"optimizer must be an optimizer of this package, got {type(optimizer).__name__}"
            )
        _require_skipping(optimizer)
        self._optimizer = optimizer
        self._state = _ScalerState(
            checks.finite("scale", scale, _LEAST, _MOST),
            0,
            checks.finite("growth", growth, 1.0, 2.0**64),
            checks.finite("backoff", backoff, 2.0**-64, 1.0),
            checks.count("interval", interval, least=1),
        )

    @property
    def scale(self) -> float:
        """The factor of the loss for the next step."""
        self._catch_up()
        return self._state.scale

    def step(self, grads: Any, *, count: int | None = None) -> None:
        """Take one step by gradients of the loss times `scale`; skip it if they overflowed.

        Parameters
        ----------
        grads
            As in the optimizer's step.
        count : int, optional
            As in the step of `distributed.Sharded`; other optimizers do not take it.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in the optimizer's step; nothing has changed.
        """
        _require_skipping(self._optimizer)  # an assignment or a load may have changed it
        scale = self.scale
        self._state = self._state._replace(before=(self._optimizer.t, self._optimizer.skipped))
        counted = {} if count is None else {"count": count}
        try:
            self._optimizer.step(grads, 1.0 / scale, **counted)
        finally:
            self._catch_up()

    def _catch_up(self) -> None:
        """Move the scale, depending on whether the last step was taken or skipped."""
        scale, good, growth, backoff, interval, before = self._state
        if before is None:
            return
        t, skipped = before
        if self._optimizer.skipped > skipped:
            scale, good = max(scale * backoff, _LEAST), 0
        elif self._optimizer.t > t:
            good += 1
            if good >= interval:
                scale, good = min(scale * growth, _MOST), 0
        self._state = _ScalerState(scale, good, growth, backoff, interval)

    def __repr__(self) -> str:
        scale, _, growth, backoff, interval, _ = self._state
        return (
            f"LossScaler(scale={scale!r}, growth={growth!r}, backoff={backoff!r}, "
            f"interval={interval!r})"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot as plain values, without the optimizer, which has its own."""
        self._catch_up()
        state = self._state._asdict()
        del state["before"]
        return state

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned. All or nothing.

        Raises
        ------
        TypeError, ValueError
            If it is not the state of a loss scaler; nothing has changed.
        """
        transaction.take_over(self._prepare_load(d, True))

    def _prepare_load(self, state: Mapping[str, Any], strict: bool) -> transaction.Prepared:
        """Check a state for `gradstep.load`, which takes it over with all other parts at once."""
        keys = [key for key in _ScalerState._fields if key != "before"]
        d = checks.record("the state", state, keys, "load what LossScaler.state_dict() returned")
        loaded = LossScaler(
            self._optimizer,
            d["scale"],
            growth=d["growth"],
            backoff=d["backoff"],
            interval=d["interval"],
        )
        taken = loaded._state._replace(good=checks.count("good", d["good"]))
        return transaction.Prepared(swaps=[(self, "_state", taken)])


def _require_skipping(optimizer: Steps) -> None:
    if optimizer.nonfinite != "skip":
        raise ValueError(
            "nonfinite of the optimizer must be 'skip' for loss scaling, got "
            f"{optimizer.nonfinite!r}; give it nonfinite='skip'"
        )
