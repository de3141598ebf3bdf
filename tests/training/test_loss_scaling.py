"""Loss scaling: how the scale moves, and that a step sees unscaled gradients."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import gradstep as gs

GOOD, BAD = np.array([1.0, -2.0], np.float32), np.array([1.0, np.inf], np.float32)


def scaler_over(w: Any, **options: Any) -> gs.LossScaler:
    return gs.LossScaler(gs.SGD(w, lr=0.25, nonfinite="skip"), **options)


@pytest.mark.parametrize(
    ("run", "scales"),
    [
        # "g" is a good step, "b" one that overflows; the scale after each.
        ("ggggggg", [8, 8, 16, 16, 16, 32, 32]),
        ("bbb", [4, 2, 1]),
        ("ggbggg", [8, 8, 4, 4, 4, 8]),
        ("gggb", [8, 8, 16, 8]),
    ],
)
def test_the_scale_moves(run: str, scales: list[float]) -> None:
    w = np.zeros(2, np.float32)
    scaler = scaler_over(w, scale=8.0, interval=3)
    seen = []
    for step in run:
        scaler.step(GOOD if step == "g" else BAD)
        seen.append(scaler.scale)
    assert seen == scales


def test_growth_and_backoff_are_as_given() -> None:
    scaler = scaler_over(np.zeros(2, np.float32), scale=8.0, growth=4.0, backoff=0.25, interval=1)
    scaler.step(GOOD)
    assert scaler.scale == 32.0
    scaler.step(BAD)
    assert scaler.scale == 8.0


def test_the_step_is_that_of_the_unscaled_gradient() -> None:
    w, plain = np.ones(2, np.float32), np.ones(2, np.float32)
    scaler, opt = scaler_over(w, scale=1024.0, interval=2), gs.SGD(plain, lr=0.25)
    for _ in range(5):  # over two changes of the scale
        scaler.step(np.float32(scaler.scale) * GOOD)
        opt.step(GOOD)
    np.testing.assert_array_equal(w, plain)


def test_a_skipped_step_leaves_parameters() -> None:
    w = np.ones(2, np.float32)
    scaler_over(w).step(BAD)
    np.testing.assert_array_equal(w, [1.0, 1.0])


def test_the_scale_stays_where_its_inverse_is_a_number_of_float32() -> None:
    scaler = scaler_over(np.zeros(2, np.float32), scale=2.0**99, interval=1)
    for _ in range(3):
        scaler.step(np.zeros(2, np.float32))
    assert scaler.scale == 2.0**100
    scaler = scaler_over(np.zeros(2, np.float32), scale=2.0**-99)
    for _ in range(3):
        scaler.step(BAD)
    assert scaler.scale == 2.0**-100


@pytest.mark.parametrize(("grads", "scale"), [(GOOD, 16.0), (BAD, 4.0)])
def test_an_interruption_behind_the_step_is_caught_up_with(
    grads: Any, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    opt = gs.SGD(np.zeros(2, np.float32), nonfinite="skip")
    scaler = gs.LossScaler(opt, scale=8.0, interval=1)
    step = opt.step

    def interrupted(grads: Any, scale: float) -> None:
        step(grads, scale)
        monkeypatch.setattr(scaler, "_catch_up", lambda: None)
        raise KeyboardInterrupt

    monkeypatch.setattr(opt, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scaler.step(grads)
    monkeypatch.undo()
    assert scaler.scale == scale


def test_what_is_done_without_the_scaler_does_not_move_it() -> None:
    opt = gs.SGD(np.zeros(2, np.float32), nonfinite="skip")
    scaler = gs.LossScaler(opt, scale=8.0, interval=1)
    for grads in (GOOD, BAD):
        opt.step(grads)
    assert scaler.scale == 8.0
    opt.load_state_dict({**opt.state_dict(), "t": 2500, "skipped": 7})
    assert scaler.scale == 8.0
    scaler.step(GOOD)
    assert scaler.scale == 16.0


def test_an_optimizer_that_no_longer_skips_is_noticed() -> None:
    w = np.zeros(2, np.float32)
    opt = gs.SGD(w, nonfinite="skip")
    scaler = gs.LossScaler(opt)
    opt.nonfinite = "propagate"
    with pytest.raises(
        ValueError,
        match="nonfinite of the optimizer must be 'skip' for loss scaling, got 'propagate'",
    ):
        scaler.step(BAD)
    assert not w.any()


def test_loading_keeps_what_else_an_object_has() -> None:
    class Mine(gs.LossScaler):
        note = 0

    scaler = Mine(gs.SGD(np.zeros(2, np.float32), nonfinite="skip"))
    scaler.note = 3
    scaler.load_state_dict(scaler.state_dict())
    assert scaler.note == 3


@pytest.mark.parametrize("cut", range(7))
def test_a_resumed_run_goes_on_alike(cut: int) -> None:
    run = "ggbgggg"
    scaler = scaler_over(np.zeros(2, np.float32), scale=8.0, interval=2)
    expected = []
    for i, step in enumerate(run):
        if i == cut:
            saved = scaler.state_dict(), scaler._optimizer.state_dict()  # type: ignore[attr-defined]
        scaler.step(GOOD if step == "g" else BAD)
        expected.append(scaler.scale)
    opt = gs.SGD(np.zeros(2, np.float32), nonfinite="skip")
    resumed = gs.LossScaler(opt)
    resumed.load_state_dict(saved[0])
    opt.load_state_dict(saved[1])
    seen = []
    for step in run[cut:]:
        resumed.step(GOOD if step == "g" else BAD)
        seen.append(resumed.scale)
    assert seen == expected[cut:]
    assert repr(resumed) == repr(scaler)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scale": 0.0}, ValueError, "scale must be from .* got 0.0"),
        ({"scale": "8"}, TypeError, "scale must be a number, got '8'"),
        ({"growth": 0.5}, ValueError, "growth must be from 1 to"),
        ({"backoff": 2.0}, ValueError, "backoff must be from .* to 1, got 2.0"),
        ({"backoff": float("nan")}, ValueError, "backoff must be from"),
        ({"interval": 0}, ValueError, "interval must be an integer >= 1, got 0"),
        ({"interval": 2.5}, TypeError, "interval must be an integer"),
    ],
)
def test_bad_numbers(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        scaler_over(np.zeros(2, np.float32), **options)


def test_an_optimizer_that_does_not_skip_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("give it nonfinite='skip'")):
        gs.LossScaler(gs.SGD(np.zeros(2)))
    with pytest.raises(TypeError, match="must be an optimizer of this package, got ndarray"):
        gs.LossScaler(np.zeros(2))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "damage",
    [
        {"scale": -1.0},
        {"good": -1},
        {"growth": "2"},
        {"interval": 0},
        {"good": 0.5},
        {"more": 1},
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(damage: dict[str, Any]) -> None:
    scaler = scaler_over(np.zeros(2, np.float32), scale=8.0)
    before = scaler.state_dict()
    with pytest.raises((TypeError, ValueError)):
        scaler.load_state_dict({**before, "scale": 4.0, **damage})
    assert scaler.state_dict() == before
