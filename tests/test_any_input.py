"""Any value for any argument: an answer or a clear refusal that changes nothing, never a crash."""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import gradstep as gs
from anything import DEEP, HOSTILE, PLAIN, OwnError, SpeakingMapping, require_clear
from effort import effort, endurance

Array = NDArray[Any]
Given = tuple[Any, bool]  # a value, and whether it behaves

OPTIMIZERS = [gs.SGD, gs.Momentum, gs.RMSprop, gs.Adam, gs.AdamW]


def many(daily: int, full: int) -> Callable[[Any], Any]:
    """Mark a test as one of endurance that tries so many examples."""

    def decorate(test: Any) -> Any:
        return endurance(settings(max_examples=effort(daily, full), deadline=None)(test))

    return decorate


def made(behaves: bool) -> st.SearchStrategy[Given]:
    return st.sampled_from(PLAIN + DEEP if behaves else HOSTILE).map(lambda make: (make(), behaves))


# Numbers and texts of hypothesis's own choosing besides.
FREE = st.one_of(
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.complex_numbers(),
    st.fractions(),
    st.decimals(),
    st.lists(st.floats(), max_size=3),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
ANYTHING: st.SearchStrategy[Given] = st.one_of(
    made(True), made(True), made(False), FREE.map(lambda value: (value, True))
)


def refused(call: Callable[[], Any], given: Given, named: str) -> bool:
    """Call, and return whether it was refused; the refusal has to be clear."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - any kind is looked at
        require_clear(error, named, given[1])
        return True
    return False


def f32(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def arguments_of(call: Any) -> list[str]:
    return [name for name in inspect.signature(call).parameters if name not in ("params", "d")]


# --- optimizers and functions -----------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@many(40, 20_000)
@given(data=st.data(), value=ANYTHING, grouped=st.booleans())
def test_hyperparameters(optimizer: Any, data: st.DataObject, value: Given, grouped: bool) -> None:
    name = data.draw(st.sampled_from(arguments_of(optimizer)))
    named = "lr|beta|dampening|momentum" if name in ("beta", "betas", "momentum") else name
    w = f32(3)

    def make() -> Any:
        return optimizer(
            [{"params": w, name: value[0]}] if grouped else w,
            **({} if grouped else {name: value[0]}),
        )

    def assign() -> None:
        opt.groups[0][name] = value[0]

    if not refused(make, value, named):
        opt = make()
        before = w.copy()
        if refused(lambda: opt.step([f32(3)] if grouped else f32(3)), value, named):
            assert (w == before).all()
            assert opt.t == 0
    before = w.copy()
    opt = optimizer(w)
    old = dict(opt.groups[0])
    # What selects other state is refused by the names of the rules.
    if refused(assign, value, f"{named}|keeps other state"):
        assert dict(opt.groups[0]) == old
        assert (w == before).all()
        opt.step(f32(3))
        assert opt.t == 1
    if name == "lr":
        refused(lambda: setattr(opt, "lr", value[0]), value, named)
    refused(lambda: repr(opt), (value[0], False), "")


FUNCTIONS = ["sgd", "momentum", "rmsprop", "adam", "adamw", "ewa"]


def test_every_function_is_tried() -> None:
    assert sorted(FUNCTIONS) == sorted(gs.functional.__all__)
    assert sorted(OPTIMIZERS, key=str) == sorted(
        (each for each in vars(gs).values() if inspect.isclass(each) and each is not gs.Optimizer
         and issubclass(each, gs.Optimizer)), key=str,
    )  # fmt: skip
    assert sorted(SCHEDULES) == sorted(
        name for name in gs.schedules.__all__
        if inspect.isclass(getattr(gs.schedules, name)) and name != "Schedule"
    )  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
@many(20, 20_000)
@given(data=st.data(), value=ANYTHING, several=st.booleans())
def test_functions(function: str, data: st.DataObject, value: Given, several: bool) -> None:
    call = getattr(gs.functional, function)
    needed = [
        name
        for name, parameter in inspect.signature(call).parameters.items()
        if parameter.default is inspect.Parameter.empty and name not in ("lr", "t")
    ]
    own = {name: f32(3) for name in needed}
    good: dict[str, Any] = {name: [array] if several else array for name, array in own.items()}
    if "lr" in arguments_of(call):
        good["lr"] = 0.1
    if "t" in arguments_of(call):
        good["t"] = 1
    name = data.draw(st.sampled_from(arguments_of(call)))
    call_with = {**good, name: value[0]}
    named = rf"\b{name}|lr|beta|parameter|gradient|state '|needed|array|is a list|entries"
    if refused(lambda: call(**call_with), value, named):
        assert all((array == 1).all() for array in own.values())


# --- schedules --------------------------------------------------------------------------------

SCHEDULES: dict[str, dict[str, Any]] = {
    "Constant": {"lr": 0.1},
    "Cosine": {"lr": 0.1, "steps": 10},
    "CosineRestarts": {"lr": 0.1, "steps": 10, "factor": 2.0},
    "ExponentialDecay": {"lr": 0.1},
    "InverseSqrtDecay": {"lr": 0.1},
    "InverseTimeDecay": {"lr": 0.1, "decay_rate": 0.5},
    "Joined": {"schedules": (0.1, 0.2), "boundaries": (5,)},
    "Linear": {"start": 0.1, "end": 0.0, "steps": 10},
    "OneCycle": {"lr": 0.1, "steps": 10},
    "Piecewise": {"boundaries": (5,), "values": (0.1, 0.2)},
    "Polynomial": {"start": 0.1, "end": 0.0, "steps": 10, "power": 2.0},
    "StepDecay": {"lr": 0.1, "factor": 0.5, "every": 3},
    "Warmup": {"after": 0.1, "steps": 5},
}


@pytest.mark.parametrize("kind", SCHEDULES)
@many(15, 10_000)
@given(data=st.data(), value=ANYTHING, count=ANYTHING)
def test_schedules(kind: str, data: st.DataObject, value: Given, count: Given) -> None:
    make = getattr(gs.schedules, kind)
    name = data.draw(st.sampled_from(arguments_of(make)))
    arguments = {**SCHEDULES[kind], name: value[0]}
    named = rf"{name}|{kind}"
    if refused(lambda: make(**arguments), value, named):
        schedule = make(**SCHEDULES[kind])
    else:
        schedule = make(**arguments)
        refused(lambda: gs.schedules.from_config(gs.schedules.to_config(schedule)), value, "stored")
    both = value[1] and count[1]
    # An exponential that grows without bound says so.
    for n in (0, 3, 7, 10**9, count[0]):
        refused(
            functools.partial(schedule, n), (n, both), "count|must return a number|range|too large"
        )


@many(50, 20_000)
@given(data=st.data(), kind=st.sampled_from(sorted(SCHEDULES)), value=ANYTHING, more=ANYTHING)
def test_configurations(data: st.DataObject, kind: str, value: Given, more: Given) -> None:
    config = {"schedule": kind, **SCHEDULES[kind]}
    key = data.draw(st.sampled_from(sorted(config)))
    named = "config|schedule|takes the arguments"
    refused(lambda: gs.schedules.from_config({**config, key: value[0]}), value, named)
    refused(lambda: gs.schedules.from_config(more[0]), more, named)
    refused(lambda: gs.schedules.to_config(more[0]), more, "cannot be stored")


# --- structures -------------------------------------------------------------------------------

KEYS = st.one_of(
    st.text(max_size=3),
    st.sampled_from(
        ["a", "b", "da", "params", "\ud800", "x\0y", 0, 1, None, True, 0.5, (1, 2), b"k"]
    ),
    st.floats(),
)
LEAVES = st.one_of(
    st.sampled_from([f32, lambda: f32(2), lambda: np.ones((2, 3))]).map(
        lambda make: (make(), True)
    ),
    ANYTHING,
)


def nested(children: st.SearchStrategy[Given]) -> st.SearchStrategy[Given]:
    def joined(make: Callable[[Any], Any]) -> Callable[[Any], Given]:
        return lambda parts: (make([part for part, _ in parts]), all(ok for _, ok in parts))

    lists = st.lists(children, max_size=3)
    dicts = st.dictionaries(KEYS, children, max_size=3)

    def of_dict(make: Callable[[Any], Any], behaves: bool) -> Callable[[Any], Given]:
        return lambda d: (
            make({key: part for key, (part, _) in d.items()}),
            behaves and all(ok for _, ok in d.values()),
        )

    return st.one_of(
        lists.map(joined(list)),
        lists.map(joined(tuple)),
        dicts.map(of_dict(dict, True)),
        dicts.map(of_dict(lambda d: SpeakingMapping(d, {}), False)),
        dicts.map(of_dict(lambda d: {"params": d, "lr": 0.1}, True)),
    )


TREES: st.SearchStrategy[Given] = st.recursive(LEAVES, nested, max_leaves=6)


def arrays_in(tree: Any, depth: int = 0) -> list[Array]:
    """Return the arrays of a structure, as far as they can be found without asking anybody."""
    if type(tree) is np.ndarray and tree.dtype != object:
        return [tree]
    children = list(tree.values()) if type(tree) is dict else tree
    if type(children) not in (list, tuple) or depth > 5:
        return []
    return [array for child in children for array in arrays_in(child, depth + 1)]


def gradients_for(tree: Any) -> Any:
    """Return ones in the structure of parameters that were accepted."""
    if isinstance(tree, np.ndarray):
        return np.ones_like(tree, subok=False)
    if isinstance(tree, dict):
        return {key: gradients_for(child) for key, child in tree.items()}
    if isinstance(tree, list | tuple):
        return [
            gradients_for(
                child["params"] if isinstance(child, dict) and "params" in child else child
            )
            for child in tree
        ]
    return tree


STRUCTURE = (
    "param|grad|structure|the name|group|hyperparameter|is needed|array|nothing|entr|dict|mapping"
)


@many(100, 100_000)
@given(optimizer=st.sampled_from(OPTIMIZERS), params=TREES, grads=TREES, fitting=st.booleans())
def test_structures(optimizer: Any, params: Given, grads: Given, fitting: bool) -> None:
    before = [array.tobytes() for array in arrays_in(params[0])]
    opt: Any = None

    def make() -> None:
        nonlocal opt
        opt = optimizer(params[0])

    if refused(make, params, STRUCTURE):
        assert [array.tobytes() for array in arrays_in(params[0])] == before
        opt = optimizer(params := ({"a": f32(2), "b": [f32(2)]}, True)[0])  # type: ignore[assignment]
        before = [array.tobytes() for array in arrays_in(params)]
        params = (params, True)
    given_grads = gradients_for(params[0]) if fitting else grads[0]
    behaves = params[1] and grads[1]
    if refused(lambda: opt.step(given_grads), (given_grads, behaves), STRUCTURE):
        assert [array.tobytes() for array in arrays_in(params[0])] == before
        assert opt.t == 0
        assert not any(state.any() for states in opt.state.values() for state in states.values())
    else:
        assert opt.t == 1
    if fitting and behaves:
        assert opt.t == 1


@pytest.mark.parametrize("wrap", [lambda t: [t], lambda t: (t,), lambda t: {"a": t}])
def test_deep_and_cyclic_structures(wrap: Callable[[Any], Any]) -> None:
    deep: Any = f32(2)
    for _ in range(100_000):
        deep = wrap(deep)
    cycle: list[Any] = []
    cycle.append(wrap(cycle))
    for tree in (deep, cycle):
        for make in (gs.SGD, gs.EWA().update):
            with pytest.raises(RecursionError, match="nested too deeply, or holds itself"):
                make(tree)
    # A structure of gradients is only followed as far as the parameters go.
    opt = gs.SGD([f32(2)])
    with pytest.raises((TypeError, ValueError), match="gradient of '0'"):
        opt.step([deep])
    with pytest.raises((TypeError, ValueError), match="gradient of '0'"):
        opt.step(cycle)


def test_deep_and_cyclic_options_and_configurations() -> None:
    deep: Any = 0.1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TypeError, match="centered must be True or False, got an object of type"):
        gs.functional.rmsprop(f32(2), f32(2), f32(2), lr=0.1, centered=deep)
    cycle: list[Any] = []
    cycle.append(cycle)
    itself: dict[str, Any] = {"schedule": "Constant"}
    itself["lr"] = itself
    for config in ({"schedule": "Constant", "lr": value} for value in (deep, cycle, itself)):
        with pytest.raises(ValueError, match="config is nested too deeply, or holds itself"):
            gs.schedules.from_config(config)


class Liar(int):
    """An integer that says it is below nothing."""

    def __lt__(self, other: object) -> bool:
        return False


def test_an_integer_is_what_it_holds() -> None:
    for make in (
        lambda: gs.MiniBatches(np.ones((4, 2)), batch_size=Liar(0)),
        lambda: gs.schedules.Cosine(0.1, steps=Liar(0)),
        lambda: gs.functional.adam(f32(2), f32(2), f32(2), f32(2), t=Liar(0), lr=0.1),
        lambda: gs.set_num_threads(Liar(0)),
    ):
        with pytest.raises(ValueError, match="integer"):
            make()


def mutated(data: st.DataObject, tree: Any, value: Any) -> Any:
    """Return a state with one of its nodes replaced, left out or added."""
    if not isinstance(tree, dict | list) or not tree or data.draw(st.integers(0, 3)) == 0:
        return value
    copied = copy.copy(tree)
    if isinstance(copied, list):
        i = data.draw(st.integers(0, len(copied) - 1))
        copied[i] = mutated(data, copied[i], value)
        return copied
    key = data.draw(st.sampled_from(list(copied)))
    change = data.draw(st.sampled_from(["deeper", "deeper", "drop", "add"]))
    if change == "drop":
        del copied[key]
    elif change == "add":
        copied[data.draw(KEYS)] = value
    else:
        copied[key] = mutated(data, copied[key], value)
    return copied


@many(100, 100_000)
@given(data=st.data(), optimizer=st.sampled_from(OPTIMIZERS), value=ANYTHING)
def test_states_of_optimizers(data: st.DataObject, optimizer: Any, value: Given) -> None:
    w = f32(2)
    opt = optimizer({"w": w})
    opt.step({"w": f32(2)})
    saved = opt.state_dict()
    damaged = mutated(data, saved, value[0])
    named = "state|group|t must|start|lr|beta|eps|weight_decay|dampening|momentum|must be|schedule"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if refused(lambda: opt.load_state_dict(damaged), value, named):
            np.testing.assert_equal(opt.state_dict(), saved)
    before = w.copy(), opt.t
    if refused(lambda: opt.step({"w": f32(2)}), value, named):
        assert (w == before[0]).all()
        assert opt.t == before[1]


# --- averages, batches, threads ---------------------------------------------------------------


@many(50, 50_000)
@given(data=st.data(), value=ANYTHING, tree=TREES)
def test_averages(data: st.DataObject, value: Given, tree: Given) -> None:
    named = r"beta|bias_correction"
    refused(lambda: gs.EWA(value[0]), value, named)
    refused(lambda: gs.EWA(bias_correction=value[0]), value, named)
    refused(lambda: gs.ewa([1.0], value[0]), value, named)
    refused(lambda: gs.ewa([1.0], bias_correction=value[0]), value, named)
    refused(lambda: gs.ewa(value[0]), value, "values|series")
    average = gs.EWA()
    average.update({"a": f32(2)})
    saved = average.state_dict()
    if refused(lambda: average.update(tree[0]), tree, STRUCTURE + "|x"):
        np.testing.assert_equal(average.state_dict(), saved)
    refused(lambda: gs.EWA().update(tree[0]), tree, STRUCTURE + "|x")
    saved = average.state_dict()
    damaged = mutated(data, saved, value[0])
    if refused(
        lambda: average.load_state_dict(damaged), value, f"{STRUCTURE}|{named}|state|t must"
    ):
        np.testing.assert_equal(average.state_dict(), saved)


@many(50, 50_000)
@given(
    data=st.data(),
    name=st.sampled_from([n for n in arguments_of(gs.MiniBatches) if n != "arrays"]),
    value=ANYTHING,
)
def test_batches(data: st.DataObject, name: str, value: Given) -> None:
    X = np.arange(12.0).reshape(6, 2)

    def epoch(*arrays: Any, **options: Any) -> Callable[[], Any]:
        return lambda: list(gs.MiniBatches(*arrays, **options))

    refused(epoch(X, **{"batch_size": 4, name: value[0]}), value, rf"{name}|drop_last|axis|no axis")
    refused(epoch(value[0]), value, "array 0")
    refused(epoch(X, value[0]), value, "array 1")
    batches = gs.MiniBatches(X, batch_size=4, seed=0)
    next(iter(batches))
    saved = batches.state_dict()
    damaged = mutated(data, saved, value[0])
    if refused(lambda: batches.load_state_dict(damaged), value, "state|random|order_from"):
        assert batches.state_dict() == saved
    assert sum(len(batch) for batch in batches) <= 6


@many(50, 20_000)
@given(value=ANYTHING)
def test_threads(value: Given) -> None:
    before = gs.get_num_threads()
    try:
        refused(lambda: gs.set_num_threads(value[0]), value, "number of threads")
    finally:
        gs.set_num_threads(before)


def test_gradients_that_are_made_anew_are_held_until_the_step_is_over() -> None:
    class Anew(list[Any]):
        def __getitem__(self, i: Any) -> Any:
            return np.full(2, float(i + 1))

    w = [np.zeros(2) for _ in range(5)]
    gs.functional.sgd(w, Anew([0] * 5), lr=1.0)
    assert [array.tolist() for array in w] == [[-i, -i] for i in (1.0, 2.0, 3.0, 4.0, 5.0)]


def test_what_the_users_object_raises_passes_unchanged() -> None:
    class Hostile:
        def __float__(self) -> float:
            raise OwnError("mine")

    def schedule(n: int) -> float:
        if n > 0:
            raise OwnError("mine")
        return 0.1

    w = f32(2)
    with pytest.raises(OwnError, match=r"^mine$"):
        gs.SGD(w, lr=Hostile())  # type: ignore[arg-type]
    opt = gs.SGD(w, lr=schedule)
    opt.step(f32(2))
    before = w.copy()
    with pytest.raises(OwnError, match=r"^mine$"):
        opt.step(f32(2))
    assert (w == before).all()
    assert opt.t == 1
