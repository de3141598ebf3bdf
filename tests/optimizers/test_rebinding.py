"""Parameters that are replaced behind an optimizer's back, in the container that it was given."""

from __future__ import annotations

import gc
import re
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstep as gs


def ones() -> Any:
    return np.ones((2, 3))


class Mine(UserDict[str, Any]):
    """A mapping that is no dict."""


# What is given, how an entry is replaced, and what the error calls it.
CASES: dict[str, tuple[Callable[[], Any], Callable[[Any], None], str]] = {
    "dict": (lambda: {"W": ones(), "b": ones()}, lambda p: p.update(b=ones()), "params['b']"),
    "removed": (lambda: {"W": ones(), "b": ones()}, lambda p: p.pop("b"), "params['b']"),
    "number": (lambda: {"W": ones()}, lambda p: p.update(W=0.5), "params['W']"),
    "other dtype": (
        lambda: {"W": ones()},
        lambda p: p.update(W=p["W"].astype(np.float32)),
        "params['W']",
    ),
    "halves": (  # of its numbers, in the same places
        lambda: {"W": ones()},
        lambda p: p.update(W=p["W"].view(np.float32)[:, ::2]),
        "params['W']",
    ),
    "transposed": (lambda: {"W": np.ones((2, 2))}, lambda p: p.update(W=p["W"].T), "params['W']"),
    "part": (lambda: {"W": ones()}, lambda p: p.update(W=p["W"][:1]), "params['W']"),
    "list": (lambda: [ones(), ones()], lambda p: p.__setitem__(1, ones()), "params[1]"),
    "shorter": (lambda: [ones(), ones()], lambda p: p.pop(), "params[1]"),
    "nested": (
        lambda: {"l": [{"W": ones()}, ones()]},
        lambda p: p["l"][0].update(W=ones()),
        "params['l'][0]['W']",
    ),
    "inner": (
        lambda: {"l": {"W": ones()}},
        lambda p: p.update(l={"W": ones()}),
        "params['l']['W']",
    ),
    "within a tuple": (
        lambda: (ones(), {"W": ones()}),
        lambda p: p[1].update(W=ones()),
        "params[1]['W']",
    ),
    "ordered": (
        lambda: OrderedDict(W=ones(), b=ones()),
        lambda p: p.update(W=ones()),
        "params['W']",
    ),
    "mapping": (lambda: Mine(W=ones()), lambda p: p.update(W=ones()), "params['W']"),
    "groups": (
        lambda: [{"params": {"W": ones()}}, {"params": [ones()], "lr": 0.1}],
        lambda p: p[1]["params"].__setitem__(0, ones()),
        "params[1]['params'][0]",
    ),
    "a group": (
        lambda: [{"params": ones()}, {"params": ones()}],
        lambda p: p[1].update(params=ones()),
        "params[1]['params']",
    ),
    "another group": (
        lambda: [{"params": ones()}, {"params": ones()}],
        lambda p: p.__setitem__(0, {"params": ones()}),
        "params[0]['params']",
    ),
}


def gradients(params: Any) -> Any:
    """Return gradients of ones in the structure of parameters."""
    if isinstance(params, list) and isinstance(params[0], dict) and "params" in params[0]:
        return [gradients(group["params"]) for group in params]
    if hasattr(params, "items"):
        return {key: gradients(value) for key, value in params.items()}
    if isinstance(params, list | tuple):
        return [gradients(value) for value in params]
    return np.ones_like(params)


@pytest.mark.parametrize("case", CASES)
def test_a_step_that_would_train_an_orphan_is_refused(case: str, tmp_path: Path) -> None:
    make, replace, where = CASES[case]
    params = make()
    grads = gradients(params)
    opt = gs.Adam(params, average=gs.EWA(0.5))
    opt.step(grads)
    before = opt.state_dict()
    replace(params)
    for act in (
        lambda: opt.step(grads),
        opt.state_dict,
        lambda: opt.averaged().__enter__(),
        lambda: gs.save(tmp_path / "run.ckpt", opt=opt),
    ):
        said = rf"^{re.escape(where)} (was replaced by another|must be there).* or make another optimizer over"
        with pytest.raises(ValueError, match=said):
            act()
    assert opt.t == 1
    assert not (tmp_path / "run.ckpt").exists()
    for name, arrays in before["state"].items():
        for key, array in arrays.items():
            assert np.array_equal(opt.state[name][key], array)


def test_what_a_schedule_replaces_is_noticed_by_the_same_step() -> None:
    params = {"W": ones()}
    mine = params["W"]

    def rate(n: int) -> float:
        if n == 1:
            params["W"] = ones()
        return 1.0

    opt = gs.SGD(params, lr=rate)
    opt.step({"W": ones()})
    with pytest.raises(ValueError, match=r"^params\['W'\] was replaced by another array"):
        opt.step({"W": ones()})
    assert np.all(mine == 0)


def test_the_advice_works_when_it_is_followed() -> None:
    params = {"W": ones(), "b": ones()}
    opt = gs.SGD(params, lr=1.0)
    mine = params["W"]
    params["W"] = params["W"] + 0.5  # the line that the message says to change
    with pytest.raises(ValueError, match=r"writes into the array \(params\['W'\]\[\.\.\.\] ="):
        opt.step(gradients(params))
    params["W"] = mine
    params["W"][...] = params["W"] + 0.5
    opt.step(gradients(params))
    assert np.all(params["W"] == 0.5)


def test_another_object_over_the_same_memory_is_as_good() -> None:
    params: dict[str, Any] = {"W": ones()}
    opt = gs.SGD(params, lr=1.0)
    for same in (params["W"][...], params["W"].view(), memoryview(params["W"])):
        params["W"] = same
        opt.step({"W": ones()})
    assert opt.t == 3
    assert np.all(np.asarray(params["W"]) == -2.0)


def test_strides_of_axes_of_length_1_do_not_count() -> None:
    column = np.ones((3, 4))[:, :1]
    params = {"W": column}
    opt = gs.SGD(params, lr=1.0)
    params["W"] = np.lib.stride_tricks.as_strided(column, column.shape, (column.strides[0], 0))
    opt.step({"W": np.ones((3, 1))})
    assert not column.any()


def test_a_look_makes_no_entry() -> None:
    params: Any = defaultdict(ones, W=ones())
    opt = gs.SGD(params)
    del params["W"]
    with pytest.raises(
        ValueError,
        match=r"params\['W'\] must be there, as this optimizer steps it, got nothing; put",
    ):
        opt.step({"W": ones()})
    assert not params


def test_steps_leave_no_garbage() -> None:
    params: dict[str, Any] = {"W": ones()}
    opt = gs.SGD(params)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            params["W"] = params["W"][...]
            opt.step({"W": ones()})
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_other_keys_and_another_order_are_no_obstacle() -> None:
    params = {"W": ones(), "b": ones()}
    opt = gs.SGD(params, lr=1.0)
    params["W"] = params.pop("W")
    params["note"] = ones()
    opt.step({"W": ones(), "b": ones()})
    assert np.all(params["W"] == 0)
    assert np.all(params["note"] == 1)


def test_parameters_by_name_and_added_groups_are_watched() -> None:
    params = {"W": ones(), "b": ones()}
    opt = gs.SGD(gs.by_name(params, {"b": {"lr": 0.1}}), lr=1.0)
    opt.step(gradients(params))
    params["b"] = ones()
    with pytest.raises(ValueError, match=r"params\['b'\] was replaced by another array"):
        opt.step(gradients(params))
    first, second = {"W": ones()}, {"b": ones()}
    opt = gs.SGD(first, lr=1.0)
    opt.add_group({"params": second})
    opt.step([gradients(first), gradients(second)])
    second["b"] = ones()
    with pytest.raises(
        ValueError, match=r"params\[1\]\['params'\]\['b'\] was replaced by another array"
    ):
        opt.step([gradients(first), gradients(second)])


def test_an_accumulator_notices_before_the_last_gradient_is_added() -> None:
    params = {"W": ones()}
    steps = gs.Accumulator(gs.SGD(params), 2)
    steps.step({"W": ones()})
    params["W"] = ones()
    with pytest.raises(ValueError, match=r"params\['W'\] was replaced by another array"):
        steps.step({"W": ones()})
    assert steps.count == 1


def test_what_replaces_a_parameter_is_held_no_longer_than_it_is_there() -> None:
    import weakref

    class Holder:
        pass

    params: dict[str, Any] = {"W": ones()}
    opt = gs.SGD(params)
    params["holder"] = Holder()
    params["holder"].opt = opt
    gone = weakref.ref(params["holder"])
    del params, opt
    gc.collect()
    assert gone() is None
