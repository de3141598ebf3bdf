"""The section of mini-batches: one shuffled epoch, by everybody who can hand it out.

Examples stand in rows or in columns. A new peer is one function here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep as gs
import packages
from report import Options, Result, Section, duration, ratio
from timing import looped
from timing import measure as take_turns

BATCH = 64
EXAMPLES, FEATURES = 60_000, 784
X = NDArray[np.float32]
Y = NDArray[np.int64]
Batch = tuple[Any, Any]


@dataclass(frozen=True)
class Data:
    """Examples along `axis` of x, with their labels. The first feature numbers the examples."""

    x: X
    y: Y
    axis: int

    @classmethod
    def new(cls, axis: int, examples: int = EXAMPLES, features: int = FEATURES) -> Data:
        """Draw numbers."""
        rng = np.random.default_rng(5)
        rows = rng.standard_normal((examples, features), dtype=np.float32)
        rows[:, 0] = np.arange(examples)  # exact in float32 below 2²⁴
        x = rows if axis == 0 else np.ascontiguousarray(rows.T)
        y = rng.integers(10, size=examples)
        return cls(x, y if axis == 0 else y[None], axis)

    @property
    def examples(self) -> int:
        """Count the examples."""
        return int(self.x.shape[self.axis])


Epoch = Callable[[], Iterator[Batch]]


def indexing(data: Data) -> Epoch:
    """Index with a part of a permutation, as one writes it in NumPy."""
    rng = np.random.default_rng(6)

    def epoch() -> Iterator[Batch]:
        order = rng.permutation(data.examples)
        for i in range(0, len(order), BATCH):
            chosen = order[i : i + BATCH]
            if data.axis == 0:
                yield data.x[chosen], data.y[chosen]
            else:
                yield data.x[:, chosen], data.y[:, chosen]

    return epoch


def loader(data: Data) -> Epoch:
    """Let PyTorch's DataLoader do it, in this process."""
    torch, utils = packages.load("torch"), packages.load("torch.utils.data")
    examples = utils.TensorDataset(torch.from_numpy(data.x), torch.from_numpy(data.y))
    batches = utils.DataLoader(examples, batch_size=BATCH, shuffle=True)
    return lambda: iter(batches)


def gradstep(data: Data) -> Epoch:
    """Use this package."""
    batches = gs.MiniBatches(data.x, data.y, batch_size=BATCH, axis=data.axis, seed=6)
    return lambda: iter(batches)


def copy(data: Data) -> Epoch:
    """Copy the same bytes in the order in which they lie: what no shuffled epoch falls below."""
    x, y, features = data.x.reshape(-1), data.y.reshape(-1), data.x.size // data.examples

    def epoch() -> Iterator[Batch]:
        for i in range(0, data.examples, BATCH):
            end = i + BATCH
            yield x[i * features : end * features].copy(), y[i:end].copy()

    return epoch


def epochs(data: Data) -> dict[str, Epoch]:
    """Return everybody who can hand out an epoch of such data."""
    by_name = {"indexing": indexing(data), "gradstep": gradstep(data), "copy": copy(data)}
    if packages.version("torch") and data.axis == 0:  # a dataset's examples stand in rows
        by_name["torch"] = loader(data)
    return by_name


def refuse_wrong(name: str, epoch: Epoch, data: Data) -> None:
    """Raise where an epoch is not every example once, whole, in another order and with its label."""
    rows, labels = (data.x, data.y) if data.axis == 0 else (data.x.T, data.y.T)
    seen = []
    for x, y in epoch():
        examples, theirs = (np.asarray(a) if data.axis == 0 else np.asarray(a).T for a in (x, y))
        numbers = examples[:, 0].astype(np.intp)
        seen.append(numbers)
        if not (
            np.array_equal(examples, rows[numbers]) and np.array_equal(theirs, labels[numbers])
        ):
            raise RuntimeError(f"batch {len(seen) - 1} of {name!r} holds other examples or labels")
    order = np.concatenate(seen)
    if not np.array_equal(np.sort(order), np.arange(len(rows))):
        raise RuntimeError(f"the epoch of {name!r} is not every example once")
    if np.array_equal(order, np.sort(order)):
        raise RuntimeError(f"the epoch of {name!r} is not shuffled")


def exhaust(epoch: Epoch) -> None:
    """Take all batches and drop them, one before the next."""
    for _ in epoch():
        pass


def measure(options: Options) -> Iterator[Result]:
    gs.set_num_threads(options.threads)
    for axis in (0, 1):
        data = Data.new(axis)
        if data.x.size > options.max_elements:
            return
        by_name = epochs(data)
        for name, epoch in by_name.items():
            if name != "copy":
                refuse_wrong(name, epoch, data)
        samplers = {name: looped(exhaust, epoch) for name, epoch in by_name.items()}
        seconds = take_turns(samplers, 5 if options.quick else options.rounds)
        yield {"axis": axis, "shape": list(data.x.shape), "seconds": seconds}


def cells(result: Result) -> Sequence[str]:
    shape = " × ".join(map(str, result["shape"]))
    return [
        f"{shape}, axis={result['axis']}",
        duration(result["seconds"]["gradstep"]["median"]),
        *(ratio(result, name) for name in ("indexing", "torch", "copy")),
    ]


SECTION = Section(
    "Mini-batches: one shuffled epoch in batches of 64, float32 with labels",
    "Time of each divided by gradstep's (gs). indexing: X[order[i:i+64]]; torch: DataLoader over a\n"
    "TensorDataset; copy: the same bytes in the order in which they lie.",
    28,
    lambda: ["examples", "gradstep", "indexing/gs", "torch/gs", "copy/gs"],
    measure,
    cells,
    lambda results: packages.missing("torch"),
)
