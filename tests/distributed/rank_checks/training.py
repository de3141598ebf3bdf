"""Training: batches in parts, and what stands around an optimizer."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from pairs import (
    Array,
    Pair,
    Sharded,
    assert_close,
    assert_same,
    assert_same_everywhere,
    gradients,
    map_tree,
    shared_folder,
    sum_trees,
)
from ranks import check, rank, size, world

import gradstep as gs
from support.paths import ROOT


@check
def an_accumulator_around_it() -> None:
    pair = Pair(gs.Momentum, sharded={"deterministic": True}, lr=0.1)
    steps = gs.Accumulator(pair.opt, every=3)
    reference = gs.Accumulator(pair.reference, every=3)
    for t in range(6):
        # Whole numbers, whose sums are exact in any order.
        trees = [map_tree(np.rint, gradients(pair.params, t, r)) for r in range(size())]
        steps.step(trees[rank()])
        reference.step(sum_trees(trees), 1 / size())
        assert pair.opt.t == (t + 1) // 3
    for there in (2, 0):
        for t in range(there):
            trees = [map_tree(np.rint, gradients(pair.params, t, r)) for r in range(size())]
            steps.step(trees[rank()])
            reference.step(sum_trees(trees), 1 / size())
        assert steps.flush() == reference.flush() == (there > 0)
    assert pair.opt.t == 3
    assert_close(pair.params, pair.expected, 1e-6)
    pair.opt.check_synced()


@check
def a_loss_scaler_around_it() -> None:
    opt = Sharded(gs.SGD, {"w": np.ones(7, np.float32)}, lr=1.0, nonfinite="skip")
    scaler = gs.LossScaler(opt, scale=2.0**10)
    scales = []
    for t in range(4):
        scales.append(scaler.scale)
        grads = np.full(7, scaler.scale, np.float32)
        if t == 1 and rank() == size() - 1:
            grads[2] = np.inf
        scaler.step({"w": grads}, count=rank() + 1)
    assert scales[2] < scales[0] == scales[1]
    assert_same_everywhere(scales)
    assert opt.skipped == 1
    np.testing.assert_array_equal(opt.params["w"], np.full(7, -2.0, np.float32))


@check
def batches_in_parts() -> None:
    x = np.arange(97.0)[:, None] * np.ones(3)
    whole = gs.MiniBatches(x, batch_size=20, seed=5)
    part = gs.MiniBatches(x, batch_size=20, seed=5, shard=(rank(), size()))
    for _ in range(2):
        count = 0
        for one, mine in zip(whole, part, strict=True):
            assert_same(np.concatenate(world().allgather(mine)), one)
            count += 1
        assert count == 5


@check
def a_network_trained_on_parts_of_each_batch() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(480, 6))
    y = np.tanh(x @ rng.normal(size=(6, 2)))

    def network() -> dict[str, Array]:
        init = np.random.default_rng(2)
        return {
            "W1": init.normal(size=(6, 8)) / 3,
            "b1": np.zeros(8),
            "W2": init.normal(size=(8, 2)) / 3,
        }

    def backwards(params: Any, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
        hidden = np.tanh(x @ params["W1"] + params["b1"])
        error = hidden @ params["W2"] - y
        back = error @ params["W2"].T * (1 - hidden**2)
        n = len(x)
        grads = {"W1": x.T @ back / n, "b1": back.mean(0), "W2": hidden.T @ error / n}
        return float((error**2).sum() / 2 / n), grads

    batch = 60 if 60 % size() == 0 else 60 // size() * size()

    def curve(opt: gs.Optimizer, shard: tuple[int, int] | None) -> list[float]:
        losses = []
        batches = gs.MiniBatches(x, y, batch_size=batch, seed=3, drop_last=True, shard=shard)
        for _ in range(4):
            for examples in batches:
                loss, grads = backwards(opt.params, *examples)
                losses.append(float(np.mean(world().allgather(loss))) if shard else loss)
                opt.step(grads)
        return losses

    options: dict[str, Any] = {"lr": gs.schedules.Cosine(0.02, steps=40), "max_norm": 1.0}
    one = curve(gs.Adam(network(), **options), None)
    many = curve(Sharded(gs.Adam, network(), **options), (rank(), size()))
    assert one[-1] < one[0] / 2
    np.testing.assert_allclose(many, one, rtol=1e-6)


@check
def the_script_of_the_docs() -> None:
    page = ROOT / "docs/distributed.md"
    (script,) = re.findall("```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    rng = np.random.default_rng(4)
    x = rng.normal(size=(65, 6))  # the second batch has one of them
    y = np.tanh(x @ rng.normal(size=(6, 2)))
    seen = []

    def new_parameters() -> dict[str, Array]:
        return {"W": np.ones((6, 2)), "b": np.zeros(2)}

    def differentiated(params: Any, x: Array, y: Array) -> dict[str, Array]:
        seen.append(len(y))
        error = x @ params["W"] + params["b"] - y
        with np.errstate(invalid="ignore"):  # 0/0 without an example
            return {"W": x.T @ error / np.float64(len(y)), "b": error.sum(0) / np.float64(len(y))}

    one = gs.Adam(new_parameters(), lr=1e-3, max_norm=1.0)
    batches = gs.MiniBatches(x, y, batch_size=64, seed=0)
    for _ in range(10):
        for batch in batches:
            one.step(differentiated(one.params, *batch))
    seen.clear()
    names: dict[str, Any] = {
        "X": x,
        "y": y,
        "new_parameters": new_parameters,
        "gradients": differentiated,
        "validated": lambda params: 0.0,
    }
    before = Path.cwd()
    os.chdir(shared_folder())
    try:
        exec(script, names)  # noqa: S102 - the script of the page itself
    finally:
        os.chdir(before)
    assert (0 in world().allgather(min(seen))) == (size() > 1)
    assert_close(names["params"], one.params, 1e-12)
    names["opt"].check_synced()
