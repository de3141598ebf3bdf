"""Steps of equal gradients, or of whole numbers: the bits of one process."""

from __future__ import annotations

import copy
import functools
import inspect
import math
from typing import Any

import numpy as np
from pairs import (
    Array,
    Pair,
    Sharded,
    assert_close,
    assert_same,
    assert_same_everywhere,
    copy_tree,
    gradients,
    gradients_in_groups,
    in_groups,
    map_tree,
    model,
    reductions,
    sum_trees,
)
from ranks import check, rank, size

import gradstep as gs
from support.effort import effort
from support.runs import RUNS
from support.teams import shared_out


@check
def every_optimizer_has_the_bits_of_one_process() -> None:
    # With more ranks each job tries fewer, as they share a few cores; all jobs together try all.
    for number in range(size() - 1, len(RUNS), effort(size(), 1)):
        kind, options = RUNS[number]
        for reduce in reductions():
            named = "learning_rate" in inspect.signature(kind).parameters
            rate = "learning_rate" if named else "lr"
            own = {"[bl]*": {rate: gs.schedules.ExponentialDecay(0.1)}} if number % 2 else {}

            def wrap(params: Any, own: Any = own) -> Any:
                return gs.by_name(params, own) if own else params

            around: dict[str, Any] = {}
            if number % 3 == 1:
                around = {"clip_value": 0.5, "nonfinite": "skip"}
            elif number % 3 == 2:
                around["average"] = gs.EWA(0.5, bias_correction=True)
            cosine = gs.schedules.warmup(gs.schedules.Cosine(0.25, steps=6), 3)
            sharded = {
                "reduce": reduce,
                "bucket": (400, 4 << 20)[number % 5 > 1],
                "deterministic": number % 4 == 3,
            }
            pair = Pair(kind, wrap=wrap, sharded=sharded, **{**options, rate: cosine, **around})
            for t in range(effort(3, 8)):
                pair.step(gradients(pair.params, number, t))
            pair.compare(f"{number} {sharded}")


@check
def smallest_buckets() -> None:
    for reduce in reductions():
        pair = Pair(gs.Adam, wrap=in_groups, sharded={"bucket": 8, "reduce": reduce})
        for t in range(effort(1, 3)):
            pair.step(gradients_in_groups(gradients(pair.params, t)))
        pair.compare()


@check
def buckets_of_several_arrays() -> None:
    # So many buckets that several are under way at the same time.
    def make() -> Any:
        return [np.linspace(-1, 1, 14, dtype=np.float32)[:: 1 + i % 2] for i in range(60)]

    arounds: list[dict[str, Any]] = [{}, {"clip_value": 0.5, "nonfinite": "skip"}]
    for around in arounds:
        for deterministic in (False, True):
            sharded = {"bucket": 150, "deterministic": deterministic}
            pair = Pair(gs.AdamW, make, sharded=sharded, **around)
            for t in range(3):
                # Whole numbers, whose sums are exact in any order.
                trees = [map_tree(np.rint, gradients(make(), t, r)) for r in range(size())]
                pair.step(trees[rank()], sum_trees(trees), 1 / size())
            pair.compare(sharded)


@check
def random_models_and_buckets() -> None:
    # Shapes, dtypes, memory orders, strides, buckets and options are drawn at random.
    rng = np.random.default_rng(7)
    for turn in range(effort(30 // size(), 80)):
        shapes = [
            tuple(rng.integers(0 if rng.random() < 0.1 else 1, 9, rng.integers(0, 4)))
            for _ in range(rng.integers(1, 6))
        ]
        kinds = [
            (rng.choice(["f4", "f8"]), rng.permutation(len(s)), rng.integers(3)) for s in shapes
        ]

        def make(shapes: Any = shapes, kinds: Any = kinds, turn: int = turn) -> list[Array]:
            fresh = np.random.default_rng(turn)
            found = []
            for shape, (dtype, order, stride) in zip(shapes, kinds, strict=True):
                full = [n * 2 for n in shape] if stride else list(shape)
                a = np.array(fresh.normal(size=[full[i] for i in order]), dtype)
                a = a.transpose(np.argsort(order))
                if stride:
                    step = slice(None, None, (2, -2)[stride - 1])
                    cut = (..., *[step] * len(shape))
                    a = a[cut]
                found.append(a)
            return found

        sharded = {
            "reduce": str(rng.choice(["mean", "sum"])),
            "deterministic": True,
            "bucket": int(rng.choice([8, 64, 1000, 1 << 20])),
        }
        arounds: list[dict[str, Any]] = [{}, {"nonfinite": "raise"}, {"average": gs.EWA(0.5)}]
        pair = Pair(gs.AdamW, make, sharded=sharded, **arounds[rng.integers(3)])
        for t in range(2):
            trees = [gradients(pair.params, turn, t, r) for r in range(size())]
            pair.opt.step(trees[rank()])
            pair.reference.step(
                sum_trees(trees), 1 / size() if sharded["reduce"] == "mean" else 1.0
            )
        pair.compare((turn, sharded, shapes))


@check
def hyperparameters_that_are_changed() -> None:
    pair = Pair(gs.Momentum, wrap=in_groups, sharded={"reduce": None})
    for t in range(3):
        for opt in (pair.opt, pair.reference):
            opt.groups[t % 2]["lr"] = 0.25 / (t + 1)
            opt.groups[0]["beta"] = 0.5
            if t == 2:
                opt.lr = 0.125
        pair.step(gradients_in_groups(gradients(pair.params, t)))
        pair.compare(t)


@check
def any_number_of_threads() -> None:
    for threads in (1, 3):
        with shared_out(threads):
            pair = Pair(gs.NAdam, sharded={"reduce": None, "bucket": 1000}, average=gs.EWA(0.5))
            for t in range(2):
                pair.step(gradients(pair.params, t))
            pair.compare(threads)


@check
def a_large_model_in_several_buckets() -> None:
    # Parts so large that another thread steps them while this one moves messages on.
    elements = effort(1_400_000, 6_000_001)
    make = functools.partial(large_model, elements)
    arounds: list[dict[str, Any]] = [{}, {"clip_value": 0.5, "nonfinite": "skip"}]
    for around in arounds:
        pair = Pair(gs.Adam, make, sharded={"bucket": 2 << 20}, lr=0.1, **around)
        # Whole numbers, whose sums are exact in any order.
        ramp = {"w": np.rint(np.linspace(-9, 9, elements, dtype=np.float32)), "b": np.arange(9.0)}
        for t in range(2):
            trees = [{name: g * (r + t + 1) for name, g in ramp.items()} for r in range(size())]
            pair.step(trees[rank()], sum_trees(trees), 1 / size())
        assert_same(pair.params, pair.expected)


def large_model(elements: int) -> dict[str, Array]:
    return {"w": np.ones(elements, np.float32), "b": np.ones(9)}


@check
def fewer_elements_than_ranks() -> None:
    for params in (
        [np.ones(1, np.float32)],
        [np.ones(2), np.array(3.0, np.float32)],
        [np.array(2.0)],
        [np.ones((0, 3))],
        [np.ones(0, np.float32), np.ones(4)[::2]],
    ):
        for sharded in ({"reduce": None}, {"reduce": None, "bucket": 8, "deterministic": True}):
            options: dict[str, Any] = {"average": gs.EWA(0.5), "nonfinite": "skip"}
            make = functools.partial(copy.deepcopy, params)
            pair = Pair(gs.Adam, make, sharded=sharded, **options)
            for t in range(2):
                pair.step(gradients(pair.params, t))
                pair.compare(params)
            reduced = Sharded(gs.Adam, make(), max_norm=1.0, **options)
            reduced.step(gradients(make(), rank()))
            reduced.sync()
            reduced.check_synced()
            assert_same_everywhere(repr(reduced.grad_norm))
            with reduced.averaged():
                pass


@check
def memory_in_another_order_on_one_rank() -> None:
    def make() -> Any:
        params = model()
        if rank() == size() - 1:
            params["W"] = np.asfortranarray(params["W"])
            params["fortran"] = params["fortran"].copy(order="C")
            params["layers"][0]["turned"] = params["layers"][0]["turned"].copy()
        return params

    for sharded in ({"reduce": None, "bucket": 300}, {"reduce": None}):
        pair = Pair(gs.AdamW, make, sharded=sharded, average=gs.EWA(0.5))
        for t in range(3):
            pair.step(gradients(model(), t))
        pair.compare()
        pair.opt.check_synced()


@check
def clipping_by_the_norm() -> None:
    for bound in (0.5, 1e9, math.inf, gs.schedules.Linear(0.5, 2.0, steps=3)):
        for reduce in reductions():
            pair = Pair(gs.SGD, sharded={"reduce": reduce, "bucket": 500}, lr=0.1, max_norm=bound)
            for t in range(3):
                pair.step(gradients(pair.params, t))
                assert pair.opt.grad_norm is not None
                assert pair.reference.grad_norm is not None
                assert math.isclose(pair.opt.grad_norm, pair.reference.grad_norm, rel_tol=1e-12)
                assert_same_everywhere(pair.opt.grad_norm)
            assert_close(pair.params, pair.expected, 1e-6)
            pair.opt.check_synced()


@check
def gradients_stay_as_they_are() -> None:
    for around in ({}, {"max_norm": 0.1, "nonfinite": "raise"}):
        for deterministic in (False, True):
            opt = Sharded(gs.Adam, model(), deterministic=deterministic, **around)
            grads = copy_tree(gradients(model(), rank()))
            before = copy_tree(grads)
            opt.step(grads)
            assert_same(grads, before)
