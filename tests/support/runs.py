"""Training runs with all that a state has: they are stopped, saved and taken up again by tests."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep as gs
import gradstep._core as _core
from support.anything import OPTIMIZERS, Kind, following, over
from support.effort import FULL
from support.oracle import CASES

Array = NDArray[Any]
STEPS = 8  # the third epoch is under way at the end
DTYPES = "float32", "float64"
# Levels and numbers of threads with which a run is taken up: each of both, or all pairs.
LEVELS, THREADS = _core.isas(), (1, 3)
ELSEWHERE = [(LEVELS[i % len(LEVELS)], THREADS[i % 2]) for i in range(max(len(LEVELS), 2))]
if FULL:
    ELSEWHERE = [*itertools.product(LEVELS, THREADS)]
# Every case, and every optimizer with all that may follow a schedule following one: products over
# the steps are then kept besides arrays, as they are of NAdam's factors.
RISING = gs.schedules.Linear(0.5, 0.9, steps=6)
RUNS: list[tuple[Kind, dict[str, Any]]] = [
    *((case.optimizer, case.options) for case in CASES),
    *((kind, following(kind, RISING)) for kind in OPTIMIZERS),
]


def dtypes_of(number: int) -> list[tuple[int, str]]:
    """Return the dtypes, with their places, in which a run is tried: one of both, or both."""
    return [pair for pair in enumerate(DTYPES) if FULL or (number // 2 + pair[0]) % 2]


class Run:
    """One training, up to the point that was saved."""

    def __init__(self, number: int, dtype: str) -> None:
        rng = np.random.default_rng(number)
        # As they are, in the other order, and in no order: state lies in memory as its parameter.
        self.params = {
            "a": rng.normal(size=(40, 30)).astype(dtype),
            "b": np.asfortranarray(rng.normal(size=(7, 5)).astype(dtype)),
            "c": rng.normal(size=(9, 8)).astype(dtype)[::2, ::-2],
        }
        kind, options = RUNS[number]
        rate = "learning_rate" if "learning_rate" in inspect.signature(kind).parameters else "lr"
        own = {rate: gs.schedules.ExponentialDecay(0.1)}
        names = ["a"], ["b", "c"]
        first, second = ({name: self.params[name] for name in group} for group in names)
        # Groups as a list, by name, and one that comes later.
        self.by_name = number % 3 == 1
        self.comes_later = {"params": second, **own} if number % 3 == 2 else None
        params: Any = [{"params": first}, {"params": second, **own}]
        if self.by_name:
            params = gs.by_name(self.params, {"[bc]": own})
        elif self.comes_later:
            params = [{"params": first}]
        cosine = gs.schedules.warmup(gs.schedules.Cosine(0.25, steps=6), 3)
        around: dict[str, Any] = {}
        if number % 2:
            around = {"max_norm": 2.0, "clip_value": 0.5, "nonfinite": "skip"}
            around["average"] = gs.EWA(0.5, bias_correction=True)
        self.opt = over(kind, params, **{**options, rate: cosine, **around})
        self.average = gs.EWA(0.75, bias_correction=True)
        examples = rng.normal(size=(25, 3)).astype(dtype)
        self.batches = gs.MiniBatches(examples, batch_size=10, seed=number)

    def steps(self) -> Iterator[int]:
        """Train to the end, and stop after every step."""
        while True:
            self.running = iter(self.batches)  # held, so that the last epoch is not broken off
            for batch in self.running:
                slope, offset = batch[0, 0], batch[-1, -1]
                grads = {name: slope * w + offset for name, w in self.params.items()}
                self.step(grads)
                self.average.update(self.params)
                yield self.opt.t
                if self.opt.t == STEPS:
                    return

    def step(self, grads: dict[str, Array]) -> None:
        if self.comes_later and self.opt.t == 2:
            self.opt.add_group(self.comes_later)
        if self.by_name:
            self.opt.step(grads)
        else:
            groups = [{"a": grads.pop("a")}, grads]
            self.opt.step(groups[: len(self.opt.groups)])

    def save(self) -> dict[str, Any]:
        return {
            "params": {name: w.copy(order="K") for name, w in self.params.items()},
            "optimizer": self.opt.state_dict(),
            "average": self.average.state_dict(),
            "batches": self.batches.state_dict(),
        }

    def load(self, saved: dict[str, Any]) -> None:
        for name, w in self.params.items():
            w[...] = saved["params"][name]
        if self.comes_later and len(saved["optimizer"]["groups"]) > 1:
            self.opt.add_group(self.comes_later)
        self.opt.load_state_dict(saved["optimizer"])
        self.average.load_state_dict(saved["average"])
        self.batches.load_state_dict(saved["batches"])

    def digest(self) -> str:
        """Return a fingerprint of every bit that the run consists of."""
        digest = hashlib.sha256(repr(self.opt).encode())
        plain, arrays = taken_apart(self.save())
        digest.update(json.dumps(plain).encode())
        for array in arrays:
            digest.update(array.tobytes())
        return digest.hexdigest()


def taken_apart(value: Any) -> tuple[Any, list[Array]]:
    """Return nested values as JSON knows them, and the arrays that stood in them."""
    arrays: list[Array] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays.append(value)
            return {"array": len(arrays) - 1}
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        return [plain(entry) for entry in value] if isinstance(value, list) else value

    return plain(value), arrays


def put_together(plain: Any, arrays: Any) -> Any:
    if isinstance(plain, dict):
        if plain.keys() == {"array"}:
            return arrays[f"arr_{plain['array']}"]
        return {key: put_together(entry, arrays) for key, entry in plain.items()}
    return [put_together(entry, arrays) for entry in plain] if isinstance(plain, list) else plain
