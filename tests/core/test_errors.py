"""Bad input: the message names the array or argument, and not a byte has changed.

Arrays that turn bad later are in test_changes.py.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

import gradstep as gs

Array = NDArray[Any]


def f32(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def read_only(a: Array) -> Array:
    a.flags.writeable = False
    return a


class Opaque:
    """Has nothing to do with an array."""


# --- parameters -------------------------------------------------------------------------------

PARAMETERS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("number", lambda: 1.0, TypeError, r"parameter 'W' must be a NumPy array .* got float"),
    ("none", lambda: None, TypeError, r"parameter 'W' .* got NoneType; leave it out"),
    ("object", Opaque, TypeError, r"parameter 'W' .* got Opaque"),
    ("string", lambda: "abc", TypeError, r"parameter 'W' .* got str"),
    ("bytes", lambda: b"abcd", TypeError, r"parameter 'W' must be .*, got dtype \|S4"),
    ("scalar", lambda: np.float32(1), TypeError, r"parameter 'W' .* np\.array\(value\)"),
    ("masked", lambda: np.ma.masked_array(f32(3)), TypeError, r"parameter 'W' .* mask would be"),
    (
        "integers",
        lambda: np.ones(3, int),
        TypeError,
        r"parameter 'W' must be .* float64, got dtype int64",
    ),
    (
        "half",
        lambda: np.ones(3, np.float16),
        TypeError,
        r"parameter 'W' must be native .* got dtype float16",
    ),
    (
        "long double",
        lambda: np.ones(3, np.longdouble),
        TypeError,
        r"parameter 'W' must be .* got dtype",
    ),
    (
        "complex",
        lambda: np.ones(3, complex),
        TypeError,
        r"parameter 'W' must be native .* got dtype complex128",
    ),
    (
        "objects",
        lambda: np.ones(3, object),
        TypeError,
        r"parameter 'W' must be native .* got dtype object",
    ),
    (
        "swapped",
        lambda: np.ones(3, ">f4"),
        TypeError,
        r"'W' must be native .* got dtype >f4; .*astype",
    ),
    (
        "swapped double",
        lambda: np.ones(3, ">f8"),
        TypeError,
        r"'W' must be native .* got dtype >f8",
    ),
    (
        "read-only",
        lambda: read_only(f32(3)),
        ValueError,
        r"parameter 'W' must be writable, .* read-only.*copy",
    ),
    (
        "broadcast",
        lambda: np.broadcast_to(f32(1), 3),
        ValueError,
        r"parameter 'W' must be writable",
    ),
    ("stride 0", lambda: as_strided(f32(1), (3,), (0,)), ValueError, r"'W' repeats elements"),
    ("windows", lambda: as_strided(f32(9), (3, 3), (8, 4)), ValueError, r"'W' repeats elements"),
    (
        "half an element in a plane",
        lambda: as_strided(f32(9), (2, 2), (8, 10)),
        ValueError,
        r"parameter 'W' repeats elements.*copy",
    ),
    ("half an element", lambda: as_strided(f32(9), (4,), (2,)), ValueError, r"repeats elements"),
]


@pytest.mark.parametrize(
    ("make", "error", "message"), [r[1:] for r in PARAMETERS], ids=[r[0] for r in PARAMETERS]
)
def test_parameters(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gs.SGD({"W": make()})


def test_odd_strides_that_meet_nowhere_are_accepted() -> None:
    base = np.arange(40, dtype=np.float32)
    w = as_strided(base, (2, 3), (20, 8))  # elements 0 2 4, 5 7 9: interleaved but apart
    gs.SGD(w, lr=1.0).step(np.ones((2, 3), np.float32))
    assert base[:10].tolist() == [-1, 1, 1, 3, 3, 4, 6, 6, 8, 8]


# --- gradients --------------------------------------------------------------------------------

GRADIENTS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("list", lambda: [1.0, 2.0, 3.0], TypeError, r"gradient of 'W' must be .* got list; pass np\.array"),
    ("none", lambda: None, TypeError, r"gradient of 'W' .* got NoneType"),
    ("number", lambda: 0.5, TypeError, r"gradient of 'W' .* got float"),
    ("masked", lambda: np.ma.masked_array(f32(3)), TypeError, r"gradient of 'W' .* mask would be"),
    ("wider", lambda: np.ones(3), TypeError, r"gradient of 'W' must have dtype float32 like its parameter, got float64; .*astype\(np\.float32\)"),
    ("half", lambda: np.ones(3, np.float16), TypeError, r"gradient of 'W' must be native .* got dtype float16"),
    ("swapped", lambda: np.ones(3, ">f4"), TypeError, r"gradient of 'W' must be native .* got dtype >f4"),
    ("integers", lambda: np.ones(3, np.int32), TypeError, r"gradient of 'W' must be native .* got dtype int32"),
    ("short", lambda: f32(2), ValueError, r"gradient of 'W' must have shape \(3,\) .*, got \(2,\); a gradient has the shape of its"),
    ("examples first", lambda: f32(5, 3), ValueError, r"shape \(3,\) .*, got \(5, 3\); if its first axis .* \.mean\(axis=0\)"),
    ("examples last", lambda: f32(3, 5), ValueError, r"shape \(3,\) .*, got \(3, 5\); if its last axis .* \.mean\(axis=-1\)"),
    ("row", lambda: f32(1, 3), ValueError, r"gradient of 'W' must have shape \(3,\) like its parameter, got \(1, 3\)"),
    ("0-d", lambda: f32(), ValueError, r"gradient of 'W' must have shape \(3,\) like its parameter, got \(\)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "error", "message"), [r[1:] for r in GRADIENTS], ids=[r[0] for r in GRADIENTS]
)
@pytest.mark.parametrize("optimizer", [gs.SGD, gs.Adam])
def test_gradients(
    optimizer: type[gs.Optimizer], make: Callable[[], Any], error: type[Exception], message: str
) -> None:
    # The bad one comes last, so that everything before it was already looked at.
    params = {"b": f32(4), "W": f32(3)}
    opt = optimizer(params)
    opt.step({"b": f32(4), "W": f32(3)})
    before = copy.deepcopy((params, opt.state_dict()))
    with pytest.raises(error, match=message):
        opt.step({"b": f32(4), "W": make()})
    np.testing.assert_equal((params, opt.state_dict()), before)


class Sparse:
    """Makes an array of itself, as SciPy's matrices do."""

    def toarray(self) -> Array:
        return f32(3)


class Tensor:
    """A parameter as PyTorch's models hold it."""

    def detach(self) -> Array:
        return f32(3)


class Module:
    """Names its parameters, as PyTorch's models do."""

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        return [("W", Tensor())]


# What is given, what the error says behind its type, and what it comes to when that is followed.
AS_PARAMETERS: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (Sparse(), "keep it dense: make it an array with .toarray() before training", lambda s: s.toarray()),
    (Module(), "pass its arrays: {name: p.detach() for name, p in model.named_parameters()}", lambda m: {name: p.detach() for name, p in m.named_parameters()}),
    (1.5, "a number cannot be updated in place: keep it as np.array(value)", np.array),
    ({"W": f32(3)}.values(), "pass the dict or the list that the arrays are in, or list(...) of it", list),
]  # fmt: skip
AS_GRADIENTS: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (Sparse(), "make it dense with .toarray()", lambda s: s.toarray()),
    (None, "where there is no gradient, pass np.zeros_like(parameter), or leave the parameter out when the optimizer is made", lambda _: np.zeros_like(f32(3))),
    (2, "pass an array of its parameter's shape and dtype, such as np.full_like(parameter, value)", lambda value: np.full_like(f32(3), value)),
    ((1.0, 2.0, 3.0), "pass np.array(..., dtype)", lambda g: np.array(g, np.float32)),
]  # fmt: skip


@pytest.mark.parametrize(("given", "advice", "follow"), AS_PARAMETERS)
def test_advice_on_parameters_works_when_it_is_followed(
    given: Any, advice: str, follow: Callable[[Any], Any]
) -> None:
    with pytest.raises(TypeError, match=f"got {type(given).__name__}; {re.escape(advice)}$"):
        gs.SGD(given)
    gs.SGD(follow(given))


@pytest.mark.parametrize(("given", "advice", "follow"), AS_GRADIENTS)
def test_advice_on_gradients_works_when_it_is_followed(
    given: Any, advice: str, follow: Callable[[Any], Any]
) -> None:
    opt = gs.SGD({"W": f32(3)})
    with pytest.raises(TypeError, match=f"got {type(given).__name__}; {re.escape(advice)}$"):
        opt.step({"W": given})
    opt.step({"W": follow(given)})
    assert opt.t == 1


SHAPES: list[tuple[tuple[int, ...], tuple[int, ...], str, Callable[[Array], Array]]] = [
    ((2, 3), (3, 2), "pass its transpose, .T", lambda g: g.T),
    ((2, 3, 4), (4, 3, 2), "pass its transpose, .T", lambda g: g.T),
    ((3, 1), (3,), "pass .reshape((3, 1))", lambda g: g.reshape((3, 1))),
    ((3,), (1, 3), "pass .reshape((3,))", lambda g: g.reshape((3,))),
    ((1, 3), (3, 1), "pass .reshape((1, 3))", lambda g: g.reshape((1, 3))),
    ((2, 3), (5, 2, 3), "pass .mean(axis=0)", lambda g: g.mean(axis=0)),
    ((2, 3), (2, 3, 5), "pass .mean(axis=-1)", lambda g: g.mean(axis=-1)),
]


@pytest.mark.parametrize(("wanted", "given", "advice", "follow"), SHAPES)
def test_advice_on_a_shape_works_when_it_is_followed(
    wanted: tuple[int, ...],
    given: tuple[int, ...],
    advice: str,
    follow: Callable[[Array], Array],
) -> None:
    opt = gs.SGD({"W": f32(*wanted)})
    with pytest.raises(ValueError, match=re.escape(advice) + "$"):
        opt.step({"W": f32(*given)})
    opt.step({"W": follow(f32(*given))})
    assert opt.t == 1


STRUCTURES: list[tuple[Any, Any, type[Exception], str]] = [
    ({"a": 1, "b": 1}, {"a": 1}, ValueError, r"missing: 'b'.*leading 'd'"),
    ({"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 1}, ValueError, r"^grads must only have the keys 'a', 'b', got 'c', too; leave them out: {key: grads\[key\] for key in \['a', 'b'\]}$"),
    ({"a": 1, "b": 1}, {"da": 1, "b": 1}, ValueError, r"keys 'a', 'b'; missing: 'a'; unexpected: 'da'"),
    ({"a": 1, "b": 1}, {"da": 1, "db": 1, "dz": 1}, ValueError, r"^grads must only have the keys 'da', 'db', got 'dz', too; .* for key in \['da', 'db'\]}$"),
    ({"a": 1}, {"b": 1}, ValueError, r"missing: 'a'; unexpected: 'b'"),
    ({"a": 1, "b": 1}, [1, 1], TypeError, r"grads must be a dict with the keys 'a', 'b', got list"),
    ({"o": {"a": 1}}, {"do": {"a": 1}}, ValueError, r"grads must have the keys 'o'"),
    ({"o": {"a": 1}}, {"o": {"z": 1}}, ValueError, r"grads\['o'\] must have the keys 'a'"),
    ({"o": {"a": 1}}, {"o": 1}, TypeError, r"grads\['o'\] must be a dict .* got ndarray"),
    ([1, 1], [1], ValueError, r"grads must have 2 entries, got 1"),
    ([1, 1], {"0": 1, "1": 1}, TypeError, r"grads must be a list or tuple of 2 entries, got dict"),
    ([1, [1, 1]], [1, [1]], ValueError, r"grads\[1\] must have 2 entries, got 1"),
    (1, [1], TypeError, r"gradient of '0' must be a NumPy array .* got list"),
    ([{"params": [1]}, {"params": [1]}], [[1]], ValueError, r"each of the 2 groups, got 1"),
    ([{"params": [1]}, {"params": [1]}], {"0": [1]}, TypeError, r"one entry for each group, got dict"),
]  # fmt: skip


def arrays(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: arrays(child) for key, child in tree.items()}
    if isinstance(tree, list):
        return [arrays(child) for child in tree]
    return f32(2)


@pytest.mark.parametrize(("params", "grads", "error", "message"), STRUCTURES)
def test_structures(params: Any, grads: Any, error: type[Exception], message: str) -> None:
    opt = gs.SGD(arrays(params))
    with pytest.raises(error, match=message):
        opt.step(arrays(grads))
    assert opt.t == 0


# --- hyperparameters --------------------------------------------------------------------------

HYPERPARAMETERS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (gs.SGD, {"lr": -1.0}, ValueError, r"lr must be finite and >= 0, got -1\.0"),
    (gs.SGD, {"lr": np.nan}, ValueError, r"lr must be finite and >= 0, got nan"),
    (gs.SGD, {"lr": np.inf}, ValueError, r"lr must be finite and >= 0, got inf"),
    (gs.SGD, {"lr": "0.1"}, TypeError, r"lr must be a number or a schedule, got '0\.1'"),
    (gs.SGD, {"lr": None}, TypeError, r"lr must be a number or a schedule, got None"),
    (gs.SGD, {"lr": True}, TypeError, r"lr must be a number or a schedule, got True"),
    (gs.SGD, {"lr": 1 + 2j}, TypeError, r"lr must be a number or a schedule, got \(1\+2j\)"),
    (gs.SGD, {"lr": 10**400}, ValueError, r"lr must be finite and >= 0"),
    (gs.RMSprop, {"momentum": np.array([0.1, 0.2])}, TypeError, r"momentum must be a number"),
    (gs.SGD, {"lr": lambda n: -1.0}, ValueError, r"lr must be finite and >= 0, got -1\.0"),
    (gs.SGD, {"lr": lambda n: "x"}, TypeError, r"lr must be a number"),
    (gs.SGD, {"weight_decay": -0.1}, ValueError, r"weight_decay must be finite and >= 0"),
    (gs.SGD, {"maximize": 1}, TypeError, r"maximize must be True or False, got 1"),
    (gs.Momentum, {"beta": 1.0}, ValueError, r"beta must be >= 0 and < 1, got 1\.0"),
    (gs.Momentum, {"beta": -0.1}, ValueError, r"beta must be >= 0 and < 1"),
    (gs.Momentum, {"dampening": 1.5}, ValueError, r"dampening must be >= 0 and < 1"),
    (gs.Momentum, {"nesterov": "yes"}, TypeError, r"nesterov must be True or False, got 'yes'"),
    (gs.RMSprop, {"eps": -1e-8}, ValueError, r"eps must be finite and >= 0"),
    (gs.RMSprop, {"eps_root": -1e-8}, ValueError, r"eps_root must be finite and >= 0"),
    (gs.RMSprop, {"momentum": 1.0}, ValueError, r"momentum must be >= 0 and < 1"),
    (gs.RMSprop, {"centered": 0}, TypeError, r"centered must be True or False"),
    (gs.Adam, {"betas": (0.9, 1.0)}, ValueError, r"betas\[1\] must be >= 0 and < 1, got 1\.0"),
    (gs.Adam, {"betas": (np.nan, 0.9)}, ValueError, r"betas\[0\] must be >= 0 and < 1, got nan"),
    (gs.Adam, {"betas": 0.9}, ValueError, r"betas must be a pair of numbers or schedules, got 0\.9"),
    (gs.Adam, {"betas": (0.9,)}, ValueError, r"betas must be a pair"),
    (gs.Adam, {"bias_correction": None}, TypeError, r"bias_correction must be True or False"),
    (gs.AdamW, {"weight_decay": np.inf}, ValueError, r"weight_decay must be finite"),
]  # fmt: skip


@pytest.mark.parametrize(("optimizer", "options", "error", "message"), HYPERPARAMETERS)
def test_hyperparameters(
    optimizer: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        optimizer(f32(3), **options)
    # The same when it is assigned later, and then the old value stays.
    opt = optimizer(f32(3))
    [(name, value)] = options.items()
    before = dict(opt.groups[0])
    with pytest.raises(error, match=message):
        opt.groups[0][name] = value
    assert dict(opt.groups[0]) == before
    opt.step(f32(3))


def test_unknown_and_fixed_hyperparameters() -> None:
    with pytest.raises(ValueError, match=r"SGD has no hyperparameter 'beta' \(it has lr, "):
        gs.SGD([{"params": f32(2), "beta": 0.9}])
    opt = gs.Adam(f32(2))
    with pytest.raises(
        ValueError, match=r"no hyperparameter 'beta'; here it is betas=.* \(there are lr, betas"
    ):
        opt.groups[0]["beta"] = 0.5
    with pytest.raises(TypeError, match=r"can be changed but not removed"):
        del opt.groups[0]["lr"]
    with pytest.raises(ValueError, match=r"steps by 'adam', but this would need 'amsgrad'"):
        opt.groups[0]["amsgrad"] = True


@pytest.mark.parametrize("params", [{}, [], (), {"a": {}}, [{"params": []}]])
def test_no_parameters(params: Any) -> None:
    with pytest.raises(ValueError, match="params holds no arrays; pass at least one parameter"):
        gs.SGD(params)


def test_names_that_stand_twice() -> None:
    with pytest.raises(
        ValueError, match=r"names must differ, got 'a\.b' for 2 arrays; rename a key"
    ):
        gs.SGD({"a": {"b": f32(1)}, "a.b": f32(1)})
    with pytest.raises(ValueError, match=r"names must differ, got 'w' for 2 arrays"):
        gs.SGD([{"params": {"w": f32(1)}}, {"params": {"w": f32(1)}}])


def test_a_list_that_mixes_groups_and_parameters() -> None:
    with pytest.raises(ValueError, match=r"entry 1 of params is no group"):
        gs.SGD([{"params": f32(1)}, f32(1)])


# --- functions, averages, threads -------------------------------------------------------------

w, m, v = f32(3), f32(3), f32(3)
FUNCTIONS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: gs.functional.adam(w, w.copy(), m, v, t=0, lr=0.1), ValueError, r"t must be an integer >= 1, got 0"),
    (lambda: gs.functional.adam(w, w.copy(), m, v, t=1.0, lr=0.1), TypeError, r"t must be an integer >= 1, got 1\.0"),  # type: ignore[arg-type]
    (lambda: gs.functional.adam(w, w.copy(), m, v, t=True, lr=0.1), TypeError, r"t must be an integer"),
    (lambda: gs.functional.adam(w, w.copy(), m, v, t=1, lr=0.1, amsgrad=True), ValueError, r"v_max is needed with amsgrad=True"),
    (lambda: gs.functional.adam(w, w.copy(), m, v, t=1, lr=0.1, v_max=f32(3)), ValueError, r"v_max is not used with amsgrad=False"),
    (lambda: gs.functional.adam(w, w.copy(), m, f32(4), t=1, lr=0.1), ValueError, r"state 'v' of 'w' must have shape .*, got \(4,\)"),
    (lambda: gs.functional.adam(w, w.copy(), m, np.ones(3), t=1, lr=0.1), TypeError, r"state 'v' of 'w' must have dtype .*, got float64"),
    (lambda: gs.functional.adam(w, w.copy(), m, read_only(f32(3)), t=1, lr=0.1), ValueError, r"state 'v' of 'w' must be writable"),
    (lambda: gs.functional.rmsprop(w, w.copy(), v, lr=0.1, momentum=0.9), ValueError, r"b is needed with centered=False, momentum=0\.9"),
    (lambda: gs.functional.momentum(w, w.copy(), m, lr=0.1, bias_correction=True), ValueError, r"needs t, the number of this step"),
    (lambda: gs.functional.adagrad(w, w.copy(), v, lr=0.1, lr_decay=0.5), ValueError, r"lr_decay=0\.5 needs t"),
    (lambda: gs.functional.momentum(w, w.copy(), None, lr=0.1), ValueError, r"m is needed"),
    (lambda: gs.functional.sgd([w], w.copy(), lr=0.1), TypeError, r"w is a list, so g must be one too, got ndarray"),
    (lambda: gs.functional.sgd([w], [], lr=0.1), ValueError, r"g must have 1 entries, like w, got 0"),
    (lambda: gs.functional.sgd([w, f32(2)], [f32(3), f32(3)], lr=0.1), ValueError, r"gradient of 'w\[1\]' must have shape"),
    (lambda: gs.functional.sgd(as_strided(w, (2**45,), (0,)), w, lr=0.1), ValueError, r"parameter 'w' repeats elements"),
    (lambda: gs.functional.sgd(w, w.copy(), lr=-1), ValueError, r"lr must be finite"),
    (lambda: gs.functional.ewa(w, f32(4)), ValueError, r"^value for average 'v' must have shape \(3,\) like the average, got \(4,\)"),
    (lambda: gs.functional.ewa(None, f32(3)), TypeError, r"^average 'v' must be a NumPy array"),
    (lambda: gs.functional.ewa([w], w.copy()), TypeError, r"v is a list, so x must be one too"),
    (lambda: gs.functional.ewa(w, w.copy(), beta=1.0), ValueError, r"beta must be >= 0 and < 1"),
    (lambda: gs.EWA(1.0), ValueError, r"beta must be >= 0 and < 1"),
    (lambda: gs.functional.sgd(w, w.copy(), lr=gs.schedules.Constant(0.1)), TypeError, r"lr must be a number here, got a callable.*lr=schedule\(n\)"),
    (lambda: gs.functional.sgd([], [], lr=0.1), ValueError, r"w holds no arrays"),
    (lambda: gs.functional.sgd({}, {}, lr=0.1), ValueError, r"w holds no arrays"),
    (lambda: gs.functional.sgd({"W": w}, {"dW": f32(3), "dz": 1}, lr=0.1), ValueError, r"^g must only have the keys 'dW', got 'dz', too; .* \['dW'\]}$"),
    (lambda: gs.functional.momentum({"W": w}, {"dW": f32(3)}, {"V": m}, lr=0.1), ValueError, r"^m must have the keys 'W'; missing: 'W'; unexpected: 'V'"),
    (lambda: gs.functional.momentum({"W": w}, {"dW": f32(3)}, m, lr=0.1), TypeError, r"^m must be a dict with the keys 'W', got ndarray"),
    (lambda: gs.functional.momentum({"W": w}, {"dW": f32(3)}, {"dW": f32(4)}, lr=0.1), ValueError, r"state 'm' of 'W' must have shape .*, got \(4,\)"),
    (lambda: gs.EWA(lambda n: 0.5), TypeError, r"beta must be a number, got <function"),  # type: ignore[arg-type]
    (lambda: gs.ewa(np.ma.masked_array([1.0, 2.0])), TypeError, r"^values must be .* mask would be ignored"),
    (lambda: gs.ewa([1.0], bias_correction="no"), TypeError, r"bias_correction must be True or False"),  # type: ignore[arg-type]
    (lambda: gs.EWA("x"), TypeError, r"beta must be a number"),  # type: ignore[arg-type]
    (lambda: gs.EWA(bias_correction=1), TypeError, r"bias_correction must be True or False"),  # type: ignore[arg-type]
    (lambda: gs.EWA().update("x"), TypeError, r"^x must be a NumPy array .* got str"),
    (lambda: gs.EWA().update(np.ones(2, complex)), TypeError, r"must be of .*, got complex128"),
    (lambda: gs.EWA().update([]), ValueError, r"x must hold at least one array"),
    (lambda: gs.ewa(1.0), ValueError, r"at least one axis"),
    (lambda: gs.ewa(["x"]), TypeError, r"values must be of .*, got <U1"),
    (lambda: gs.ewa([1.0], beta=2), ValueError, r"beta must be >= 0 and < 1, got 2"),
    (lambda: gs.set_num_threads(0), ValueError, r"number of threads must be an integer >= 1, got 0"),
    (lambda: gs.set_num_threads(2.0), TypeError, r"number of threads must be an integer >= 1, got 2\.0"),  # type: ignore[arg-type]
    (lambda: gs.set_num_threads(True), TypeError, r"number of threads"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), FUNCTIONS)
def test_functions_and_the_rest(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()
    assert w.tolist() == m.tolist() == v.tolist() == [1, 1, 1]
