"""Whole runs in one file: what is saved comes back to the bit, all of it or nothing."""

from __future__ import annotations

import copy
import io
import itertools
import os
import random
import runpy
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

import gradstep as gs
import gradstep._core as _core
import gradstep.checkpoints.archive as archive
import gradstep.checkpoints.atomic_file as files
import gradstep.checkpoints.background as background
import gradstep.transaction as loading
from gradstep.__main__ import main
from gradstep.checkpoints.parts import pack, part_of
from gradstep.pytree import Structure
from support.effort import FULL, effort, endurance
from support.forged import signed
from support.paths import ROOT
from support.processes import output
from support.runs import ELSEWHERE, RUNS, STEPS, Run, dtypes_of
from support.same import assert_same
from support.teams import shared_out
from support.whole import plain

Array = NDArray[Any]


def ramp(*shape: int, dtype: Any = np.float32) -> Array:
    return (np.arange(np.prod(shape), dtype=dtype) / 8 - 1).reshape(shape)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.ckpt"


class Everything:
    """One part of every kind."""

    def __init__(self, value: float = 0) -> None:
        self.params: dict[str, Any] = {
            "W": ramp(4, 3),
            "l": [ramp(3, dtype="f8"), ramp(2, 6)[:, ::2].T],
        }
        for w in (self.params["W"], *self.params["l"]):
            w += value
        self.opt = gs.Adam(self.params, lr=gs.schedules.Linear(0.5, 0.25, steps=9))
        self.batches = gs.MiniBatches(np.arange(10), batch_size=3, seed=int(value))
        self.average = gs.EWA(0.5)
        self.own = Own()
        if value:
            self.opt.step({"W": ramp(4, 3), "l": [ramp(3, dtype="f8"), ramp(3, 2)]})
            self.running = iter(self.batches)  # held, so that the epoch is under way
            next(self.running)
            self.average.update(self.params)
            self.own.values.append(value)

    def parts(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "opt": self.opt,
            "batches": self.batches,
            "average": self.average,
            "own": self.own,
        }

    def read(self) -> object:
        states = [part.state_dict() for part in [*self.parts().values()][1:]]
        return copy.deepcopy(plain([self.params, states]))


class Own:
    """A user's object with a state, as careless as they come."""

    def __init__(self) -> None:
        self.values: list[Any] = [ramp(3)]
        self.refuses: BaseException | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values}  # no copy

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values.clear()  # at once, and in place
        if self.refuses:
            error, self.refuses = self.refuses, None
            raise error
        self.values += state["values"]


# --- a run goes on --------------------------------------------------------------------------------


def save_run(path: Path, run: Run) -> None:
    gs.save(
        path,
        params=run.params,
        opt=run.opt,
        average=run.average,
        batches=run.batches,
        groups=len(run.opt.groups),
    )


def take_up(path: Path, run: Run) -> None:
    if gs.load(path)["groups"] > len(run.opt.groups):
        assert run.comes_later
        run.opt.add_group(run.comes_later)
    gs.load(path, params=run.params, opt=run.opt, average=run.average, batches=run.batches)


def save_all(folder: Path) -> list[str]:
    """Save every run after some steps, and return how each ended, by the names of the files."""
    ends: dict[str, str] = {}
    for number in range(len(RUNS)):
        for k, dtype in dtypes_of(number):
            run, points = Run(number, dtype), []
            for t in run.steps():
                if (t + number + 3 * k) % effort(8, 1) == 0:
                    points.append(f"{number:03}-{dtype}-{t}")
                    save_run(folder / points[-1], run)
            ends |= dict.fromkeys(points, run.digest())
    return [ends[name] for name in sorted(ends)]


def finish(folder: str) -> None:
    """Take up all runs of a folder, and print how each ended."""
    with shared_out(gs.get_num_threads()):
        for path in sorted(Path(folder).iterdir()):
            number, dtype, _ = path.name.split("-")
            run = Run(int(number), dtype)
            take_up(path, run)
            if run.opt.t < STEPS:
                for _ in run.steps():
                    pass
            print(run.digest())


@endurance
def test_a_run_taken_up_by_another_process(tmp_path: Path) -> None:
    ends = save_all(tmp_path)
    assert len(ends) >= len(RUNS)
    for isa, threads in ELSEWHERE:
        found = output(
            f"from checkpoints.test_checkpoint import finish; finish({str(tmp_path)!r})",
            600,
            GRADSTEP_ISA=isa,
            GRADSTEP_NUM_THREADS=str(threads),
        )
        assert found.split() == ends


@pytest.mark.parametrize(
    "kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"], ids=lambda kind: kind
)
def test_any_generator_of_batches(path: Path, kind: str) -> None:
    def batches(seed: int) -> gs.MiniBatches:
        generator = np.random.Generator(getattr(np.random, kind)(seed))
        return gs.MiniBatches(np.arange(100), batch_size=7, seed=generator)

    first = batches(1)
    epoch = iter(first)
    next(epoch), next(epoch)
    gs.save(path, batches=first)
    second = batches(2)
    gs.load(path, batches=second)
    for one, other in zip([*epoch, *first, *first], [*second, *second, *second], strict=True):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("cut", range(10))
def test_a_run_with_scaled_and_accumulated_gradients(path: Path, cut: int) -> None:
    bad = 5  # the micro-batch of which the gradients overflow

    class Scaled:
        def __init__(self) -> None:
            self.w = ramp(40, 30)
            self.opt = gs.Adam(self.w, max_norm=1.0, nonfinite="skip", average=gs.EWA(0.5))
            self.sums = gs.Accumulator(self.opt, every=3)
            self.scaler = gs.LossScaler(self.sums, scale=8.0, interval=1)
            self.parts: dict[str, Any] = {
                "w": self.w,
                "opt": self.opt,
                "sums": self.sums,
                "scaler": self.scaler,
            }

        def step(self, i: int) -> None:
            g = self.w * np.float32(self.scaler.scale) + np.float32(i)
            self.scaler.step(np.full_like(g, np.inf) if i == bad else g)

        def read(self) -> object:
            states = [part.state_dict() for part in (self.opt, self.sums, self.scaler)]
            return plain([self.w, self.scaler.scale, states])

    run, resumed = Scaled(), Scaled()
    for i in range(10):
        if i == cut:
            gs.save(path, **run.parts)
        run.step(i)
    gs.load(path, **resumed.parts)
    for i in range(cut, 10):
        resumed.step(i)
    assert resumed.read() == run.read()
    assert (run.opt.t, run.opt.skipped, run.sums.count, run.scaler.scale) == (2, 1, 1, 16.0)


# --- every kind of part ---------------------------------------------------------------------------


def test_everything_comes_back(path: Path) -> None:
    saved, other = Everything(1), Everything(2)
    gs.save(path, **saved.parts(), epoch=3, config={"layers": (3, 4), "name": "run"})
    arrays = [other.params["W"], *other.params["l"]]
    loaded = gs.load(path, **other.parts())
    assert other.read() == saved.read()
    assert loaded == {"epoch": 3, "config": {"layers": (3, 4), "name": "run"}}
    assert loaded.missing == loaded.unexpected == []
    # In place: nobody's array was replaced.
    assert all(a is b for a, b in zip(arrays, [other.params["W"], *other.params["l"]], strict=True))
    assert saved.batches.epoch == other.batches.epoch


def test_only_what_is_asked_for(path: Path) -> None:
    saved, other = Everything(1), Everything(2)
    gs.save(path, **saved.parts(), epoch=3)
    before = other.opt.state_dict()
    loaded = gs.load(path, params=other.params, epoch=None)
    np.testing.assert_equal(other.params, saved.params)
    np.testing.assert_equal(other.opt.state_dict(), before)
    assert loaded == {"epoch": 3}
    assert gs.load(path) == {"epoch": 3}


ARRAYS: list[tuple[str, Callable[[], Any]]] = [
    ("alone", lambda: ramp(3)),
    ("0-d", lambda: np.array(3.0)),
    ("empty", lambda: np.zeros((0, 3))),
    ("list", lambda: [ramp(3), ramp(2, 2)]),
    ("tuple", lambda: (ramp(3), [ramp(2)])),
    ("nested", lambda: {"a": {"W": ramp(2), "b": [ramp(1)]}, 3: ramp(4)}),
    ("integers", lambda: {"i": np.arange(3), "b": np.array([True]), "c": np.ones(2, complex)}),
    ("half", lambda: ramp(3).astype(np.float16)),
    ("fortran", lambda: np.asfortranarray(ramp(3, 4))),
    ("strided", lambda: ramp(6, 4)[::2, ::-1]),
    ("odd keys", lambda: {"a/b": ramp(1), "..": ramp(2), "$x": ramp(3), "β": ramp(4), "\ud800": ramp(5)}),
    ("views of memory", lambda: [memoryview(bytearray(8)), ramp(2)]),
    ("with empty parts", lambda: {"a": ramp(2), "none": [], "more": {}}),
]  # fmt: skip


@pytest.mark.parametrize("make", [row[1] for row in ARRAYS], ids=[row[0] for row in ARRAYS])
def test_structures_of_arrays(path: Path, make: Callable[[], Any]) -> None:
    def as_lists(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: as_lists(child) for key, child in value.items()}
        if isinstance(value, list | tuple):
            return [as_lists(child) for child in value]
        return np.asarray(value).tolist()

    gs.save(path, x=make())
    target = make()
    expected = as_lists(target)
    for leaf in Structure(target).flatten(target):
        np.asarray(leaf)[...] = 0
    gs.load(path, x=target)
    assert as_lists(target) == expected
    assert as_lists(gs.load(path, x=None)["x"]) == expected


def test_nothing_around_an_array_is_touched(path: Path) -> None:
    base = np.zeros((6, 6), np.float32)
    gs.save(path, w=ramp(3, 3))
    gs.load(path, w=base[::2, 1::2])
    assert base[::2, 1::2].tolist() == ramp(3, 3).tolist()
    base[::2, 1::2] = 0
    assert not base.any()


def test_other_structures_of_the_same_names(path: Path) -> None:
    gs.save(path, x={"a": {"b": ramp(2)}, "c": [ramp(1)]})
    target = {"c.0": np.zeros(1, "f4"), "a.b": np.zeros(2, "f4")}
    gs.load(path, x=target)
    assert target["a.b"].tolist() == ramp(2).tolist()


def test_a_subclass_that_loads_in_its_own_way(path: Path) -> None:
    class Counting(gs.EWA):
        count = 0

        def state_dict(self) -> dict[str, Any]:
            return {"count": self.count, **super().state_dict()}

        def load_state_dict(self, d: Any) -> None:
            super().load_state_dict(d)
            self.count = d["count"]

    saved = Counting()
    saved.count = 5
    gs.save(path, average=saved)
    other = Counting()
    gs.load(path, average=other)
    assert other.count == 5


def nested(value: object, times: int) -> Any:
    for _ in range(times):
        value = [value]
    return value


# What is saved, and what comes back.
TREES: list[tuple[Any, Any]] = [
    *((value, value) for value in [None, True, 3, 2**200, 0.1, "text", [1, (2, {"a": None})]]),
    *((value, value) for value in [{}, [], {1: 2}, np.float32(0.1), np.int64(3)]),
    (ramp(3), ramp(3)),
    ({"W": ramp(2, 3), "b": ramp(3, dtype=">f8")}, {"W": ramp(2, 3), "b": ramp(3, dtype=">f8")}),
    ([ramp(1), (ramp(2), {3: ramp(4)})], [ramp(1), (ramp(2), {3: ramp(4)})]),
    ({"a": ramp(1), "none": [], "more": {}}, {"a": ramp(1), "none": [], "more": {}}),
    ({"losses": [0.5], "W": ramp(2)}, {"losses": [0.5], "W": ramp(2)}),
    (("MT19937", np.arange(9, dtype="u4"), 3, 0.0), ("MT19937", np.arange(9, dtype="u4"), 3, 0.0)),
    ({1: ramp(1), "1": {None: np.float32(2)}}, {1: ramp(1), "1": {None: np.float32(2)}}),
    ([memoryview(b"ab"), 1], [np.frombuffer(b"ab", "u1"), 1]),
    # Keys and depths that a file cannot hold: the joined names are kept.
    ({b"k": [ramp(1)]}, {"b'k'.0": ramp(1)}),
    (nested(ramp(1), 70), {".".join("0" * 70): ramp(1)}),
]


@pytest.mark.parametrize(("tree", "expected"), TREES)
@pytest.mark.parametrize("save", [gs.save, gs.save_in_background])
def test_a_tree_comes_back_as_it_was_saved(
    path: Path, save: Callable[..., Any], tree: Any, expected: Any
) -> None:
    saving = save(path, x=tree)
    if saving:
        saving.wait()
    assert_same(gs.load(path, x=None)["x"], expected)


def test_what_is_returned_is_the_callers_own(path: Path) -> None:
    gs.save(path, tree=[ramp(4, 3), ([ramp(4, 3).T], 1)], params={"W": ramp(3)})
    loaded = gs.load(path, params=None)
    arrays = [loaded["tree"][0], loaded["tree"][1][0][0], loaded["params"]["W"]]
    for array in arrays:
        assert array.base is None
        assert array.flags.writeable
    assert arrays[1].flags.f_contiguous


def test_which_parts_are_returned(path: Path) -> None:
    """All that needs nothing to load it into, and what None asks for."""
    opt = gs.Adam(ramp(2))
    gs.save(path, params=ramp(2), nested=[ramp(1)], opt=opt, state=opt.state_dict(), epoch=3)
    table: list[tuple[dict[str, Any], set[str]]] = [
        ({}, {"state", "epoch"}),
        ({"epoch": 0, "state": ()}, {"state", "epoch"}),
        ({"params": ramp(2), "opt": opt}, {"state", "epoch"}),
        ({"params": None, "epoch": None}, {"params", "state", "epoch"}),
        ({"opt": None, "nested": None}, {"nested", "opt", "state", "epoch"}),
        ({"state": opt}, {"epoch"}),  # which took it over
    ]
    for given, names in table:
        assert gs.load(path, **given).keys() == names
    np.testing.assert_equal(gs.load(path, opt=None)["opt"], opt.state_dict())


def test_a_missing_part_says_how_to_get_it(path: Path) -> None:
    opt, w = gs.Adam(ramp(2)), ramp(2)
    gs.save(path, params=w, opt=opt, epoch=3)
    loaded = gs.load(path)
    table: list[tuple[gs.Loaded, Any, str]] = [
        (loaded, "params", r"params holds arrays, .* in place: gs\.load\(path, params=params\), or gs\.load\(path, params=None\)"),
        (loaded, "opt", r"opt is the state of an object, .*gs\.load\(path, opt=opt\), or gs\.load\(path, opt=None\)"),
        (gs.load(path, params=w), "params", r"an object to load params into; gs\.load\(path, params=None\) returns it"),
        (loaded, "param", r"the file has no part 'param'; it has epoch, params, opt"),
        (loaded, 3, r"the file has no part 3"),
        (copy.deepcopy(loaded), "opt", r"opt is the state"),
    ]  # fmt: skip
    for found, name, message in table:
        with pytest.raises(KeyError, match=message):
            found[name]
    assert "params" not in loaded
    assert loaded.get("params") is None


def test_random_states_that_are_parts(path: Path) -> None:
    generators = [np.random.Generator(kind(1)) for kind in (np.random.PCG64, np.random.MT19937)]
    old, own = np.random.RandomState(1), random.Random(1)
    states = {f"g{i}": g.bit_generator.state for i, g in enumerate(generators)}
    gs.save(path, old=old.get_state(), own=own.getstate(), **states)
    expected = [[g.random() for g in generators], old.rand(), own.random()]
    loaded = gs.load(path)
    for i, generator in enumerate(generators):
        generator.bit_generator.state = loaded[f"g{i}"]
    old.set_state(loaded["old"])
    own.setstate(loaded["own"])
    assert [[g.random() for g in generators], old.rand(), own.random()] == expected


@pytest.mark.parametrize("by_hand", [False, True])
def test_states_that_were_saved_as_dicts(path: Path, by_hand: bool) -> None:
    """Each goes on with the same bits: loaded by its object, or by hand."""

    def objects(each: Everything) -> dict[str, Any]:
        scaled = gs.SGD(ramp(2), nonfinite="skip")
        return each.parts() | {"scaler": gs.LossScaler(scaled, scale=2.0 ** (each.opt.t + 1))}

    saved, other = Everything(1), Everything()
    here, there = objects(other), objects(saved)
    states = {name: part.state_dict() for name, part in there.items() if name != "params"}
    gs.save(path, params=saved.params, **states)
    if by_hand:
        loaded = gs.load(path, strict=True, params=other.params, **dict.fromkeys(states))
        for name in states:
            here[name].load_state_dict(loaded[name])
    else:
        gs.load(path, **here)
    for each in (saved, other):
        each.opt.step({"W": ramp(4, 3), "l": [ramp(3, dtype="f8"), ramp(3, 2)]})
    assert other.read() == saved.read()
    assert here["scaler"].state_dict() == there["scaler"].state_dict()


@pytest.mark.parametrize("averaged", [False, True])
def test_an_optimizer_of_the_same_parameters_in_another_order(path: Path, averaged: bool) -> None:
    def group(names: str) -> dict[str, Array]:
        return {name: ramp(ord(name) - 96) for name in names}

    def run(first: str, second: str) -> tuple[list[dict[str, Array]], gs.Optimizer]:
        params = [group(first), group(second)]
        groups = [{"params": params[0], "lr": 0.25}, {"params": params[1]}]
        return params, gs.Adam(groups, average=gs.EWA(0.5) if averaged else None)

    (params, opt), (others, other) = run("abc", "yz"), run("cba", "zy")
    opt.step([group("abc"), group("yz")])
    gs.save(path, params=params, opt=opt)
    gs.load(path, params=others, opt=other)
    opt.step([group("abc"), group("yz")])
    other.step([group("abc"), group("yz")])
    np.testing.assert_equal(others, params)
    states = [one.state_dict() for one in (opt, other)]
    for saved in states:
        for each in saved["groups"]:
            each["params"].sort()
    np.testing.assert_equal(states[1], states[0])


TIED: list[tuple[Callable[[Array], Any], Callable[[Array], Any]]] = [
    (lambda a: a, lambda a: a),
    (lambda a: a, lambda a: a[...]),
    (lambda a: a, lambda a: a.T),
    (lambda a: a.T, lambda a: a),
    (lambda a: a[::2], lambda a: a[::2].T),
    (lambda a: a[0, 0, ...], lambda a: a[0, 0, ...]),
]


@pytest.mark.parametrize(("one", "other"), TIED)
def test_tied_arrays(
    path: Path, one: Callable[[Array], Any], other: Callable[[Array], Any]
) -> None:
    def tied(a: Array) -> dict[str, Any]:
        return {"one": one(a), "n": [other(a)]}

    a = ramp(4, 3)
    a[0, 0] = np.nan
    gs.save(path, p=tied(a), q=one(a))
    b = np.zeros_like(a)
    gs.load(path, p=tied(b), q=one(b))
    assert one(b).tobytes() == one(a).tobytes()
    apart = tied(np.zeros_like(a))
    apart["n"] = [apart["n"][0].copy()]
    gs.load(path, p=apart)
    assert apart["n"][0].tobytes() == other(a).tobytes()
    # Two values for one memory.
    gs.save(path, p={"one": one(a), "n": [np.full_like(other(a), 9)]})
    before = b.tobytes()
    with pytest.raises(
        ValueError, match=r"p\.n\.0: the same memory as p\.one here, and the file has other values"
    ):
        gs.load(path, p=tied(b))
    assert b.tobytes() == before


def test_memory(path: Path) -> None:
    params = {"W": np.ones((1024, 1024)), "V": np.ones((1024, 2048), "f4").T}
    size = 2**24
    table: list[tuple[Callable[[], object], int]] = [
        (lambda: gs.save(path, params=params), 0),
        (lambda: gs.save_in_background(path, params=params).wait(), size),
        (lambda: gs.load(path, params=params), size),
        (lambda: gs.load(path, params=None), 2 * size),
        (lambda: gs.inspect(path), size),
    ]
    for call, taken in table:
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < taken + 2**22


@endurance
@pytest.mark.skipif(not FULL, reason="13 GB of disk and memory; nox -s endurance")
def test_more_than_32_bits_can_count(path: Path) -> None:
    """One array of more than 4 GiB, and another behind it."""
    large = np.broadcast_to(np.arange(256, dtype=np.uint8), (2**24 + 1, 256))
    gs.save(path, large=large, small=ramp(3))
    target, small = np.zeros(large.shape, np.uint8), np.zeros(3, np.float32)
    gs.load(path, large=target, small=small)
    assert small.tolist() == ramp(3).tolist()
    assert (target[:: 2**16] == large[0]).all()
    assert (target[-1] == large[0]).all()
    with np.load(path) as arrays:
        assert arrays["small/0"].tolist() == ramp(3).tolist()
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None


# --- what is refused ------------------------------------------------------------------------------


def holds_itself() -> Any:
    inner: list[Any] = []
    inner.append(inner)
    return inner


UNSAVED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, ValueError, r"parts must be at least one, got none; name"),
    ({"strict": 1}, ValueError, r"names of parts must be .*, got 'strict'; rename"),
    ({"a b": 1}, ValueError, r"names of parts must be .*, got 'a b'; rename"),
    ({"": 1}, ValueError, r"names of parts must be .*, got ''; rename"),
    ({"x": {1}}, TypeError, r"x must be None, .*, got set; "),
    ({"x": {"a": b"b"}}, TypeError, r"x\.a must be None, .*, got bytes; "),
    ({"x": [ramp(1), {"a": set()}]}, TypeError, r"x\.1\.a must be None, .*, got set; convert it first"),
    ({"x": np.random.default_rng(0)}, TypeError, r"x must be None, .*, got Generator; save generator\.bit_generator\.state,"),
    ({"x": [np.random.PCG64(0)]}, TypeError, r"x\.0 must be None, .*, got PCG64; save generator\.state,"),
    ({"x": np.random.RandomState(0)}, TypeError, r"x must be None, .*, got RandomState; save generator\.get_state\(\),"),
    ({"x": random.Random(0)}, TypeError, r"x must be None, .*, got Random; save generator\.getstate\(\),"),
    ({"x": [gs.Adam(ramp(1))]}, TypeError, r"x\.0 must be None, .*, got Adam; save its state_dict\(\)"),
    ({"x": np.ones(2, object)}, TypeError, r"x\.0 must have bool, .*, got object"),
    ({"x": np.ma.masked_array([1.0])}, TypeError, r"^x\.0 must .*mask"),
    ({"x": {"1": ramp(1), 1: ramp(1)}}, ValueError, r"x: names must differ, got '1' for 2 arrays"),
    ({"x": holds_itself()}, ValueError, r"x\.0\.0\.0 must be nested at most 64 deep, .* holds itself"),
    ({"x": [ramp(1), holds_itself()]}, ValueError, r"x: .* nested too deeply, or holds itself"),
    ({"x": [ramp(1), 1, holds_itself()]}, ValueError, r"x\.2\.0\.0 must be .* holds itself"),
    ({"x": gs.Adam}, TypeError, r"x must be None, .*, got type; convert it first"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "error", "message"), UNSAVED)
@pytest.mark.parametrize("save", [gs.save, gs.save_in_background])
def test_what_cannot_be_saved(
    path: Path, save: Any, parts: dict[str, Any], error: type[Exception], message: str
) -> None:
    path.write_bytes(b"old")
    with pytest.raises(error, match=message):
        save(path, **parts)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_all_that_does_not_fit_in_one_error(path: Path) -> None:
    gs.save(path, **Everything(1).parts(), epoch=3, w=ramp(2), log={"l": [], "w": ramp(2), "t": 1})
    other = Everything(2)
    w = ramp(2)
    w.flags.writeable = False
    params = {"W": np.ones((3, 4), "f4"), "l": [np.ones(3, "f4")], "new": ramp(5)}
    parts = other.parts() | {
        "params": params,
        "batches": gs.MiniBatches(np.arange(9), batch_size=4, drop_last=True, seed=0),
        "own": {"a": 1},
        "average": params,
        "epoch": other.average,
        "w": w,
        "log": {"l": [], "w": ramp(2), "t": 0},
        "unknown": other.opt,
    }
    before = [other.read(), plain(params), parts["batches"].state_dict()]
    with pytest.raises(ValueError, match="does not fit") as caught:
        gs.load(path, **parts)
    assert str(caught.value).split("\n") == [
        f"{str(path)!r} does not fit, and nothing was loaded:",
        "  params.W: float32(4, 3) in the file, float32(3, 4) here",
        "  params.l.0: float64(3,) in the file, float32(3,) here",
        "  params.new: not in the file, float32(5,) here",
        "  batches: the state must be of m=9, batch_size=4, drop_last=True, "
        + "got m=10, batch_size=3, drop_last=False; "
        + "make this object with the arrays and arguments of the saved one",
        "  average: a state in the file, arrays here; average=None returns it as it was saved",
        "  own: a state in the file, a plain value here; own=None returns it as it was saved",
        "  epoch: a plain value in the file, a state here",
        "  w.0: read-only here",
        "  log: load cannot fill a part that mixes arrays and plain values; "
        + "log=None returns it as it was saved",
        "  unknown: not in the file, which has params, opt, batches, average, own, epoch, w, log",
        "  params.l.1: float32(3, 2) in the file, not here",
    ]
    assert [other.read(), plain(params), parts["batches"].state_dict()] == before


def test_what_fits_where_not_strict(path: Path) -> None:
    saved, other = Everything(1), Everything(2)
    gs.save(path, **saved.parts(), epoch=3, log=[ramp(2), 1])
    params: dict[str, Any] = {"W": np.ones((4, 3), "f4"), "l": [np.ones(3, "f4")]}
    before = other.opt.state_dict()
    loaded = gs.load(
        path,
        strict=False,
        params=params,
        opt=gs.SGD(ramp(3)),
        average=other.average,
        own=other.own,
        unknown=0,
        epoch=[gs.Adam],
        log=ramp(2),
    )
    assert loaded.keys() == {"epoch", "log"}
    assert loaded.missing == [
        "params.l.0: float64(3,) in the file, float32(3,) here",
        "opt: the state is of 'Adam', but this optimizer is SGD",
        "unknown: not in the file, which has params, opt, batches, average, own, epoch, log",
        "epoch: nothing can be loaded into an object of type type; epoch=None returns what was saved",
        "log: arrays and plain values in the file, arrays here; log=None returns it as it was saved",
    ]
    assert loaded.unexpected == [
        "params.l.1: float32(3, 2) in the file, not here",
        "batches: a state in the file, not asked for here",
    ]
    assert params["W"].tolist() == saved.params["W"].tolist()
    assert params["l"][0].tolist() == [1, 1, 1]
    np.testing.assert_equal(other.average.state_dict(), saved.average.state_dict())
    np.testing.assert_equal(other.own.values, saved.own.values)
    np.testing.assert_equal(other.opt.state_dict(), before)


def test_an_optimizer_of_other_parameters_where_not_strict(path: Path) -> None:
    def grads(**sizes: int) -> dict[str, Array]:
        return {name: np.ones(size) for name, size in sizes.items()}

    saved = gs.Adam(grads(W=3, b=2, old=1), lr=0.5, average=gs.EWA(0.5))
    for _ in range(2):
        saved.step(grads(W=3, b=2, old=1))
    gs.save(path, opt=saved)
    opt = gs.Adam(grads(W=3, b=4, new=1), average=gs.EWA(0.25))
    with pytest.raises(ValueError, match="does not fit") as refusal:
        gs.load(path, opt=opt)
    problems = [
        "b.m: float64(2,) in the state, float64(4,) here",
        "b.v: float64(2,) in the state, float64(4,) here",
        "new.m: not in the state, float64(1,) here",
        "new.v: not in the state, float64(1,) here",
        "new.average: not in the state, float64(1,) here",
        "b.average: float64(2,) in the state, float64(4,) here",
        "old.m: float64(1,) in the state, not here",
        "old.v: float64(1,) in the state, not here",
        "old.average: float64(1,) in the state, not here",
    ]
    assert all(problem in str(refusal.value) for problem in problems)
    opt.step(grads(W=3, b=4, new=1))  # although somebody holds the error
    loaded = gs.load(path, strict=False, opt=opt)
    assert {entry.removeprefix("opt: ") for entry in loaded.missing + loaded.unexpected} == {
        *problems
    }
    assert (opt.t, opt.lr) == (2, 0.5)
    np.testing.assert_array_equal(opt.state["W"]["m"], saved.state["W"]["m"])
    assert opt.state["b"]["m"].any()  # its own, of its one step


TARGETS: list[tuple[Callable[[Array], Any], list[str]]] = [
    (lambda a: {"x": a[:3], "y": a[3:6]}, []),
    (lambda a: {"x": a[:6:2], "y": a[1:6:2]}, []),  # bounds meet, and nothing else
    (lambda a: {"x": a[6:3:-1], "y": a[:3]}, []),
    (lambda a: {"x": a[:3], "y": a[:3]}, ["p.y: the same memory as p.x here, and the file has other"]),
    (lambda a: {"x": a[:3], "y": a[:3].view("i4")}, ["p.y: float32(3,) in the file, int32(3,) here"]),
    (lambda a: {"x": a[2:5], "y": a[:3]}, ["p.y: shares memory with p.x here"]),
    (lambda a: {"x": a[4:1:-1], "y": a[:5:2]}, ["p.y: shares memory with p.x here"]),
    (lambda a: {"x": as_strided(a, (3,), (0,)), "y": a[1:4]}, ["p.x: elements of it share memory here"]),
    (lambda a: {"x": a.view("u1")[:13].view()[1:].view("f4"), "y": a[:3]}, ["p.y: shares memory with p.x"]),
]  # fmt: skip


@pytest.mark.parametrize(("make", "problems"), TARGETS)
def test_targets_that_overlap(
    path: Path, make: Callable[[Array], Any], problems: list[str]
) -> None:
    gs.save(path, p={"x": ramp(3), "y": ramp(3) + 9}, other=ramp(3))
    base = np.zeros(9, np.float32)
    targets = make(base)
    if problems:
        with pytest.raises(ValueError, match="does not fit") as caught:
            gs.load(path, p=targets)
        listed = str(caught.value).split("\n  ")[1:]
        assert [entry[: len(p)] for entry, p in zip(listed, problems, strict=True)] == problems
        assert not base.any()
        assert len(gs.load(path, strict=False, p=targets).missing) == len(problems)
    else:
        gs.load(path, p=targets)
    if not problems or "p.y" in problems[0]:
        assert targets["x"].tolist() == ramp(3).tolist()
    with pytest.raises(ValueError, match=r"other\.0: shares memory with p\.y here"):
        gs.load(path, p={"x": np.ones(3, "f4"), "y": base[:3]}, other=base[1:4])


@pytest.mark.parametrize("strides", [*itertools.product([-2, 0, 1, 2, 3, 6], repeat=2)])
def test_what_is_an_array_that_overlaps_itself(strides: tuple[int, int]) -> None:
    for shape in itertools.product(range(4), repeat=2):
        array = as_strided(np.zeros(99, "u1")[50:], shape, strides)
        places = [i * strides[0] + j * strides[1] for i in range(shape[0]) for j in range(shape[1])]
        assert _core.repeats_elements(array) == (len({*places}) < len(places))


def test_many_targets_are_compared_quickly(path: Path) -> None:
    base = np.zeros((20_000, 2), np.float32)
    rows = [*base]
    begin = time.perf_counter()
    assert _core.overlapping(rows) == {}
    assert _core.overlapping([*rows, base[7]]) == {20_000: 7}
    assert time.perf_counter() - begin < 5


def test_one_object_under_two_names(path: Path) -> None:
    saved, other = Everything(1), Everything(2)
    gs.save(path, a=saved.opt, b=saved.opt, c=saved.own, d=saved.own, e=1, f=2)
    before = other.read()
    with pytest.raises(ValueError, match="does not fit") as caught:
        gs.load(path, a=other.opt, b=other.opt, c=other.own, d=other.own, e=None, f=None)
    assert str(caught.value).split("\n")[1:] == [
        "  b: the same object as a; name it once",
        "  d: the same object as c; name it once",
    ]
    assert other.read() == before
    loaded = gs.load(path, strict=False, a=other.opt, b=other.opt)
    assert loaded.missing == ["b: the same object as a; name it once"]
    np.testing.assert_equal(other.opt.state_dict(), saved.opt.state_dict())


class Averaged:
    """An optimizer and the average that it keeps, saved under names of their own."""

    def __init__(self, steps: int = 0) -> None:
        self.w = ramp(3)
        self.average = gs.EWA(0.5)
        self.opt = gs.SGD(self.w, lr=0.5, average=self.average)
        for _ in range(steps):
            self.opt.step(np.ones_like(self.w))


@pytest.mark.parametrize("order", [("opt", "average"), ("average", "opt")])
def test_an_average_that_an_optimizer_keeps(path: Path, order: tuple[str, str]) -> None:
    saved, other = Averaged(3), Averaged(1)
    gs.save(path, **{name: getattr(saved, name) for name in order})
    gs.load(path, **{name: getattr(other, name) for name in order})
    np.testing.assert_equal(other.average.state_dict(), saved.average.state_dict())
    other.opt.step(np.ones(3, "f4"))
    assert other.average.t == 4
    # One that no optimizer keeps takes it over by itself.
    alone = gs.EWA(0.25)
    gs.load(path, average=alone)
    np.testing.assert_equal(alone.state_dict(), saved.average.state_dict())


def test_an_average_without_the_optimizer_that_keeps_it(path: Path) -> None:
    saved, other = Averaged(3), Averaged(1)
    gs.save(path, opt=saved.opt, average=saved.average, w=saved.w)
    before = copy.deepcopy(other.average.state_dict())
    message = (
        "average: an optimizer keeps this average, and restores it; load that optimizer with it"
    )
    besides: list[dict[str, Any]] = [{}, {"opt": Averaged().opt}]
    for opt in besides:
        with pytest.raises(ValueError, match="does not fit") as caught:
            gs.load(path, average=other.average, w=np.zeros(3), **opt)
        assert str(caught.value).split("\n  ")[1:] == [
            "w.0: float32(3,) in the file, float64(3,) here",
            message,
        ]
        loaded = gs.load(path, strict=False, average=other.average, **opt)
        assert loaded.missing == [message]
    np.testing.assert_equal(other.average.state_dict(), before)


def test_a_warning_names_the_line_that_loads(path: Path) -> None:
    opt = gs.SGD(ramp(3), lr=lambda t: 0.5)
    gs.save(path, opt=opt)
    with pytest.warns(UserWarning, match="callable that could not be saved") as caught:
        gs.load(path, opt=opt)
    assert [warning.filename for warning in caught] == [__file__]


# --- files that are none --------------------------------------------------------------------------


def test_every_truncation_and_some_flipped_bits_change_nothing(path: Path) -> None:
    gs.save(path, **Everything(1).parts(), epoch=3)
    data = path.read_bytes()
    other = Everything(2)
    before = other.read()
    lengths = range(0, len(data), effort(29, 1))
    broken = [data[:length] for length in lengths]
    for place in range(0, len(data), effort(29, 1)):
        broken.append(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
    for bad in broken:
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=r"run\.ckpt' is damaged: "):
            gs.load(path, **other.parts())
        with pytest.raises(ValueError, match=r"run\.ckpt' is damaged: "):
            gs.inspect(path)
    assert other.read() == before


DAMAGE: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("average", lambda state: state.pop("t"), r"average: the state must have the keys .*, got none called 't'"),
    ("average", lambda state: state.update(t=-1), r"average: t must be an integer >= 0, got -1"),
    ("batches", lambda state: state.update(position=99), r"batches: position of the state must be .*, got 99"),
    ("batches", lambda state: state["random"].pop("state"), r"batches: random of the state must be a state of PCG64, got a dam"),
    ("opt", lambda state: state.update(t="x"), r"(?s)does not fit.*opt: t must be an integer"),
    ("opt", lambda state: state["state"].pop("W"), r"(?s)does not fit.*opt: the state does not fit: W\.m: not in the state, float32\(4, 3\) here; W\.v: not"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGE)
def test_a_state_that_is_damaged_inside(
    path: Path, name: str, damage: Callable[[dict[str, Any]], Any], message: str
) -> None:
    """Under the right checksum, as only another program could write it."""
    saved, other = Everything(1), Everything(2)
    parts = {part: part_of(part, value) for part, value in saved.parts().items()}
    damage(parts[name].value)
    files.write_whole(path, lambda sink: archive.write(archive.pack(parts, "0"), sink))
    before = other.read()
    with pytest.raises(ValueError, match=message):
        gs.load(path, **other.parts())
    assert other.read() == before


def test_what_is_no_file(tmp_path: Path) -> None:
    for call in (gs.load, gs.inspect):
        with pytest.raises(FileNotFoundError, match="none"):
            call(tmp_path / "none")
        with pytest.raises(IsADirectoryError, match="this is a folder"):
            call(tmp_path)
        with pytest.raises(TypeError):
            call(3)  # type: ignore[arg-type]


# --- objects of the user's own --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "error", "message"),
    [
        (ValueError("too old"), ValueError, r"own does not fit, and nothing was loaded: too old"),
        (KeyError("m"), ValueError, r"own does not fit, and nothing was loaded: 'm'"),
        (TypeError("odd"), ValueError, r"own does not fit, and nothing was loaded: odd"),
        (RuntimeError("busy"), RuntimeError, r"^busy$"),
        (KeyboardInterrupt(), KeyboardInterrupt, r"^$"),
    ],
)
def test_an_object_that_refuses(
    path: Path, refusal: BaseException, error: type[BaseException], message: str
) -> None:
    gs.save(path, before=Own(), **Everything(1).parts())
    other, first = Everything(2), Own()
    first.values = [1, 2, 3]
    before = other.read()
    other.own.refuses = refusal
    with pytest.raises(error, match=message):
        gs.load(path, before=first, **other.parts())
    assert other.read() == before
    assert first.values == [1, 2, 3]


def test_an_object_that_refuses_where_not_strict(path: Path) -> None:
    saved, other = Everything(1), Everything(2)
    gs.save(path, **saved.parts())
    own = copy.deepcopy(other.own.values)
    other.own.refuses = ValueError("too old")
    loaded = gs.load(path, strict=False, **other.parts())
    assert loaded.missing == ["own: too old"]
    np.testing.assert_equal(other.own.values, own)
    np.testing.assert_equal(other.params, saved.params)


def test_own_objects_are_not_asked_where_something_else_does_not_fit(path: Path) -> None:
    class Counting(Own):
        loads = 0

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.loads += 1

    own = Counting()
    gs.save(path, own=own, w=ramp(3))
    with pytest.raises(ValueError, match="does not fit"):
        gs.load(path, own=own, w=ramp(4))
    assert own.loads == 0
    gs.load(path, own=own, w=ramp(3))
    assert own.loads == 1


def test_an_object_that_steps_the_optimizer_it_is_loaded_with(path: Path) -> None:
    w = ramp(3)
    opt = gs.Adam(w)

    class Stepping:
        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            opt.step(np.ones(3, w.dtype))

    gs.save(path, own=Stepping(), opt=opt, other=w)
    other = np.zeros(3, w.dtype)
    with pytest.raises(RuntimeError, match="stepping or being saved"):
        gs.load(path, own=Stepping(), opt=opt, other=other)
    assert not other.any()
    assert opt.t == 2  # its own step, and the one that put it back


def test_what_is_prepared_is_set_with_all_the_rest(path: Path) -> None:
    class Ours:
        value = 0

        def state_dict(self) -> dict[str, Any]:
            return {"value": self.value}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            raise AssertionError

        def _prepare_load(self, state: dict[str, Any], strict: bool) -> loading.Prepared:
            missing, unexpected = ([], []) if strict else (["a: missing"], ["b: more"])
            swaps = [(self, "value", state["value"])]
            return loading.Prepared(swaps=swaps, missing=missing, unexpected=unexpected)

    ours = Ours()
    ours.value = 3
    gs.save(path, ours=ours, w=ramp(2))
    ours.value = 0
    with pytest.raises(ValueError, match="does not fit"):
        gs.load(path, ours=ours, w=ramp(3))
    assert ours.value == 0
    loaded = gs.load(path, strict=False, ours=ours)
    assert ours.value == 3
    assert loaded.missing == ["ours: a: missing"]
    assert loaded.unexpected == ["ours: b: more", "w: arrays in the file, not asked for here"]


# --- in the background ----------------------------------------------------------------------------


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """No save in the background begins to write until this is set."""
    release = threading.Event()
    write = files.write_whole

    def wait(*given: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            assert release.wait(60)
        write(*given)

    monkeypatch.setattr(files, "write_whole", wait)
    yield release
    release.set()
    if background._last_save:
        background._last_save._ended.wait()


def test_what_is_written_is_what_was_there_at_the_call(path: Path, held: threading.Event) -> None:
    saved, same = Everything(1), Everything(1)
    saving = gs.save_in_background(path, **saved.parts(), epoch=[1])
    assert not saving.done
    assert saving.wait(0.01) is False
    assert "under way" in repr(saving)
    saved.opt.step({"W": ramp(4, 3), "l": [ramp(3, dtype="f8"), ramp(3, 2)]})
    saved.average.update(saved.params)
    saved.own.values[0][...] = 9  # in what state_dict gave
    saved.own.values.append(3)
    held.set()
    assert saving.wait()
    assert saving.done
    assert repr(saving) == f"<BackgroundSave {str(path)!r}: done>"
    other = Everything(2)
    gs.load(path, **other.parts())
    assert other.read() == same.read()


def test_a_second_one_waits_for_the_first(path: Path, held: threading.Event) -> None:
    first = gs.save_in_background(path, epoch=1)
    threading.Timer(0.05, held.set).start()
    second = gs.save_in_background(path, epoch=2)
    assert first.done
    assert second.wait()
    assert gs.load(path) == {"epoch": 2}


@pytest.mark.parametrize("linked", [False, True])
def test_an_ordinary_save_to_the_same_path_waits(
    path: Path, held: threading.Event, linked: bool
) -> None:
    other = path
    if linked:
        other = path.parent / "latest"
        other.symlink_to(path)
    saving = gs.save_in_background(path, epoch=1)
    gs.save(path.with_suffix(".other"), epoch=3)  # does not
    assert not saving.done
    threading.Timer(0.05, held.set).start()
    gs.save(other, epoch=2)
    assert saving.wait()
    assert gs.load(path) == {"epoch": 2}


def test_an_ordinary_save_is_told_what_failed_before(path: Path) -> None:
    saving = gs.save_in_background(path / "none", epoch=1)
    saving._ended.wait()
    gs.save(path, epoch=2)  # has nothing to do with it
    with pytest.raises(FileNotFoundError):  # as there was no folder
        gs.save(path / "none", epoch=3)
    with pytest.raises(NotADirectoryError):  # said once: this is its own
        gs.save(path / "none", epoch=3)


def test_a_signal_that_saves_while_a_save_is_begun(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot wait for what its own thread has yet to start."""
    start = background.BackgroundSave._start

    def interrupted(saving: background.BackgroundSave) -> None:
        with pytest.raises(BlockingIOError, match=r"is being begun; wait until it is done: .*run"):
            gs.save(path, epoch=2)
        start(saving)

    monkeypatch.setattr(background.BackgroundSave, "_start", interrupted)
    gs.save_in_background(path, epoch=1).wait()
    assert gs.load(path) == {"epoch": 1}


def test_a_thread_that_cannot_be_started(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start"):
            gs.save_in_background(path, epoch=1)
    gs.save(path, epoch=2)
    gs.save_in_background(path, epoch=3).wait()
    assert gs.load(path) == {"epoch": 3}


@pytest.mark.parametrize("asked", [True, False])
def test_what_fails_in_the_background(
    path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    gs.save(path, epoch=0)
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(5, "I/O error"))
        )
        saving = gs.save_in_background(path, epoch=1)
        saving._ended.wait()
        assert "failed" in repr(saving)
        if asked:
            for _ in range(2):
                with pytest.raises(OSError, match=r"I/O error: .*run\.ckpt"):
                    saving.wait()
    if not asked:
        with pytest.raises(OSError, match=r"I/O error: .*run\.ckpt"):
            gs.save_in_background(path, epoch=2)
    assert gs.load(path) == {"epoch": 0}
    assert os.listdir(path.parent) == [path.name]
    gs.save_in_background(path, epoch=3).wait()  # said once, and by nothing else
    assert gs.load(path) == {"epoch": 3}


def test_the_memory_of_a_failed_save_is_given_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gc
    import weakref

    kept: list[Any] = []

    def noted(*given: Any, **more: Any) -> archive.Packed:
        packed = pack(*given, **more)
        assert packed is not None
        kept.extend(weakref.ref(a) for a in packed.arrays.values())
        return packed

    monkeypatch.setattr(background, "pack", noted)
    saving = gs.save_in_background(path / "none", w=ramp(3))
    with pytest.raises(OSError, match="No such file"):
        saving.wait()
    saving._thread.join()
    gc.collect()
    assert all(reference() is None for reference in kept)
    assert kept


def test_a_relative_path_is_that_of_the_call(
    path: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    saving = gs.save_in_background("run.ckpt", epoch=1)
    monkeypatch.chdir("/")
    held.set()
    assert saving.wait()
    assert gs.load(path) == {"epoch": 1}


def test_the_interpreter_ends_when_all_is_written(path: Path) -> None:
    code = (
        "import sys, numpy as np, gradstep as gs\n"
        "gs.save_in_background(sys.argv[1], w=np.ones(2**20))\n"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)
    w = np.zeros(2**20)
    gs.load(path, w=w)
    assert w.all()


@pytest.mark.parametrize("waits", [False, True])
def test_what_fails_last_is_written_at_the_exit(path: Path, waits: bool) -> None:
    code = (
        "import os, sys, gradstep as gs\n"
        "saving = gs.save_in_background(sys.argv[1] + '/none', epoch=1)\n"
        "try: sys.argv[2] and saving.wait()\n"
        "except OSError: pass\n"
        "if not os.fork(): sys.exit()\n"  # it is not the child's
        "os.wait()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, path, "waits" * waits],
        capture_output=True,
        text=True,
        check=True,
    )
    told = (
        f"gradstep: the save in the background to '{path}/none' has failed, and nobody has waited for "
        f"it: FileNotFoundError: [Errno 2] No such file or directory: '{path}'\n"
    )
    assert done.stderr == ("" if waits else told)


def test_an_exit_without_stderr(path: Path) -> None:
    code = (
        "import sys, gradstep as gs\n"
        "gs.save_in_background(sys.argv[1] + '/none', epoch=1)\n"
        "sys.stderr.close() if sys.argv[2] else setattr(sys, 'stderr', None)\n"
    )
    for how in ("", "closed"):
        subprocess.run([sys.executable, "-c", code, path, how], check=True)


def test_what_is_returned_has_public_names(path: Path) -> None:
    assert type(gs.save_in_background(path, epoch=1)) is gs.BackgroundSave
    gs.save(path, epoch=2)
    assert type(gs.inspect(path)) is gs.Inspection
    assert type(gs.load(path)) is gs.Loaded


def test_a_forked_child_is_told_that_the_save_is_not_its_own(path: Path) -> None:
    code = (
        "import os, sys, threading, warnings, gradstep as gs\n"
        "import gradstep.checkpoints.atomic_file as files\n"
        "warnings.simplefilter('ignore')\n"  # of forks beside threads
        "go, write = threading.Event(), files.write_whole\n"
        "def late(*given):\n"
        "    if os.getpid() == parent: go.wait()\n"
        "    write(*given)\n"
        "parent, files.write_whole = os.getpid(), late\n"
        "saving = gs.save_in_background(sys.argv[1], epoch=1)\n"
        "if not os.fork():\n"
        "    for ask in (saving.wait, lambda: saving.done):\n"
        "        try: ask()\n"
        "        except RuntimeError as error: print(error)\n"
        "    print(saving)\n"
        "    gs.save_in_background(sys.argv[1] + '2', epoch=2).wait()\n"  # and has saves of its own
        "    sys.exit()\n"
        "os.wait(); go.set(); saving.wait()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.count("was begun by a process that this one was forked from") == 2
    assert "of another process>" in done.stdout
    assert gs.load(path) == {"epoch": 1}
    assert gs.load(str(path) + "2") == {"epoch": 2}


# --- killed ---------------------------------------------------------------------------------------

SAVER = """
import os, sys, numpy as np, gradstep as gs
path, kind = sys.argv[1:]
w = np.zeros(30_000)
opt = gs.Adam({"w": w})
for step in range(1, 10**9):
    w[:] = step
    if kind == "save":
        gs.save(path, w=w, opt=opt, step=step)
    else:
        gs.save_in_background(path, w=w, opt=opt, step=step)
    os.write(1, b"%d\\n" % step)
"""


@endurance
@pytest.mark.parametrize("kind", ["save", "in the background"])
def test_a_killed_run_loses_nothing(path: Path, kind: str) -> None:
    delays = np.random.default_rng(0)
    for _ in range(effort(2, 100)):
        saver = subprocess.Popen([sys.executable, "-c", SAVER, path, kind], stdout=subprocess.PIPE)
        assert saver.stdout is not None
        assert saver.stdout.readline()
        assert saver.stdout.readline()  # so that the first is through
        time.sleep(delays.uniform(0, 0.02))
        saver.kill()
        said = saver.stdout.read()
        saver.wait()
        saver.stdout.close()
        last = int(said.split(b"\n")[-2]) if said.count(b"\n") else 2
        w = np.zeros(30_000)
        step = gs.load(path, w=w)["step"]
        assert last - (kind != "save") <= step <= last + 1
        assert (w == step).all()
        assert {*os.listdir(path.parent)} <= {path.name, ".run.ckpt.gradstep-tmp"}


# --- looking into a file --------------------------------------------------------------------------


def test_inspect(path: Path) -> None:
    gs.save(
        path,
        params={"W": ramp(4, 3), "b": [ramp(3)]},
        average=gs.EWA(0.5),
        config={"layers": [3, 4], "name": "\x1b[31m\ud800"},
        text="x" * 100,
        empty={},
        mixed=[1, ramp(1)],
    )
    found = gs.inspect(path)
    assert found.path == str(path)
    assert found.bytes == path.stat().st_size
    assert found.gradstep == gs.__version__
    kinds = {"params": "tree", "average": "state", "config": "plain", "mixed": "tree"}
    assert found.parts == kinds | {"text": "plain", "empty": "plain"}
    assert [tuple(entry) for entry in found.entries] == [
        ("params", "W", "float32", (4, 3), 48, None),
        ("params", "b.0", "float32", (3,), 12, None),
        ("average", "", None, None, 0, {"beta": 0.5, "bias_correction": False, "t": 0, "average": None}),
        ("config", "", None, None, 0, {"layers": [3, 4], "name": "\x1b[31m\ud800"}),
        ("text", "", None, None, 0, "x" * 100),
        ("empty", "", None, None, 0, {}),
        ("mixed", "0", None, None, 0, 1),
        ("mixed", "1", "float32", (1,), 4, None),
    ]  # fmt: skip
    lines = str(found).split("\n")
    assert repr(found) == str(found)
    assert lines[0] == (
        f"{path}: 6 parts, 3 arrays, {found.bytes:,} bytes, by gradstep {gs.__version__}, "
        "checksum right"
    )
    assert [line.split() for line in lines[2:5]] == [
        ["part", "name", "dtype", "shape", "bytes"],
        ["params", "W", "float32", "(4,", "3)", "48"],
        ["params", "b.0", "float32", "(3,)", "12"],
    ]
    assert str(found).isprintable() or "\n" in str(found)
    assert "\x1b" not in str(found)


def test_a_table_does_nothing_to_a_terminal(path: Path) -> None:
    gs.save(path, params={"\x1b[2J\n": ramp(1)}, opt={"\ud800\x07": ramp(1)}, config={"\x9b": "\r"})
    shown = str(gs.inspect(path))
    assert all(line.isprintable() for line in shown.split("\n"))
    assert len(shown.split("\n")) == 6
    assert "\\x1b[2J\\n" in shown


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gradstep", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_the_command_line(path: Path) -> None:
    gs.save(path, params={"β": ramp(3)}, epoch=3)
    shown = command("inspect", path, PYTHONIOENCODING="utf-8")
    assert shown.returncode == 0
    assert shown.stdout == f"{gs.inspect(path)}\n"
    assert "\\u03b2" in command("inspect", path, PYTHONIOENCODING="ascii").stdout
    path.write_bytes(path.read_bytes()[:-1])
    table: list[tuple[list[str | Path], int, str]] = [
        (["inspect", path], 1, f"{str(path)!r} is damaged: it does not end with its checksum"),
        (["inspect", path.parent / "none"], 1, "No such file or directory"),
    ]
    for arguments, code, message in table:
        done = command(*arguments)
        assert done.returncode == code
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert not done.stdout


def test_the_command_line_in_this_process(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gs.save(path, epoch=3)
    assert main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: 1 part, 0 arrays, ")
    assert main(["inspect", "none"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect"], "required: FILE"),
        ([], "required: command"),
        (["else"], "invalid choice: 'else'"),
    ],
)
def test_a_command_that_is_not_there(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


# --- the format, as it is documented --------------------------------------------------------------


@pytest.fixture
def documented(tmp_path: Path) -> Callable[[Path], Any]:
    """The function that docs/checkpoints.md gives to read a file without this package."""
    text = (ROOT / "docs/checkpoints.md").read_text()
    code = text.split("```python\n")[-1].split("```")[0]
    assert "gradstep" not in code.replace("gradstep.json", "")
    (tmp_path / "reader.py").write_text(code)
    return runpy.run_path(str(tmp_path / "reader.py"))["read"]  # type: ignore[no-any-return]


def test_the_documented_reader(path: Path, documented: Callable[[Path], Any]) -> None:
    saved = Everything(1)
    gs.save(path, **saved.parts(), epoch=3, odd={1: (2.5, float("inf")), "$": np.float32(3)})
    parts = documented(path)
    assert parts["epoch"] == 3
    assert parts["odd"] == {1: (2.5, float("inf")), "$": np.float32(3)}
    np.testing.assert_equal(parts["params"]["l"][0], saved.params["l"][0])
    np.testing.assert_equal(parts["opt"], saved.opt.state_dict())
    np.testing.assert_equal(parts["batches"], saved.batches.state_dict())
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        documented(path)


def test_a_checkpoint_of_a_newer_version(path: Path) -> None:
    gs.save(path, epoch=3)
    data = path.read_bytes()
    path.write_bytes(signed(data.replace(b"gradstep checkpoint 1 ", b"gradstep checkpoint 2 ")))
    with pytest.raises(ValueError, match=r"run\.ckpt' was written by a newer gradstep.*upgrade"):
        gs.load(path)


def test_a_file_of_joined_names(path: Path) -> None:
    """As files without the kind "tree" have them: nested arrays are filled, and returned flat."""
    joined = {"a.b": ramp(2), "c.0": ramp(3)}
    parts = {"x": archive.Part("arrays", joined)}
    files.write_whole(path, lambda sink: archive.write(archive.pack(parts, "0"), sink))
    targets = [np.zeros(2, "f4"), np.zeros(3, "f4")]
    gs.load(path, x={"a": {"b": targets[0]}, "c": targets[1:]})
    assert_same(targets, [*joined.values()])
    assert_same(gs.load(path, x=None)["x"], joined)


KINDS: list[tuple[Any, str]] = [
    ({"W": ramp(2), "l.0": ramp(1)}, "arrays"),  # whose joined names say it all
    ({"l": [ramp(1)]}, "tree"),
    ({"W": ramp(2), "none": []}, "tree"),
    ({1: ramp(1)}, "tree"),
    ([ramp(1), 1], "tree"),
    (ramp(1), "tree"),
    ({"none": []}, "plain"),
    (gs.EWA(), "state"),
]


@pytest.mark.parametrize(("part", "kind"), KINDS)
def test_kinds_of_parts(path: Path, part: Any, kind: str) -> None:
    gs.save(path, x=part)
    assert gs.inspect(path).parts == {"x": kind}


def test_numpy_reads_it_as_any_npz(path: Path) -> None:
    gs.save(path, params={"W": ramp(4, 3)})
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        assert arrays["params/W"].tolist() == ramp(4, 3).tolist()
