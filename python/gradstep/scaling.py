"""Dynamic loss scaling: a factor that keeps small gradients from vanishing in few bits.

What is done to the gradients is the optimizer's step; here is only how the factor moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from gradstep import _core, checks, loading

# One over the scale has to be a normal number in float32.
_LEAST, _MOST = 2.0**-100, 2.0**100


class Steps(Protocol):
    """What a scaler scales for: an optimizer, or an `Accumulator` over one."""

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


class _Kept(NamedTuple):
    """All that moves, replaced as a whole: an interruption finds one or the other."""

    scale: float
    good: int  # steps since the scale moved or a step was skipped
    # What the optimizer had done when this was so. What it has done since is caught up with, also
    # where an interruption came between its step and this.
    t: int
    skipped: int


class LossScaler:
    """Dynamic loss scaling: scale the loss up, and the gradients back down in the step.

    Gradients of a loss times `scale` are as many times larger, so that in float16 or bfloat16 they
    do not vanish. Where they overflow, the optimizer skips the step and the scale backs off; after
    `interval` steps without that it grows.

    Parameters
    ----------
    optimizer : Optimizer or Accumulator
        With ``nonfinite="skip"``.
    scale : float, default 65536.0
        What the loss is multiplied by at first, from 2⁻¹⁰⁰ to 2¹⁰⁰.
    growth : float, default 2.0
        What `scale` is multiplied by after `interval` good steps, at least 1.
    backoff : float, default 0.5
        What it is multiplied by after a skipped step, above 0 and at most 1.
    interval : int, default 2000
        Good steps from one growth to the next.

    Raises
    ------
    TypeError, ValueError
        If the optimizer does not skip, or a number is out of its range.

    Notes
    -----
    The scale stays between 2⁻¹⁰⁰ and 2¹⁰⁰. Powers of two change no bit of a gradient, so that is
    what all the defaults are.

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
        if optimizer.nonfinite != "skip":
            raise ValueError(
                "loss scaling needs an optimizer that skips what overflows, and this one has "
                f"nonfinite={optimizer.nonfinite!r}; make it with nonfinite='skip'"
            )
        self._optimizer = optimizer
        self._growth = _number("growth", growth, 1.0, 2.0**64)
        self._backoff = _number("backoff", backoff, 2.0**-64, 1.0)
        self._interval = checks.count("interval", interval, least=1)
        scale = _number("scale", scale, _LEAST, _MOST)
        self._kept = _Kept(scale, 0, optimizer.t, optimizer.skipped)

    @property
    def scale(self) -> float:
        """What the loss is to be multiplied by for the next step."""
        self._catch_up()
        return self._kept.scale

    def step(self, grads: Any) -> None:
        """Take one step by gradients of the loss times `scale`; skip it where they overflowed.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in the optimizer's step; nothing has changed.
        """
        self._optimizer.step(grads, 1.0 / self.scale)
        self._catch_up()

    def _catch_up(self) -> None:
        """Move the scale by what the optimizer has done since."""
        scale, good, t, skipped = self._kept
        now_t, now_skipped = self._optimizer.t, self._optimizer.skipped
        if (now_t, now_skipped) == (t, skipped):
            return
        if now_skipped > skipped:
            scale, good = max(scale * self._backoff, _LEAST), 0
        elif now_t > t:
            good += now_t - t
            if good >= self._interval:
                scale, good = min(scale * self._growth, _MOST), 0
        self._kept = _Kept(scale, good, now_t, now_skipped)

    def __repr__(self) -> str:
        return (
            f"LossScaler(scale={self.scale!r}, growth={self._growth!r}, "
            f"backoff={self._backoff!r}, interval={self._interval!r})"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot as plain values; the optimizer is saved by itself."""
        self._catch_up()
        return {
            **self._kept._asdict(),
            "growth": self._growth,
            "backoff": self._backoff,
            "interval": self._interval,
        }

    def load_state_dict(self, d: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned. All or nothing.

        Raises
        ------
        TypeError, ValueError
            If it is not the state of a loss scaler; nothing has changed.
        """
        loading.take_over(self._prepare_load(d, True))

    def _prepare_load(self, state: Mapping[str, Any], strict: bool) -> loading.Prepared:
        """Check a state for `gradstep.load`, which takes it over with all other parts at once."""
        d = checks.mapping("the state", state)
        expected = {*_Kept._fields, "growth", "backoff", "interval"}
        if set(d) != expected:
            raise ValueError(
                f"the state of a loss scaler has {', '.join(sorted(expected))}, got "
                f"{checks.shown(list(d))}"
            )
        loaded = LossScaler(
            self._optimizer,
            d["scale"],
            growth=d["growth"],
            backoff=d["backoff"],
            interval=d["interval"],
        )
        counts = {name: checks.count(name, d[name]) for name in ("good", "t", "skipped")}
        loaded._kept = loaded._kept._replace(**counts)
        return loading.Prepared(swaps=[(self, "__dict__", loaded.__dict__)])


def _number(name: str, value: object, least: float, most: float) -> float:
    if callable(value) or not _core.is_number(value):
        raise TypeError(f"{name} must be a number, got {checks.shown(value)}")
    number = float(value)  # type: ignore[arg-type]
    if not least <= number <= most:
        raise ValueError(f"{name} must be from {least} to {most}, got {checks.shown(value)}")
    return number
