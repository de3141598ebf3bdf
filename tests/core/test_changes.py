"""What changes between two steps, or during one, is seen: the step is right, or refused untouched."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs

Array = NDArray[Any]


def f32(*shape: int) -> Array:
    return np.ones(shape, np.float32)


# --- between steps ------------------------------------------------------------------------------


def test_what_changes_after_construction_is_seen() -> None:
    w, other = f32(6), f32(6)
    opt = gs.Momentum({"w": w, "other": other})
    w.flags.writeable = False
    with pytest.raises(ValueError, match="parameter 'w' must be writable"):
        opt.step({"w": f32(6), "other": f32(6)})
    w.flags.writeable = True
    w.shape = (2, 3)
    for shape in (6,), (2, 3):
        with pytest.raises(
            ValueError, match=r"parameter 'w' must have shape \(6,\) like its state, got \(2, 3\)"
        ):
            opt.step({"w": f32(*shape), "other": f32(6)})
    w.shape = (6,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy discourages what is done here
        w.strides = (0,)
    with pytest.raises(ValueError, match="parameter 'w' repeats elements"):
        opt.step({"w": f32(6), "other": f32(6)})
    assert w.sum() == other.sum() == 6
    assert opt.t == 0


def test_what_looks_the_same_at_first_sight_is_seen_too() -> None:
    # Each changes one thing of an array that was judged good, and leaves its flags as they were.
    base = f32(12)
    w, column, last = f32(6), base[::2], f32(6, 1)
    opt = gs.Momentum({"w": w, "column": column, "last": last})
    grads: dict[str, Any] = {"w": f32(6), "column": f32(6), "last": f32(6, 1)}

    @contextmanager
    def refused(error: type[Exception], message: str) -> Iterator[None]:
        opt.step(grads)  # a step that was refused has the next one judge all anew
        state, bytes_ = opt.state_dict(), [a.tobytes() for a in (w, base, last)]
        with pytest.raises(error, match=message):
            yield
        np.testing.assert_equal(opt.state_dict(), state)
        for a, before in zip((w, base, last), bytes_, strict=True):
            assert before.startswith(a.tobytes())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy discourages what is done here
        with refused(ValueError, "parameter 'column' repeats elements"):
            column.strides = (0,)
            opt.step(grads)
        column.strides = (8,)
        with refused(TypeError, "parameter 'w' must be .* got dtype int32"):
            w.dtype = np.int32  # type: ignore[misc, assignment]
            opt.step({**grads, "w": np.ones(6, np.int32)})
        w.dtype = np.float32  # type: ignore[misc, assignment]
        with refused(ValueError, r"'last' must have shape \(6, 1\) like .*, got \(6,\)"):
            last.shape = (6,)
            opt.step({**grads, "last": f32(6)})
        last.shape = (6, 1)
        with refused(ValueError, r"'w' must have shape \(6,\) like .*, got \(3,\)"):
            w.resize(3, refcheck=False)  # its first half, where it was
            opt.step({**grads, "w": f32(3)})
        w.resize(6, refcheck=False)
    opt.step(grads)
    # Larger and small again: the elements then are elsewhere. What lies behind keeps it from growing
    # in place, and it shrinks in place.
    address, behind = w.ctypes.data, [np.ones_like(w)]
    while w.ctypes.data == address:
        w.resize(2 * w.size, refcheck=False)
        behind.append(np.ones_like(w))
    w.resize(6, refcheck=False)
    assert w.ctypes.data != address
    expected = w - np.float32(0.01) * (np.float32(0.9) * opt.state["w"]["m"] + np.float32(0.1))
    opt.step(grads)
    np.testing.assert_allclose(w, expected, rtol=1e-6)


def test_a_gradient_that_leaves_the_gap_of_the_one_before() -> None:
    # Where there was room before, a gradient may reach into what lies below and above.
    base = f32(60)
    low, high = base[:10], base[40:50]
    opt = gs.SGD({"low": low, "high": high})
    opt.step({"low": base[20:30], "high": base[20:30]})
    for start, met in ((5, "low"), (35, "high"), (0, "low"), (45, "high")):
        with pytest.raises(ValueError, match=f"gradient of 'low' .* parameter '{met}'"):
            opt.step({"low": base[start : start + 10], "high": base[20:30]})
    assert opt.t == 1


def test_every_gradient_is_looked_at_however_many_fitted_before() -> None:
    params = {"a": f32(4), "b": f32(2, 3)}
    opt = gs.Momentum(params, lr=1.0, dampening=0.0)
    grads: dict[str, Any] = {"da": f32(4), "db": f32(2, 3)}
    for _ in range(3):
        opt.step(grads)
    before = {name: w.copy() for name, w in params.items()}
    wrong: list[tuple[Any, type[Exception], str]] = [
        (np.ones((2, 3)), TypeError, "gradient of 'b' must have dtype float32 .*, got float64"),
        (f32(3, 2), ValueError, r"gradient of 'b' must have shape \(2, 3\) .*, got \(3, 2\)"),
        (f32(6), ValueError, r"gradient of 'b' must have shape \(2, 3\) .*, got \(6,\)"),
        (f32(2), ValueError, r"gradient of 'b' must have shape \(2, 3\) .*, got \(2,\)"),
        (f32(2, 3).astype(">f4"), TypeError, "gradient of 'b' must be native .* got dtype >f4"),
        (params["b"], ValueError, "gradient of 'b' shares memory with parameter 'b'"),
        (params["b"][:1], ValueError, r"gradient of 'b' must have shape .*, got \(1, 3\)"),
        (params["b"][::-1], ValueError, "gradient of 'b' shares memory with parameter 'b'"),
        (np.broadcast_to(params["a"][:3], (2, 3)), ValueError, "shares memory with parameter 'a'"),
        (np.ma.masked_array(f32(2, 3)), TypeError, "gradient of 'b'.*mask"),
        ("b", TypeError, "gradient of 'b' must be a NumPy array"),
    ]
    for gradient, error, message in wrong:
        with pytest.raises(error, match=message):
            opt.step({"da": f32(4), "db": gradient})
    assert opt.t == 3
    assert all(np.array_equal(params[name], before[name]) for name in params)
    # What is dense in another order, or not at all, still finds its elements.
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    m = opt.state["b"]["m"].copy()
    for gradient in (np.asfortranarray(values), np.repeat(values, 2, axis=1)[:, ::2]):
        m = np.float32(0.9) * m + values
        before["b"] -= m
        opt.step({"da": f32(4), "db": gradient})
        np.testing.assert_array_equal(params["b"], before["b"])


def test_gradients_come_in_a_dict_with_just_the_keys() -> None:
    class Mine(dict[str, Any]):
        """Not quite a dict: goes the long way, to the same end."""

    opt = gs.SGD({"W": f32(2), "b": f32(3)}, lr=1.0)
    for kind in (dict, Mine):
        right = [("W", "b"), ("dW", "db"), ("db", "dW"), ("b", "W")]
        wrong: list[tuple[str, ...]] = [("W",), ("W", "db"), ("W", "b", "c"), ("dW", "db", "b"), ()]
        for keys in right:
            opt.step(kind({key: f32(2) if "W" in key else f32(3) for key in keys}))
        for others in wrong:
            with pytest.raises(ValueError, match=r"grads must (only )?have the keys 'd?W', 'd?b'"):
                opt.step(kind({key: f32(2) if "W" in key else f32(3) for key in others}))
    assert opt.t == 8
    assert opt.params["W"].tolist() == [-7, -7]


def test_state_cannot_be_taken_away() -> None:
    # What is handed out are windows on memory that stays, whatever is done to them.
    w = f32(4)
    opt = gs.Momentum(w)
    m = opt.state["0"]["m"]
    with pytest.raises(ValueError, match="does not own its data"):
        m.resize(10_000, refcheck=False)
    m.flags.writeable = False
    m.shape = (2, 2)
    opt.step(f32(4))
    assert m.tolist() == [[np.float32(0.1)] * 2] * 2


# --- during a step ------------------------------------------------------------------------------


class Meddler:
    """A gradient that runs code of its own when it is asked for its memory."""

    def __init__(self, held: Array, act: Callable[[], object]) -> None:
        self.held, self.act = held, act

    @property
    def __array_interface__(self) -> dict[str, Any]:
        self.act()
        return self.held.__array_interface__


def test_a_gradient_that_reshapes_a_parameter_is_noticed() -> None:
    a, b = f32(6), f32(6)
    opt = gs.SGD({"a": a, "b": b})
    opt.step({"a": f32(6), "b": Meddler(f32(6), lambda: None)})

    def reshape() -> None:
        a.shape = (2, 3)

    before = a.copy()
    with pytest.raises(
        ValueError, match=r"gradient of 'a' must have shape \(2, 3\) .*, got \(6,\)"
    ):
        opt.step({"a": f32(6), "b": Meddler(f32(6), reshape)})
    assert np.array_equal(a.ravel(), before)


def test_a_step_cannot_be_changed_from_within() -> None:
    opt = gs.AdamW({"a": f32(6), "b": f32(6)}, lr=0.1)

    def decay() -> None:
        opt.groups[0]["weight_decay"] = 0.5

    with pytest.raises(TypeError, match=r"gradient of 'b' .* got Meddler"):
        opt.step({"a": f32(6), "b": Meddler(f32(6), decay)})
    assert opt.groups[0]["weight_decay"] == 0.01

    def rate(n: int) -> float:
        if n == 1:
            opt2.lr = 0.5
        return 0.1

    w = f32(3)
    opt2 = gs.SGD(w, lr=rate)
    opt2.step(f32(3))
    with pytest.raises(RuntimeError, match="stepping or being saved"):
        opt2.step(f32(3))
    assert (opt2.t, w[0]) == (1, np.float32(0.9))


@pytest.mark.parametrize("act", ["state_dict", "load_state_dict", "lr", "groups"])
def test_a_step_cannot_be_saved_or_changed_while_it_is_under_way(act: str) -> None:
    saved = gs.Adam(f32(3)).state_dict()
    acts: dict[str, Callable[[], object]] = {
        "state_dict": lambda: opt.state_dict(),
        "load_state_dict": lambda: opt.load_state_dict(saved),
        "lr": lambda: setattr(opt, "lr", 0.5),
        "groups": lambda: opt.groups[0].update(eps=0.5),
    }

    def rate(n: int) -> float:
        if opt_is_made:
            acts[act]()
        return 0.1

    opt_is_made: list[bool] = []
    opt = gs.Adam(f32(3), lr=rate)
    opt_is_made.append(True)
    with pytest.raises(RuntimeError, match="stepping or being saved"):
        opt.step(f32(3))
    assert opt.t == 0


def test_optimizers_refuse_to_be_copied() -> None:
    opt = gs.Adam(f32(2))
    for act in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="Adam is tied to the memory of its parameters"):
            act(opt)
