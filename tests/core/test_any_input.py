"""Any value for any argument: an answer or a clear refusal that changes nothing, never a crash."""

from __future__ import annotations

import copy
import functools
import inspect
import pkgutil
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import gradstep as gs
from gradstep.compat.base import ByLearningRate
from support.anything import (
    CORE_FLAGS,
    CORE_NUMBERS,
    DEEP,
    FUNCTION_OPTIONS,
    FUNCTIONS,
    HOSTILE,
    OPTIMIZERS,
    OTHERS,
    OWN,
    PLAIN,
    RULES,
    STEP_OPTIONS,
    Kind,
    OwnError,
    SpeakingMapping,
    arguments_of,
    arrays_of,
    following,
    over,
    require_clear,
    variants,
)
from support.effort import effort, endurance
from support.paths import ROOT

Array = NDArray[Any]
Given = tuple[Any, bool]  # a value, and whether it behaves


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


def kept(opt: gs.Optimizer) -> object:
    """Return what an optimizer keeps: t, and the bytes of all state."""
    state = {
        (name, key): array.tobytes()
        for name, arrays in opt.state.items()
        for key, array in arrays.items()
    }
    return opt.t, state


# --- optimizers and functions -----------------------------------------------------------------


def try_a_hyperparameter(optimizer: Kind, data: st.DataObject, value: Given, grouped: bool) -> None:
    """Give a value at construction, and to an optimizer that is there."""
    options = data.draw(st.sampled_from(variants(optimizer)))
    name = data.draw(st.sampled_from(arguments_of(optimizer)))
    given = value[0]
    if name == "betas":
        given = [given, (given, 0.9), (0.9, given)][data.draw(st.integers(0, 2))]
    # By the names of the parts, or together with what does not go with it.
    named = "lr|beta|dampening|momentum" if name in ("beta", "betas", "momentum") else name
    if "mask" in name:
        # What a function refuses is told in its own words.
        named, value = "mask", (given, value[1] and not callable(given))
    w = f32(3)

    def make() -> Any:
        if grouped:
            return over(optimizer, [{"params": w, name: given}], **options)
        return over(optimizer, w, **{**options, name: given})

    def assign() -> None:
        opt.groups[0][name] = given

    if not refused(make, value, named):
        opt = make()
        before, state = w.copy(), kept(opt)
        if refused(lambda: opt.step([f32(3)] if grouped else f32(3)), value, named):
            assert (w == before).all()
            assert kept(opt) == state
    before = w.copy()
    opt = over(optimizer, w, **options)
    old = dict(opt.groups[0])
    # What selects other state is refused by the names of the rules.
    if refused(assign, value, f"{named}|keeps other state"):
        assert dict(opt.groups[0]) == old
        assert (w == before).all()
        opt.step(f32(3))
        assert opt.t == 1
    if name in ("lr", "learning_rate"):
        refused(lambda: setattr(opt, "lr", given), value, named)
    refused(lambda: repr(opt), (given, False), "")


@pytest.mark.parametrize("optimizer", OWN)
@many(20, 20_000)
@given(data=st.data(), value=ANYTHING, grouped=st.booleans())
def test_hyperparameters(optimizer: Kind, data: st.DataObject, value: Given, grouped: bool) -> None:
    try_a_hyperparameter(optimizer, data, value, grouped)


@many(200, 200_000)
@given(optimizer=st.sampled_from(OTHERS), data=st.data(), value=ANYTHING, grouped=st.booleans())
def test_hyperparameters_by_the_names_of_others(
    optimizer: Kind, data: st.DataObject, value: Given, grouped: bool
) -> None:
    try_a_hyperparameter(optimizer, data, value, grouped)


@many(50, 100_000)
@given(optimizer=st.sampled_from(OPTIMIZERS), name=st.sampled_from(STEP_OPTIONS), value=ANYTHING)
def test_options_of_a_step(optimizer: Kind, name: str, value: Given) -> None:
    w, good = f32(3), {"max_norm": 2.0, "nonfinite": "skip"}
    known_as = name
    if optimizer.__module__.endswith("keras"):
        del good["max_norm"]
        known_as = {"max_norm": "global_clipnorm", "clip_value": "clipvalue"}.get(name, name)
    refused(lambda: over(optimizer, w, **{known_as: value[0]}), value, known_as)
    opt = over(optimizer, w, **good, average=gs.EWA(0.5))
    opt.step(f32(3))
    before, state = w.copy(), opt.state_dict()
    if name == "average":
        return
    # What is assigned is taken or refused; what is taken may be refused by a step, as schedules are.
    if refused(lambda: setattr(opt, name, value[0]), value, name):
        np.testing.assert_equal(opt.state_dict(), state)
    else:
        refused(lambda: repr(opt), (value[0], False), "")
    taken = kept(opt)
    if refused(lambda: opt.step(f32(3)), value, name):
        assert (w == before).all()
        assert kept(opt) == taken


@many(50, 50_000)
@given(value=ANYTHING, scaled=ANYTHING, double=st.booleans(), nonfinite=st.booleans())
def test_scales_and_gradients(value: Given, scaled: Given, double: bool, nonfinite: bool) -> None:
    w = np.ones(3) if double else f32(3)
    opt = gs.Momentum(w, nonfinite="raise" if nonfinite else "propagate", max_norm=1.0)
    before, taken = w.copy(), kept(opt)
    for grads, scale in ((w.copy(), value), (scaled[0], (1.0, True))):
        behaves = value[1] and scaled[1]
        if refused(
            functools.partial(opt.step, grads, scale[0]), (None, behaves), f"scale|{STRUCTURE}"
        ):
            assert (w == before).all()
            assert kept(opt) == taken
        before, taken = w.copy(), kept(opt)


@many(50, 50_000)
@given(function=st.sampled_from(FUNCTIONS), name=st.sampled_from(FUNCTION_OPTIONS), value=ANYTHING)
def test_options_of_functions(function: Callable[..., None], name: str, value: Given) -> None:
    own = {n: np.ones(1) if n == "mu_product" else f32(3) for n in arrays_of(function)}
    good = {} if function is gs.functional.ewa else {"lr": 0.1}
    if "t" in inspect.signature(function).parameters:
        good["t"] = 1
    if refused(lambda: function(**own, **good, **{name: value[0]}), value, name):
        assert all((array == 1).all() for array in own.values())


def public_optimizers(kind: Kind = gs.Optimizer) -> set[Kind]:
    """Return all that inherit from this one and have a name without an underscore."""
    below = {each for child in kind.__subclasses__() for each in public_optimizers(child)}
    return below if kind.__name__.startswith("_") else below | {kind}


def test_every_function_is_tried() -> None:
    named = {function.__name__ for function in FUNCTIONS}
    assert named == {each.__name__.lower() for each in OWN} | {"ewa"}
    assert all(inspect.isfunction(function) for function in FUNCTIONS)
    # Without scikit-learn's, which is not an optimizer of arrays, and what the peers share.
    peers = {m.name for m in pkgutil.iter_modules(gs.compat.__path__)} - {"sklearn", "base"}
    assert peers == {kind.__module__.rpartition(".")[2] for kind in OTHERS}
    package = {
        each
        for each in public_optimizers()
        if each.__module__.startswith("gradstep.") and each is not ByLearningRate
    }
    # What ranks share has another optimizer inside, which is tried; see rank_checks/.
    assert package - {gs.Optimizer, gs.distributed.Sharded} == set(OPTIMIZERS)
    rules = (ROOT / "cpp/engine/rules.hpp").read_text()
    assert sorted(re.findall(r'ROW\("(\w+)"', rules)) == RULES
    assert re.findall(r"ROW\((\w+), (?:nonnegative|unit_interval)\)", rules) == CORE_NUMBERS
    assert re.findall(r"ROW\((\w+)\)", rules) == CORE_FLAGS
    assert sorted(SCHEDULES) == sorted(
        name for name in gs.schedules.__all__
        if inspect.isclass(getattr(gs.schedules, name)) and name != "Schedule"
    )  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
@many(12, 20_000)
@given(data=st.data(), value=ANYTHING, several=st.booleans(), counted=st.booleans())
def test_functions(
    function: Callable[..., None], data: st.DataObject, value: Given, several: bool, counted: bool
) -> None:
    own = {name: np.ones(1) if name == "mu_product" else f32(3) for name in arrays_of(function)}
    good: dict[str, Any] = {
        name: [array] if several and name != "mu_product" else array for name, array in own.items()
    }
    arguments = inspect.signature(function).parameters
    if "lr" in arguments:
        good["lr"] = 0.1
    if "t" in arguments and (counted or arguments["t"].default is inspect.Parameter.empty):
        good["t"] = 1
    name = data.draw(st.sampled_from(list(arguments)))
    call_with = {**good, name: value[0]}
    named = rf"\b{name}|lr|beta|parameter|gradient|average|state '|needed|array|is a list|entries"
    if refused(lambda: function(**call_with), value, named):
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
    "Scaled": {"unscaled": gs.schedules.Linear(0.1, 0.0, 10), "factor": 0.5},
    "StepDecay": {"lr": 0.1, "factor": 0.5, "every": 3},
    "Warmup": {"after": 0.1, "steps": 5},
}


@pytest.mark.parametrize("kind", SCHEDULES)
@many(10, 10_000)
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
        refused(functools.partial(schedule, n), (n, both), "count|must return a number")


@many(30, 20_000)
@given(data=st.data(), kind=st.sampled_from(sorted(SCHEDULES)), value=ANYTHING, more=ANYTHING)
def test_configurations(data: st.DataObject, kind: str, value: Given, more: Given) -> None:
    config = {"schedule": kind, **SCHEDULES[kind]}
    key = data.draw(st.sampled_from(sorted(config)))
    named = "config|schedule"
    refused(lambda: gs.schedules.from_config({**config, key: value[0]}), value, named)
    refused(lambda: gs.schedules.from_config(more[0]), more, named)
    refused(lambda: gs.schedules.to_config(more[0]), more, "only these are stored")


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


def gradients_for(tree: Any, grouped: bool = True) -> Any:
    """Return ones in the structure of parameters that were accepted, as groups or as they are."""
    if isinstance(tree, np.ndarray):
        return np.ones_like(tree, subok=False)
    if isinstance(tree, dict):
        return {key: gradients_for(child, grouped) for key, child in tree.items()}
    if isinstance(tree, list | tuple):
        return [
            gradients_for(
                child["params"] if grouped and isinstance(child, dict) and "params" in child
                else child,
                grouped,
            )
            for child in tree
        ]  # fmt: skip
    return tree


STRUCTURE = (
    "param|grad|structure|the name|group|hyperparameter|is needed|array|nothing|entr|dict|mapping"
)


@many(50, 100_000)
@given(optimizer=st.sampled_from(OPTIMIZERS), params=TREES, grads=TREES, fitting=st.booleans())
def test_structures(optimizer: Kind, params: Given, grads: Given, fitting: bool) -> None:
    before = [array.tobytes() for array in arrays_in(params[0])]
    opt: Any = None

    def make() -> None:
        nonlocal opt
        opt = over(optimizer, params[0])

    if refused(make, params, STRUCTURE):
        assert [array.tobytes() for array in arrays_in(params[0])] == before
        opt = over(optimizer, params := ({"a": f32(2), "b": [f32(2)]}, True)[0])  # type: ignore[assignment]
        before = [array.tobytes() for array in arrays_in(params)]
        params = (params, True)
    given_grads = gradients_for(opt.params) if fitting else grads[0]
    behaves, state = params[1] and grads[1], kept(opt)
    if refused(lambda: opt.step(given_grads), (given_grads, behaves), STRUCTURE):
        assert [array.tobytes() for array in arrays_in(params[0])] == before
        assert kept(opt) == state
    else:
        assert opt.t == 1
    if fitting and behaves:
        assert opt.t == 1


PATTERNS = st.one_of(st.sampled_from(["*", "a", "a*", "?", "[ab]", "0", "*.*", "[!a]", "["]), KEYS)
# What is said of some parameters, right or wrong.
VALUES: st.SearchStrategy[Given] = st.one_of(
    ANYTHING, st.just(({}, True)), st.just(({"weight_decay": 0.5}, True)),
    ANYTHING.map(lambda value: ({"weight_decay": value[0]}, value[1])),
)  # fmt: skip
OVERRIDES: st.SearchStrategy[Given] = st.one_of(
    ANYTHING,
    *[st.dictionaries(PATTERNS, VALUES, min_size=1, max_size=2).map(
        lambda d: ({key: value for key, (value, _) in d.items()}, all(ok for _, ok in d.values()))
    )] * 3,
)  # fmt: skip
GROUPED = STRUCTURE + "|pattern|overrides|weight_decay|mask"


@many(50, 50_000)
@given(optimizer=st.sampled_from(OPTIMIZERS), params=TREES, overrides=OVERRIDES)
def test_groups_by_name(optimizer: Kind, params: Given, overrides: Given) -> None:
    before = [array.tobytes() for array in arrays_in(params[0])]
    behaves = params[1] and overrides[1]
    made: list[Any] = []

    def make() -> None:
        made.append(over(optimizer, gs.by_name(params[0], overrides[0])))

    if refused(make, (None, behaves), GROUPED):
        assert [array.tobytes() for array in arrays_in(params[0])] == before
        return
    grads, state = gradients_for(params[0], False), kept(made[0])
    if refused(lambda: made[0].step(grads), (None, behaves), GROUPED):
        assert not behaves
        assert [array.tobytes() for array in arrays_in(params[0])] == before
        assert kept(made[0]) == state


@many(50, 50_000)
@given(optimizer=st.sampled_from(OPTIMIZERS), tree=TREES, values=VALUES, bare=ANYTHING)
def test_groups_that_come_later(optimizer: Kind, tree: Given, values: Given, bare: Given) -> None:
    w, g = f32(2), f32(2)
    opt = over(optimizer, {"w": w})
    opt.step({"w": g})
    before = w.copy(), kept(opt), repr(opt), [array.tobytes() for array in arrays_in(tree[0])]

    def add() -> None:
        opt.add_group({**values[0], "params": tree[0]})

    named = GROUPED + "|argument after|keyword"  # in Python's words where it is no mapping
    for act, behaves in ((lambda: opt.add_group(bare[0]), bare[1]), (add, tree[1] and values[1])):
        if refused(act, (None, behaves), named):
            assert (w == before[0]).all()
            assert (kept(opt), repr(opt)) == before[1:3]
            assert [array.tobytes() for array in arrays_in(tree[0])] == before[3]
        else:
            break
    else:
        opt.step({"w": g})  # gradients still come without groups
        return
    assert [group["params"] for group in opt.params][1] is (
        tree[0] if act is add else bare[0]["params"]
    )
    grads, state = gradients_for(opt.params), kept(opt)
    if refused(lambda: opt.step(grads), (None, behaves), STRUCTURE):
        assert not behaves
        assert (w == before[0]).all()
        assert kept(opt) == state


MASKED = [kind for kind in OPTIMIZERS if any("mask" in name for name in arguments_of(kind))]
TRUTHS: st.SearchStrategy[Given] = st.recursive(
    st.one_of(st.booleans().map(lambda truth: (truth, True)), ANYTHING), nested, max_leaves=4
)


@many(30, 50_000)
@given(kind=st.sampled_from(MASKED), params=TREES, mask=TRUTHS, called=st.booleans())
def test_masks(kind: Kind, params: Given, mask: Given, called: bool) -> None:
    name = next(name for name in arguments_of(kind) if "mask" in name)
    before = [array.tobytes() for array in arrays_in(params[0])]
    made: list[Any] = []

    def make() -> None:
        made.append(over(kind, params[0], **{name: (lambda tree: mask[0]) if called else mask[0]}))

    # What a function refuses is told in its own words.
    behaves = params[1] and mask[1] and (called or not callable(mask[0]))
    if refused(make, (None, behaves), GROUPED):
        assert [array.tobytes() for array in arrays_in(params[0])] == before
        return
    grads = gradients_for(params[0], False)
    assert not refused(lambda: made[0].step(grads), params, STRUCTURE) or not params[1]


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
        with pytest.raises(
            ValueError, match="config must be a finite structure, got one that is nested too deeply"
        ):
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


@many(50, 100_000)
@given(
    data=st.data(), optimizer=st.sampled_from(OPTIMIZERS), value=ANYTHING, scheduled=st.booleans(),
    averaged=st.booleans(),
)  # fmt: skip
def test_states_of_optimizers(
    data: st.DataObject, optimizer: Kind, value: Given, scheduled: bool, averaged: bool
) -> None:
    # Under schedules there are products over the steps taken besides.
    options = following(optimizer, gs.schedules.Linear(0.25, 0.5, steps=3)) if scheduled else {}
    w = f32(2)
    average = gs.EWA(0.5, bias_correction=True) if averaged else None
    opt = over(optimizer, {"w": w}, **options, average=average, nonfinite="skip")
    opt.step({"w": f32(2)})
    saved = opt.state_dict()
    damaged = mutated(data, saved, value[0])
    named = "state|group|t must|start|must be|schedule|product|average|"
    named += "|".join(opt.groups[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if refused(lambda: opt.load_state_dict(damaged), value, named):
            np.testing.assert_equal(opt.state_dict(), saved)
    before, state = w.copy(), kept(opt)
    if refused(lambda: opt.step({"w": f32(2)}), value, named):
        assert (w == before).all()
        assert kept(opt) == state


# --- averages, batches, threads ---------------------------------------------------------------


@many(30, 50_000)
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


@many(30, 50_000)
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
    running = iter(batches)
    next(running)
    saved = batches.state_dict()
    damaged = mutated(data, saved, value[0])
    if refused(lambda: batches.load_state_dict(damaged), value, "state|random|order_from"):
        assert batches.state_dict() == saved
    assert sum(len(batch) for batch in batches) <= 6


@many(30, 20_000)
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
    with pytest.raises(OwnError) as caught:  # with a note of which schedule, and at which count
        opt.step(f32(2))
    assert caught.value.args == ("mine",)
    assert (w == before).all()
    assert opt.t == 1
