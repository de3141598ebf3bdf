"""The memory of the state, and of a step."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
from pairs import Array, Sharded
from ranks import check, rank, size, world

import gradstep as gs


def state_bytes(opt: gs.Optimizer) -> int:
    return sum(a.nbytes for arrays in opt.state.values() for a in arrays.values())


@check
def each_rank_has_one_part_of_the_state() -> None:
    params = {
        "a": np.zeros((301, 67), np.float32),
        "b": np.zeros(7001),
        "c": np.zeros((90, 90), np.float32)[:, ::2],
        "d": [np.zeros(3, np.float32) for _ in range(40)],
    }
    for bucket in (100, 5000, 4 << 20):
        whole = state_bytes(gs.Adam(params))
        opt = Sharded(gs.Adam, params, bucket=bucket)
        here = state_bytes(opt)
        assert abs(here - whole / size()) <= 0.05 * whole / size(), (bucket, here, whole)
        assert sum(world().allgather(here)) == whole
    for elements in range(1, 12):
        opt = Sharded(gs.Adam, [np.zeros(1) for _ in range(elements)], bucket=8)
        here = state_bytes(opt)
        assert here <= -(-elements // size()) * 16, (elements, here)
        assert sum(world().allgather(here)) == 16 * elements


@check
def a_step_takes_a_few_buckets_of_memory() -> None:
    bucket = 1 << 18
    params: dict[str, Array] = {f"small{i}": np.zeros(3000) for i in range(50)}
    params |= {"w": np.zeros((1 << 21) + 5, np.float32), "s": np.zeros((500, 600))[:, ::2]}
    total = sum(w.nbytes for w in params.values())
    grads = {name: np.ones(w.shape, w.dtype) for name, w in params.items()}
    rows: list[tuple[dict[str, Any], bool, int]] = [
        ({}, False, 0),
        ({}, True, 0),
        # All reduced gradients are measured before any is used.
        ({"max_norm": 1.0}, False, 1),
    ]
    for around, deterministic, shares in rows:
        tracemalloc.start()
        opt = Sharded(gs.Adam, params, bucket=bucket, deterministic=deterministic, **around)
        made, peak = tracemalloc.get_traced_memory()
        # Of a strided array, a copy of this rank's shard is stepped.
        stored = state_bytes(opt) + params["s"].nbytes // size()
        few = 8 * bucket if size() > 1 else bucket
        assert made - stored < few, (around, deterministic, (made - stored) / bucket)
        # To learn the layout of an array like a parameter, one is made whose memory is not touched.
        untouched = params["w"].nbytes
        assert peak - stored < few + untouched, (around, deterministic, (peak - stored) / bucket)
        tracemalloc.reset_peak()
        for count in (None, rank() + (size() == 1)):
            opt.step(grads, count=count)
        stepped = tracemalloc.get_traced_memory()[1] - made - shares * total // size()
        tracemalloc.stop()
        assert stepped < 4 * bucket, (around, deterministic, stepped / bucket)
