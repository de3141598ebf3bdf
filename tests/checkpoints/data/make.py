"""Make the files that test_saved_earlier.py loads: ``python make.py FOLDER``.

The files beside this one were made with the package of commit 4e867cd, whose checkpoints, states and
pickles have to load in every later version. The test makes the same objects with the package of
today, so only public names are used here.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

import gradstep as gs

_schedules = gs.schedules
SCHEDULES = [
    _schedules.Constant(0.25),
    _schedules.InverseTimeDecay(0.25, 0.5, steps_per_epoch=3),
    _schedules.ExponentialDecay(0.25, 0.5, steps_per_epoch=2),
    _schedules.InverseSqrtDecay(0.25, k=2.0),
    _schedules.StepDecay(0.25, 0.5, every=2),
    _schedules.Piecewise([2, 5], [0.5, 0.25, 0.125]),
    _schedules.Linear(0.5, 0.0, steps=8),
    _schedules.Polynomial(0.5, 0.0, steps=8, power=2.0),
    _schedules.Cosine(0.5, steps=8, end=0.125),
    _schedules.CosineRestarts(0.5, steps=4, factor=2.0),
    _schedules.OneCycle(0.5, steps=8),
    _schedules.warmup(_schedules.Cosine(0.5, steps=8), 4),
    _schedules.join([0.5, _schedules.Linear(0.5, 0.0, steps=4)], [3]),
]
HISTORY = {"loss": [0.5, -0.0, (1, 2)], 3: np.float32(0.5), "name": "run \udc80", "none": None}
COUNTS = [0, 1, 3, 4.5, 7, 20]


def falling(n: int) -> float:
    """Return the rate at a step: a callable that no checkpoint can hold."""
    return 0.5 / (1 + n)


class Run:
    """Objects of every kind that can be saved, and how they go on."""

    def __init__(self) -> None:
        self.params = {
            name: (0.5 + np.arange(size) / 4).astype(dtype)
            for name, size, dtype in [
                ("a", 3, "f4"),
                ("b", 2, "f8"),
                ("c", 1, "f8"),
                ("d", 2, "f4"),
            ]
        }
        a, b, c, d = self.params.values()
        shared = 0.5 + np.arange(3) / 4
        self.nested: dict[str, Any] = {
            "layer": [shared.copy(), {"W": shared.reshape(1, 3).copy()}],
            "b0": np.ones(1),
        }
        self.plain = [shared.copy(), shared.copy()]
        self.kept = gs.EWA(0.5, bias_correction=True)
        self.adam = gs.Adam(
            [{"params": {"a": a}, "lr": _schedules.Cosine(0.5, steps=20)}, {"params": [b, c]}],
            lr=falling,
            betas=(_schedules.Linear(0.5, 0.75, steps=10), 0.75),
            max_norm=falling,
            nonfinite="skip",
            average=self.kept,
        )
        self.by_name = gs.RMSprop(
            gs.by_name(self.nested, {"b*": {"lr": falling, "centered": False}}),
            lr=_schedules.warmup(0.5, 4),
            centered=True,
            clip_value=2.0,
        )
        self.nadam = gs.NAdam(self.plain, lr=0.5)
        self.keras = gs.compat.keras.SGD({"d": d}, learning_rate=0.5, momentum=0.5)
        scaled, added = np.ones(2, np.float32), np.ones(2)
        self.scaled = gs.Momentum(scaled, lr=0.25, nonfinite="skip")
        self.scaler = gs.LossScaler(self.scaled, 1024.0, interval=3)
        self.added = gs.SGD(added, lr=0.25)
        self.accumulator = gs.Accumulator(self.added, every=3)
        self.average = gs.EWA(0.75, bias_correction=True)
        self.batches = gs.MiniBatches(np.arange(20).reshape(10, 2), batch_size=4, seed=3)
        self.begun = False
        self.vectors = {"scaled_w": scaled, "added_w": added}

    def parts(self) -> dict[str, Any]:
        """Return all that has a state, by name."""
        names = ["adam", "by_name", "nadam", "keras", "scaled", "scaler", "added", "accumulator"]
        return {name: getattr(self, name) for name in [*names, "average", "batches"]}

    def arrays(self) -> dict[str, Any]:
        """Return the parameters, by names of parts."""
        arrays: dict[str, Any] = {"params": self.params, "nested": self.nested, "plain": self.plain}
        return {**arrays, **self.vectors, "extra": self.extra}

    def leaves(self) -> list[Any]:
        """Return all parameters, one by one."""
        layer, b0 = self.nested.values()
        tensors = [*self.params.values(), layer[0], layer[1]["W"], b0, *self.plain, self.extra]
        return [*tensors, *self.vectors.values()]

    def go_on(self, steps: int) -> None:
        """Take steps, with one group more from the second on and an overflow in the third."""
        for _ in range(steps):
            t = self.nadam.t
            if t >= 1:
                self.begin_group()
            gradient = (np.arange(3.0) * 3 + t) % 5 - 1.5  # exact on every machine
            groups = [
                {"a": gradient.astype(np.float32)},
                [gradient[:2], gradient[:1]],
                {"extra": gradient[:1]},
            ]
            self.adam.step(groups[: len(self.adam.groups)])
            self.by_name.step(
                {"layer": [gradient, {"W": gradient.reshape(1, 3)}], "b0": gradient[:1]}
            )
            self.nadam.step([gradient, -gradient])
            self.keras.step({"d": gradient[:2].astype(np.float32)})
            overflow = np.float32(np.inf if t == 2 else self.scaler.scale)
            self.scaler.step(overflow * np.ones(2, np.float32))
            self.accumulator.step(gradient[:2])
            self.average.update({"x": gradient, "y": [gradient[:1]]})

    def begin_group(self) -> None:
        """Add the last group to Adam, if it is not there yet."""
        if not self.begun:
            self.extra = np.ones(1)
            self.adam.add_group({"params": {"extra": self.extra}, "lr": 0.125})
            self.begun = True

    def values(self) -> dict[str, Any]:
        """Return all there is to be compared, exactly."""
        return {
            "params": _exact(self.arrays()),
            "states": _exact([part.state_dict()["state"] for part in self._optimizers()]),
            "t": [part.t for part in self._optimizers()],
            "average": _exact([self.adam.average, self.average.value]),
            "scale": self.scaler.scale,
            "count": self.accumulator.count,
            "batches": [self.batches.epoch, *([x.tolist() for x in self.batches])],
        }

    def _optimizers(self) -> list[gs.Optimizer]:
        return [self.adam, self.by_name, self.nadam, self.keras, self.scaled, self.added]


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _exact(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(child) for child in value]
    return [str(value.dtype), value.tobytes(order="C").hex()]


def averages_of_numbers() -> list[gs.EWA]:
    """Return averages that pickle without arrays, whose pickles depend on NumPy's version."""
    averages = [gs.EWA(0.5), gs.EWA(0.75, bias_correction=True), gs.EWA(0.5)]
    for average in averages[:2]:
        for x in (1.0, 3.0, -2.0):
            average.update(x)
    return averages


def main(folder: Path) -> None:
    """Write all files."""
    run = Run()
    run.go_on(3)
    epoch = iter(run.batches)
    next(epoch)
    state = run.batches.state_dict()
    gs.save(folder / "run.ckpt", **run.parts(), **run.arrays(), epoch=3, history=HISTORY)
    run.batches.load_state_dict(state)
    run.go_on(4)
    expected = {
        "run": run.values(),
        "rates": [[schedule(n).hex() for n in COUNTS] for schedule in SCHEDULES],
        "averages": [[each.value.hex(), each.update(0.5).hex()] for each in averages_of_numbers()],
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    (folder / "schedules.pickle").write_bytes(pickle.dumps(SCHEDULES, protocol=4))
    (folder / "averages.pickle").write_bytes(pickle.dumps(averages_of_numbers(), protocol=4))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
