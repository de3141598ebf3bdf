"""Benchmarks of a shuffled epoch, and that everybody's is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import packages
from batches import Batch, Data, epochs, exhaust, refuse_wrong

SMALL = [Data.new(axis, examples=1000, features=50) for axis in (0, 1)]

by_axis = pytest.mark.parametrize("data", SMALL, ids=lambda data: f"axis {data.axis}")


@by_axis
@pytest.mark.parametrize("name", ["gradstep", "indexing", "torch", "copy"])
def test_epoch(benchmark: Any, data: Data, name: str) -> None:
    benchmark.group = f"epochs along axis {data.axis}"
    if name == "torch" and data.axis == 1:
        pytest.skip("a dataset of PyTorch has its examples in rows")
    if name == "torch" and not packages.version("torch"):
        pytest.skip(packages.missing("torch")[0])
    epoch = epochs(data)[name]
    if name != "copy":
        refuse_wrong(name, epoch, data)
    benchmark(exhaust, epoch)


Spoil = Callable[[list[Batch]], list[Batch]]


def without_last(batches: list[Batch]) -> list[Batch]:
    return batches[:-1]


def twice(batches: list[Batch]) -> list[Batch]:
    return [*batches, batches[0]]


def other_labels(batches: list[Batch]) -> list[Batch]:
    x, y = batches[3]
    return [*batches[:3], (x, y + 1), *batches[4:]]


def other_feature(batches: list[Batch]) -> list[Batch]:
    x, y = batches[3]
    x = x.copy()
    x.flat[-1] += 1
    return [*batches[:3], (x, y), *batches[4:]]


SPOILT: dict[Spoil, str] = {
    without_last: "not every example once",
    twice: "not every example once",
    other_labels: "batch 3 of 'spoilt' holds other examples or labels",
    other_feature: "batch 3 of 'spoilt' holds other examples or labels",
}


@by_axis
@pytest.mark.parametrize("spoil", SPOILT)
def test_a_wrong_epoch_is_refused(data: Data, spoil: Spoil) -> None:
    def epoch() -> Iterator[Batch]:
        return iter(spoil(list(epochs(data)["indexing"]())))

    with pytest.raises(RuntimeError, match=SPOILT[spoil]):
        refuse_wrong("spoilt", epoch, data)


@by_axis
def test_an_epoch_in_order_is_refused(data: Data) -> None:
    def epoch() -> Iterator[Batch]:
        for i in range(0, data.examples, 64):
            cut = np.arange(i, min(i + 64, data.examples))
            yield data.x.take(cut, data.axis), data.y.take(cut, data.axis)

    with pytest.raises(RuntimeError, match="not shuffled"):
        refuse_wrong("ordered", epoch, data)
