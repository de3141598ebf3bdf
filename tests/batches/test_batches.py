"""Mini-batches: what an epoch hands out, and that a resumed epoch goes on where it was.

Each example carries its number, so that an epoch can be read as a list of lists of numbers.
Training on the batches and saving to files are not here.
"""

from __future__ import annotations

import array
import contextlib
import copy
import inspect
import itertools
import json
import pickle
import re
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradstep as gs
from gradstep import _core
from support.teams import shared_out

Epoch = list[list[int]]


def data(m: int, axis: int = 0) -> tuple[Any, Any]:
    """X with two features and y with one; example i holds i, and i + 0.5 beside it."""
    X = np.stack([np.arange(m), np.arange(m) + 0.5], axis=1)
    y = np.arange(m).reshape(m, 1)
    return (X, y) if axis in (0, -2) else (X.T.copy(), y.T.copy())


def numbers(batch: tuple[Any, Any], axis: int = 0) -> list[int]:
    """The examples in one batch of `data`, paired in X and y, in their shape and dtype."""
    xb, yb = (part if axis in (0, -2) else part.T for part in batch)
    n = len(yb)
    assert type(xb) is type(yb) is np.ndarray
    assert (xb.shape, yb.shape) == ((n, 2), (n, 1))
    assert (xb.dtype, yb.dtype) == (np.dtype(float), np.dtype(int))
    np.testing.assert_array_equal(xb, np.hstack([yb, yb + 0.5]))
    result: list[int] = yb[:, 0].tolist()
    return result


def run(batches: gs.MiniBatches, epochs: int, axis: int = 0) -> list[Epoch]:
    return [[numbers(batch, axis) for batch in batches] for _ in range(epochs)]


def joined(epoch: Iterable[list[Any]]) -> list[Any]:
    return list(chain.from_iterable(epoch))


def cut(order: list[int], batch_size: int, drop_last: bool) -> Epoch:
    """The oracle: one epoch in plain Python."""
    cuts = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return [part for part in cuts if len(part) == batch_size or not drop_last]


# ---- what an epoch hands out ---------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(
    ("m", "batch_size"), [(1, 1), (7, 1), (7, 3), (8, 4), (8, 7), (8, 8), (3, 8), (130, 64)]
)
def test_epochs_against_the_oracle(m: int, batch_size: int, drop_last: bool, axis: int) -> None:
    if drop_last and batch_size > m:
        return  # an error, in the table of errors
    settings: dict[str, Any] = {"batch_size": batch_size, "drop_last": drop_last, "axis": axis}
    expected = cut(list(range(m)), batch_size, drop_last)

    plain = gs.MiniBatches(*data(m, axis), shuffle=False, **settings)
    assert len(plain) == len(expected)
    assert run(plain, 2, axis) == [expected, expected]
    assert plain.epoch == 2

    # A shuffled epoch is the same cut of another order, drawn once an epoch from the seed.
    shuffled = gs.MiniBatches(*data(m, axis), seed=5, **settings)
    generator = np.random.default_rng(5)
    orders = [generator.permutation(m).tolist() for _ in range(3)]
    assert len(shuffled) == len(expected)
    assert run(shuffled, 3, axis) == [cut(order, batch_size, drop_last) for order in orders]
    assert shuffled.epoch == 3


def test_the_defaults_are_64_shuffled_examples_along_axis_0_with_the_rest_kept() -> None:
    (epoch,) = run(gs.MiniBatches(*data(150)), 1)
    assert [len(batch) for batch in epoch] == [64, 64, 22]
    flat = joined(epoch)
    assert flat != sorted(flat)  # fails once in 150! runs
    assert sorted(flat) == list(range(150))


def test_batch_size_1_is_stochastic_and_m_is_batch_descent() -> None:
    assert len(gs.MiniBatches(*data(10), batch_size=1)) == 10
    assert len(gs.MiniBatches(*data(10), batch_size=10)) == 1


def test_one_array_gives_bare_arrays_and_several_give_tuples() -> None:
    X, y = data(4)
    assert [type(batch) for batch in gs.MiniBatches(X, batch_size=2)] == [np.ndarray] * 2
    assert [len(batch) for batch in gs.MiniBatches(X, y, X, batch_size=2)] == [3, 3]
    assert [type(batch) for batch in gs.MiniBatches(X, y)] == [tuple]


def test_a_negative_axis_counts_from_the_end_of_each_array() -> None:
    images, labels = np.arange(24).reshape(2, 3, 4), np.arange(4)
    for images_b, labels_b in gs.MiniBatches(images, labels, axis=-1, batch_size=3, seed=0):
        np.testing.assert_array_equal(images_b, images[..., labels_b])


def test_the_same_seed_gives_the_same_epochs_and_another_gives_others() -> None:
    first, same, other = (run(gs.MiniBatches(*data(40), seed=s), 3) for s in (1, 1, 2))
    assert first == same
    assert first != other
    assert first[0] != first[1] != first[2]


def test_without_a_seed_every_object_draws_its_own_order() -> None:
    assert run(gs.MiniBatches(*data(150)), 1) != run(gs.MiniBatches(*data(150)), 1)


@pytest.mark.parametrize(
    "seed",
    [7, np.int64(7), np.random.SeedSequence(7), np.random.default_rng(7)],
    ids=lambda seed: type(seed).__name__,
)
def test_every_kind_of_seed_is_that_of_default_rng(seed: Any) -> None:
    assert run(gs.MiniBatches(*data(40), seed=seed), 2) == run(gs.MiniBatches(*data(40), seed=7), 2)


@pytest.mark.parametrize("seed", [[3, 1], (3, 1), np.array([3, 1])], ids=str)
def test_several_integers_are_one_seed(seed: Any) -> None:
    expected = gs.MiniBatches(*data(40), seed=np.random.default_rng([3, 1]))
    assert run(gs.MiniBatches(*data(40), seed=seed), 2) == run(expected, 2)
    other = gs.MiniBatches(*data(40), seed=np.random.PCG64([3, 1]))
    assert run(other, 1) == run(gs.MiniBatches(*data(40), seed=seed), 1)


def test_a_generator_is_used_as_it_is_and_advanced_once_an_epoch() -> None:
    generator, twin = np.random.default_rng(3), np.random.default_rng(3)
    batches = gs.MiniBatches(*data(9), seed=generator)
    assert generator.bit_generator.state == twin.bit_generator.state
    run(batches, 2)
    for _ in range(2):
        twin.permutation(9)
    assert generator.bit_generator.state == twin.bit_generator.state


def test_repr_shows_everything_but_the_data() -> None:
    batches = gs.MiniBatches(*data(10), batch_size=4, seed=0)
    run(batches, 1)
    assert repr(batches) == (
        "MiniBatches(2 arrays, m=10, batch_size=4, shuffle=True, drop_last=False, axis=0, epoch=1, "
        "prepare=True)"
    )
    one = gs.MiniBatches(
        np.zeros((2, 10)), batch_size=3, shuffle=False, drop_last=True, axis=1, prepare=False
    )
    assert repr(one) == (
        "MiniBatches(1 array, m=10, batch_size=3, shuffle=False, drop_last=True, axis=1, epoch=0, "
        "prepare=False)"
    )
    part = gs.MiniBatches(*data(10), batch_size=4, seed=0, shard=(1, 2))
    assert repr(part).endswith(", axis=0, epoch=0, shard=(1, 2), prepare=True)")


# ---- shards --------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize(("m", "batch_size"), [(1, 1), (7, 3), (12, 4), (23, 10)])
def test_the_shards_of_a_batch_are_together_the_batch_of_one_process(
    m: int, batch_size: int, ranks: int, drop_last: bool, shuffle: bool, axis: int
) -> None:
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "drop_last": drop_last,
        "shuffle": shuffle,
        "axis": axis,
        "seed": 5,
    }
    alone = gs.MiniBatches(*data(m, axis), **settings)
    shards = [gs.MiniBatches(*data(m, axis), shard=(r, ranks), **settings) for r in range(ranks)]
    whole = run(alone, 2, axis)
    parts = [run(shard, 2, axis) for shard in shards]
    assert [len(shard) for shard in shards] == [len(alone)] * ranks
    for epoch, batches in enumerate(whole):
        for i, batch in enumerate(batches):
            pieces = [part[epoch][i] for part in parts]
            assert joined(pieces) == batch
            assert max(map(len, pieces)) - min(map(len, pieces)) <= 1
    # The state knows no shard: what one rank saved serves any other, and any number of them.
    assert [shard.state_dict() for shard in shards] == [alone.state_dict()] * ranks


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_a_state_resumes_on_another_number_of_ranks(position: int) -> None:
    def shard(rank: int, ranks: int, seed: int) -> gs.MiniBatches:
        return gs.MiniBatches(*data(14), batch_size=4, seed=seed, shard=(rank, ranks))

    whole = joined(run(gs.MiniBatches(*data(14), batch_size=4, seed=0), 2))
    state = saved_at(shard(1, 2, seed=0), position)
    resumed = [shard(rank, 3, seed=9) for rank in range(3)]
    for batches in resumed:
        batches.load_state_dict(state)
    parts = [joined(run(batches, 2)) for batches in resumed]
    left = [joined(pieces) for pieces in zip(*parts, strict=True)]
    assert left == whole[position:]


def test_an_unshuffled_shard_needs_no_seed_nor_does_the_only_one() -> None:
    assert run(gs.MiniBatches(*data(4), shuffle=False, shard=(1, 2)), 1) == [[[2, 3]]]
    assert run(gs.MiniBatches(*data(1), shard=(0, 1)), 1) == [[[0]]]


# ---- copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [2, 6, 100])
def test_a_batch_is_independent_of_the_data_and_of_later_batches(
    batch_size: int, shuffle: bool, axis: int
) -> None:
    X, y = data(6, axis)
    batches = gs.MiniBatches(X, y, batch_size=batch_size, shuffle=shuffle, axis=axis, seed=0)
    before = X.copy(), y.copy()
    kept = []
    for xb, yb in batches:
        kept.append((xb, yb, xb.copy(), yb.copy()))
    for xb, yb, x_then, y_then in kept:
        np.testing.assert_array_equal(xb, x_then)
        np.testing.assert_array_equal(yb, y_then)
        xb[...] = -1
        yb[...] = -1
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    assert sorted(joined(run(batches, 1, axis)[0])) == list(range(6))


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "C order": lambda a: a,
    "Fortran order": np.asfortranarray,
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "broadcast": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "no features": lambda a: a[:, :0],
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
}
DTYPES: list[Any] = [
    "f4",
    "f2",
    ">f8",
    "?",
    "c8",
    "S3",
    "U3",
    "M8[s]",
    "O",
    [("a", "i4"), ("b", "f8")],
]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_its_values(layout: str, shuffle: bool, axis: int) -> None:
    X = LAYOUTS[layout](np.arange(35).reshape(7, 5) + 1)
    y: Any = np.arange(7)
    X, y = (X, y) if axis == 0 else (X.T, y.reshape(1, 7))
    for xb, yb in gs.MiniBatches(X, y, batch_size=3, shuffle=shuffle, axis=axis, seed=0):
        np.testing.assert_array_equal(xb, np.take(X, yb.ravel(), axis=axis))
        assert xb.flags.writeable


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_is_kept(dtype: Any, shuffle: bool) -> None:
    X = np.arange(7).astype(dtype)
    for xb, yb in gs.MiniBatches(X, np.arange(7), batch_size=3, shuffle=shuffle, seed=0):
        assert xb.dtype == X.dtype
        assert xb.tolist() == X[yb].tolist()


# ---- what counts as an array ---------------------------------------------------------------------

VALUES = np.arange(6.0)


class Exports:
    """Something that is no ndarray and offers one way to reach the memory of `VALUES`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            return getattr(VALUES, name)
        raise AttributeError(name)


class ExportsArray:
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return VALUES


class ExportsDLPack:
    def __dlpack__(self, **options: Any) -> Any:
        return VALUES.__dlpack__()

    def __dlpack_device__(self) -> Any:
        return VALUES.__dlpack_device__()


EXPORTERS: dict[str, Any] = {
    "__array_interface__": Exports("__array_interface__"),
    "__array_struct__": Exports("__array_struct__"),
    "__array__": ExportsArray(),
    "__dlpack__": ExportsDLPack(),
    "buffer": array.array("d", VALUES.tolist()),
    "memoryview": memoryview(array.array("d", VALUES.tolist())),
    "bytearray": bytearray(range(6)),
    "subclass of ndarray": VALUES.view(np.recarray),
}


@pytest.mark.parametrize("kind", EXPORTERS)
def test_what_exports_its_memory_is_an_array(kind: str) -> None:
    batches = list(gs.MiniBatches(EXPORTERS[kind], batch_size=4, shuffle=False))
    assert [type(batch) for batch in batches] == [np.ndarray, np.ndarray]
    assert [batch.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5]]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("order", "axis", "where"),
    [("C", 0, "memmap"), ("F", 0, "memmap"), ("C", 0, "RAM"), ("F", 1, "RAM")],
)
def test_large_arrays_are_neither_loaded_nor_copied(
    order: Any, axis: int, where: str, shuffle: bool, tmp_path: Path
) -> None:
    shape = (100_000, 40) if axis == 0 else (40, 100_000)
    X: Any
    if where == "memmap":
        X = np.memmap(tmp_path / "X", np.float32, "w+", shape=shape, order=order)
    else:
        X = np.zeros(shape, np.float32, order=order)
    tracemalloc.start()
    try:
        batches = gs.MiniBatches(X, batch_size=64, shuffle=shuffle, axis=axis, seed=0)
        X[...] = 7  # shows in the batches: they are read from X itself, and late
        for _, batch in zip(range(3), batches, strict=False):
            assert type(batch) is np.ndarray
            assert (batch == 7).all()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert X.nbytes == 16_000_000
    assert peak < 2_000_000  # the order takes 800 000


# ---- the core's copies, and prepared ones --------------------------------------------------------


@contextlib.contextmanager
def however_small() -> Iterator[None]:
    """Prepare even the arrays of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gradstep.batches.sources._SMALL", 0)
        yield


def in_columns(dtype: Any = np.float32) -> Any:
    """Examples in columns of a C-ordered array, large enough to be prepared."""
    return np.random.default_rng(0).integers(0, 100, size=(40, 5000)).astype(dtype)


PLAIN = ["f4", "f8", "f2", ">f8", "?", "i1", "c16", "S3", "U3", "M8[s]", [("a", "i1"), ("b", "f8")]]


@st.composite
def arrays(draw: st.DrawFn, dtypes: list[Any]) -> Any:
    """Arrays of up to four axes in any memory order, sliced with any steps, none of them empty."""
    shape = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4), "shape")
    steps = [draw(st.sampled_from([1, 1, 2, -1, -2]), "step") for _ in shape]
    stored = [n * abs(step) for n, step in zip(shape, steps, strict=True)]
    values = np.arange(int(np.prod(stored))) % 251
    dtype = np.dtype(draw(st.sampled_from(dtypes), "dtype"))
    if dtype.names:
        whole = np.zeros(values.shape, dtype)
        for name in dtype.names:
            whole[name] = values % 100
    else:
        whole = values.astype(dtype)
    order = draw(st.permutations(range(len(shape))), "order of memory")
    whole = whole.reshape([stored[a] for a in order]).transpose(np.argsort(order))
    return whole[tuple(slice(None, None, step) for step in steps)]


@given(st.data())
def test_batches_are_those_of_numpys_indexing(source: st.DataObject) -> None:
    X = source.draw(arrays([*PLAIN, "O"]), "X")
    axis = source.draw(st.integers(-X.ndim, X.ndim - 1), "axis")
    ranks = source.draw(st.integers(1, 3), "ranks")
    rank = source.draw(st.integers(0, ranks - 1), "rank")
    batch_size = source.draw(st.integers(1, 12), "batch_size")
    settings: dict[str, Any] = {
        "axis": axis,
        "batch_size": batch_size,
        "shuffle": source.draw(st.booleans(), "shuffle"),
        "prepare": source.draw(st.booleans(), "prepare"),
        "seed": 3,
        "shard": (rank, ranks),
    }
    m = X.shape[axis]
    indices = np.arange(m).reshape([m if a == axis % X.ndim else 1 for a in range(X.ndim)])
    with shared_out(source.draw(st.sampled_from([1, 2, 3]), "threads")), however_small():
        for _ in range(2):
            for xb, ib in gs.MiniBatches(X, indices, **settings):
                assert type(xb) is np.ndarray
                assert xb.dtype == X.dtype
                assert xb.flags.writeable
                assert xb.flags.aligned
                assert not np.may_share_memory(xb, X)
                np.testing.assert_array_equal(xb, np.take(X, ib.ravel(), axis=axis))


@given(st.data())
def test_the_core_copies_any_layout(source: st.DataObject) -> None:
    several = [source.draw(arrays(PLAIN), "array") for _ in range(source.draw(st.integers(0, 3)))]
    m = min((len(a) for a in several), default=5)
    order = np.array(source.draw(st.lists(st.integers(0, m - 1), max_size=30), "order"), np.int64)
    start = source.draw(st.integers(0, len(order)), "start")
    stop = source.draw(st.integers(start, len(order)), "stop")
    with shared_out(source.draw(st.sampled_from([1, 2, 3]), "threads")):
        batches = _core.gather(several, order, start, stop)
        copies = [_core.copy_in_rows(a) for a in several]
    for a, batch, rows in zip(several, batches, copies, strict=True):
        assert batch.flags.c_contiguous
        assert rows.flags.c_contiguous
        assert batch.dtype == rows.dtype == a.dtype
        np.testing.assert_array_equal(batch, a[order[start:stop]])
        np.testing.assert_array_equal(rows, a)


@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "f8", "c16", "S3"])
@pytest.mark.parametrize("shape", [(5000, 40), (1500, 130), (40, 3)])
def test_large_copies_shared_out(shape: tuple[int, int], dtype: str, threads: int) -> None:
    X = np.random.default_rng(0).integers(0, 100, size=shape).astype(dtype)
    order = np.random.default_rng(1).permutation(len(X))
    scattered = np.asfortranarray(X)
    (batch,) = _core.gather([X], order, 3, len(X) - 5)
    np.testing.assert_array_equal(batch, X[order[3:-5]])
    (batch,) = _core.gather([scattered], order, 3, len(X) - 5)
    np.testing.assert_array_equal(batch, X[order[3:-5]])
    np.testing.assert_array_equal(_core.copy_in_rows(scattered), X)


@pytest.mark.parametrize(
    ("order", "start", "stop", "message"),
    [
        ([0, 1, -1], 0, 3, "no example -1 among 9"),
        ([0, 1, 5], 0, 3, "no example 5 among 5"),
        ([5, 0], 0, 1, "no example 5 among 5"),
        ([0, 2**62], 0, 1, "no example 4611686018427387904"),  # fetched ahead
        ([0, 1], 0, 3, "start and stop"),
        ([0, 1], -1, 1, "start and stop"),
        ([0, 1], 2, 1, "start and stop"),
        ([[0, 1]], 0, 1, "start and stop"),
    ],
)
def test_the_core_reads_nothing_out_of_bounds(
    order: Any, start: int, stop: int, message: str
) -> None:
    with pytest.raises(IndexError, match=message):
        _core.gather([np.zeros(9), np.zeros(5)], np.array(order, np.int64), start, stop)


@pytest.mark.parametrize("dtype", ["O", [("a", "O"), ("b", "f8")], "V0"])
def test_the_core_copies_no_references(dtype: Any) -> None:
    X = np.zeros((3, 2), dtype)
    assert _core.bytes_in_one_piece(X) == 0
    with pytest.raises(
        TypeError, match=r"must be plain bytes, got dtype .*; index the array with NumPy"
    ):
        _core.gather([X], np.zeros(1, np.int64), 0, 1)
    with pytest.raises(TypeError, match="must be plain bytes"):
        _core.copy_in_rows(X)


def test_what_lies_in_one_piece() -> None:
    X = np.zeros((10, 6, 4), np.float32)
    for view, expected in [
        (X, 96),
        (X[::2, :, :], 96),
        (X[:, ::2, :], 16),
        (X[:, :, ::2], 4),
        (X[:, :, :3], 12),
        (X[:, :, ::-1], 4),
        (X[:, :1, :1], 4),
        (X[:, :, None], 96),
        (X[:, :0], 0),
        (X[:, 0, 0], 4),
    ]:
        assert _core.bytes_in_one_piece(view) == expected


@pytest.mark.parametrize("prepare", [True, False])
def test_later_changes_show_unless_the_array_was_prepared(prepare: bool) -> None:
    X = in_columns()
    batches = gs.MiniBatches(X, axis=1, prepare=prepare)
    X[...] = 7  # before the first epoch: always seen
    epoch = iter(batches)
    assert (next(epoch) == 7).all()
    X[...] = 8
    assert (next(epoch) == (7 if prepare else 8)).all()
    (seen,) = {int(number) for batch in batches for number in batch.ravel()}
    assert seen == (7 if prepare else 8)


def columns_of_a_file(folder: Path) -> Any:
    X = np.memmap(folder / "X", np.float32, "w+", shape=(41, 5000))
    X[...] = 0
    return X


NEVER_PREPARED: dict[str, tuple[Callable[[Path], Any], int]] = {
    "in rows": (lambda folder: np.ascontiguousarray(in_columns().T), 0),
    "in columns, Fortran order": (lambda folder: np.asfortranarray(in_columns()), 1),
    "small": (lambda folder: in_columns()[:, :1000].copy(), 1),
    "small numbers side by side": (lambda folder: in_columns().T.copy()[:, ::2], 0),
    "memory-mapped": (columns_of_a_file, 1),
    "a view of memory-mapped": (lambda folder: np.asarray(columns_of_a_file(folder))[1:], 1),
    "a buffer of memory-mapped": (
        lambda folder: np.frombuffer(memoryview(columns_of_a_file(folder)), np.float32).reshape(
            41, 5000
        ),
        1,
    ),
    "objects": (lambda folder: in_columns(object), 1),
}


@pytest.mark.parametrize("kind", NEVER_PREPARED)
def test_what_is_never_prepared(kind: str, tmp_path: Path) -> None:
    make, axis = NEVER_PREPARED[kind]
    X = make(tmp_path)
    epoch = iter(gs.MiniBatches(X, axis=axis))
    next(epoch)
    X[...] = 101
    assert (next(epoch) == 101).all()


def test_an_array_that_shows_its_memory_many_times_is_not_prepared() -> None:
    # A copy of what the view shows would be a thousand times as large as what there is.
    X = np.broadcast_to(np.zeros((1000, 1, 100)), (1000, 1000, 100))
    tracemalloc.start()
    try:
        next(iter(gs.MiniBatches(X, axis=2, batch_size=1, seed=0)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000 < X.nbytes


def test_only_a_shuffled_epoch_prepares() -> None:
    X = in_columns()
    epoch = iter(gs.MiniBatches(X, axis=1, shuffle=False))
    next(epoch)
    X[...] = 101
    assert (next(epoch) == 101).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_the_axes_of_a_batch_are_ordered_in_memory_as_those_of_an_example(
    order: tuple[int, ...], axis: int
) -> None:
    shape = (70, 80, 90)
    X = np.zeros([shape[a] for a in order], np.float32).transpose(np.argsort(order))
    assert X.shape == shape
    batch = next(iter(gs.MiniBatches(X, axis=axis, batch_size=5)))
    inner = [a for a in order if a != axis]  # outermost first
    assert batch.transpose([axis, *inner]).flags.c_contiguous


def test_a_state_knows_nothing_of_preparing() -> None:
    X = in_columns()

    def batches(prepare: bool) -> gs.MiniBatches:
        return gs.MiniBatches(X, axis=1, seed=0, batch_size=2000, prepare=prepare)

    one, other = batches(True), batches(False)
    for _ in zip(range(2), one, other, strict=False):
        state = one.state_dict()
        assert other.state_dict() == state
    resumed = batches(False)
    resumed.load_state_dict(state)
    np.testing.assert_array_equal(next(iter(resumed)), list(batches(True))[2])


def test_references_are_counted() -> None:
    thing = object()
    X = np.full((4, 6), None, object)
    X[...] = thing
    before = sys.getrefcount(thing)
    for _ in range(3):
        for batch in gs.MiniBatches(X, axis=1, batch_size=4):
            assert sys.getrefcount(thing) == before + batch.size
            del batch
    assert sys.getrefcount(thing) == before


# ---- epochs begun, broken off and overtaken ------------------------------------------------------


def test_epoch_goes_up_with_the_last_batch_and_not_before() -> None:
    batches = gs.MiniBatches(*data(7), batch_size=3, seed=0)
    assert [batches.epoch for _ in batches] == [0, 0, 1]
    assert batches.epoch == 1


def test_a_broken_off_epoch_does_not_count_and_the_next_one_is_whole() -> None:
    batches = gs.MiniBatches(*data(7), batch_size=3, seed=0)
    for _ in batches:
        break
    assert batches.epoch == 0
    (epoch,) = run(batches, 1)
    assert sorted(joined(epoch)) == list(range(7))
    assert epoch == run(gs.MiniBatches(*data(7), batch_size=3, seed=0), 2)[1]
    assert batches.epoch == 1


def test_iter_itself_begins_the_epoch() -> None:
    first_epoch, second_epoch = run(gs.MiniBatches(*data(20), batch_size=6, seed=0), 2)
    batches = gs.MiniBatches(*data(20), batch_size=6, seed=0)
    first, second = iter(batches), iter(batches)
    assert [numbers(batch) for batch in second] == second_epoch
    assert [numbers(batch) for batch in first] == first_epoch


@pytest.mark.parametrize("overtake", ["iter", "load_state_dict"])
def test_an_older_iterator_hands_out_its_batches_and_moves_nothing(overtake: str) -> None:
    (first_epoch,) = run(gs.MiniBatches(*data(20), batch_size=6, seed=0), 1)
    batches = gs.MiniBatches(*data(20), batch_size=6, seed=0)
    older = iter(batches)
    next(older)
    if overtake == "iter":
        next(iter(batches))
    else:
        batches.load_state_dict(batches.state_dict())
    state = batches.state_dict()
    assert [numbers(batch) for batch in older] == first_epoch[1:]
    assert batches.state_dict() == state
    assert batches.epoch == 0


def test_threads_share_an_iterator_and_no_batch_comes_twice() -> None:
    epoch = iter(gs.MiniBatches(np.arange(20_000), batch_size=2, seed=0))
    seen: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(batch.tolist() for batch in epoch))
        for _ in range(4)
    ]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert sorted(joined(seen)) == list(range(20_000))


@contextlib.contextmanager
def failing(error: type[BaseException]) -> Iterator[None]:
    """Let every copy of shuffled examples fail."""

    def fail(*arguments: Any) -> Any:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_core, "gather", fail)
        yield


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_an_error_in_next_leaves_the_batch_to_be_taken_again(error: type[BaseException]) -> None:
    (expected,) = run(gs.MiniBatches(*data(10), batch_size=4, seed=0), 1)
    batches = gs.MiniBatches(*data(10), batch_size=4, seed=0)
    epoch = iter(batches)
    assert numbers(next(epoch)) == expected[0]
    before = batches.state_dict()
    with failing(error), pytest.raises(error):
        next(epoch)
    assert batches.state_dict() == before
    assert [numbers(batch) for batch in epoch] == expected[1:]
    assert batches.epoch == 1


# ---- resumption ----------------------------------------------------------------------------------


def seeded(kind: str = "PCG64", seed: int = 0) -> np.random.Generator:
    return np.random.Generator(getattr(np.random, kind)(seed))


def saved_at(batches: gs.MiniBatches, position: int) -> dict[str, Any]:
    """The state inside the body of the given batch (1 is the first), the epoch then broken off."""
    iterator = iter(batches)
    for _ in range(position):
        next(iterator)
    return batches.state_dict()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("epochs_before", [0, 2])
@pytest.mark.parametrize("position", [None, 0, 1, 2, 3, 4])
def test_a_resumed_run_goes_on_as_the_one_that_never_stopped(
    position: int | None, epochs_before: int, drop_last: bool, shuffle: bool, axis: int
) -> None:
    def fresh(seed: int) -> gs.MiniBatches:
        return gs.MiniBatches(
            *data(16 if drop_last else 14, axis),
            batch_size=4 if not drop_last else 3,
            shuffle=shuffle,
            drop_last=drop_last,
            axis=axis,
            seed=seed,
        )

    whole = run(fresh(seed=0), epochs_before + 3, axis)[epochs_before:]
    stopped = fresh(seed=0)
    run(stopped, epochs_before, axis)
    state = stopped.state_dict() if position is None else saved_at(stopped, position)
    n = len(stopped)

    resumed = fresh(seed=99)
    resumed.load_state_dict(state)
    assert resumed.epoch == epochs_before + (position == n)
    assert len(resumed) == n
    # Inside the last batch the epoch is over: what follows is a whole one, not an empty one.
    left = whole[1:] if position == n else [whole[0][position or 0 :], *whole[1:]]
    assert run(resumed, len(left), axis) == left
    assert resumed.epoch == epochs_before + 3


def test_the_positions_above_reach_the_last_batch() -> None:
    assert len(gs.MiniBatches(*data(14), batch_size=4)) == 4
    assert len(gs.MiniBatches(*data(16), batch_size=3, drop_last=True)) == 5


def test_only_the_first_iter_after_loading_finishes_the_saved_epoch() -> None:
    first, second = run(gs.MiniBatches(*data(10), batch_size=4, seed=0), 2)
    batches = gs.MiniBatches(*data(10), batch_size=4, seed=0)
    batches.load_state_dict(saved_at(batches, 1))
    assert numbers(next(iter(batches))) == first[1]
    assert [numbers(batch) for batch in batches] == second
    assert batches.epoch == 1


def test_a_state_can_be_saved_loaded_and_saved_again_at_any_point() -> None:
    first, second = run(gs.MiniBatches(*data(14), batch_size=4, seed=0), 2)
    state = saved_at(gs.MiniBatches(*data(14), batch_size=4, seed=0), 1)
    for position in (1, 2, 3):
        batches = gs.MiniBatches(*data(14), batch_size=4)
        batches.load_state_dict(state)
        assert batches.state_dict() == state
        iterator = iter(batches)
        assert batches.state_dict() == state
        assert numbers(next(iterator)) == first[position]
        state = batches.state_dict()
    batches.load_state_dict(state)
    assert run(batches, 1) == [second]


def test_loading_twice_is_loading_once() -> None:
    (epoch,) = run(gs.MiniBatches(*data(10), batch_size=4, seed=0), 1)
    state = saved_at(gs.MiniBatches(*data(10), batch_size=4, seed=0), 2)
    batches = gs.MiniBatches(*data(10), batch_size=4)
    for _ in range(2):
        batches.load_state_dict(state)
        batches.load_state_dict(state)
        assert run(batches, 1) == [epoch[2:]]
        assert batches.epoch == 1


def test_loading_in_the_middle_of_a_loop_rewinds_to_the_saved_batch() -> None:
    (epoch,) = run(gs.MiniBatches(*data(10), batch_size=4, seed=0), 1)
    batches = gs.MiniBatches(*data(10), batch_size=4, seed=0)
    for i, _ in enumerate(batches):
        if i == 0:
            state = batches.state_dict()
    assert batches.epoch == 1
    batches.load_state_dict(state)
    assert batches.epoch == 0
    assert run(batches, 1) == [epoch[1:]]


def test_others_may_draw_from_a_shared_generator() -> None:
    """Dropout, say: its numbers and the later epochs are those of the run that never stopped."""

    def trace(batches: gs.MiniBatches, generator: np.random.Generator) -> list[Any]:
        return [(numbers(batch), generator.random()) for _ in range(3) for batch in batches]

    generator = np.random.default_rng(0)
    whole = trace(gs.MiniBatches(*data(10), batch_size=4, seed=generator), generator)

    generator = np.random.default_rng(0)
    stopped = gs.MiniBatches(*data(10), batch_size=4, seed=generator)
    for _ in stopped:
        generator.random()
        state = stopped.state_dict()
        break

    generator = np.random.default_rng(1)
    resumed = gs.MiniBatches(*data(10), batch_size=4, seed=generator)
    resumed.load_state_dict(state)
    assert trace(resumed, generator) == whole[1:]


@pytest.mark.parametrize("position", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "SFC64", "Philox"])
def test_every_bit_generator_is_saved_as_plain_values(kind: str, position: int) -> None:
    def check(value: Any, arrays: bool = False) -> None:
        if type(value) is dict:
            assert all(type(key) is str for key in value)
            for inner in value.values():
                check(inner, arrays or "bit_generator" in value)
        elif not (arrays and type(value) is np.ndarray and value.dtype.kind == "u"):
            assert value is None or type(value) in (int, str, bool)

    whole = run(gs.MiniBatches(*data(10), batch_size=4, seed=seeded(kind)), 2)
    state = saved_at(gs.MiniBatches(*data(10), batch_size=4, seed=seeded(kind)), position)
    check(state)
    resumed = gs.MiniBatches(*data(10), batch_size=4, seed=seeded(kind, 1))
    resumed.load_state_dict(pickle.loads(pickle.dumps(state)))
    assert run(resumed, 1) == ([whole[0][position:]] if position < 3 else [whole[1]])


def test_the_default_state_survives_json() -> None:
    state = saved_at(gs.MiniBatches(*data(10), batch_size=4, seed=0), 2)
    assert json.loads(json.dumps(state)) == state


@pytest.mark.parametrize("kind", ["PCG64", "MT19937"])
def test_the_state_is_a_snapshot_on_the_way_out_and_on_the_way_in(kind: str) -> None:
    def wreck(value: Any) -> None:
        if isinstance(value, np.ndarray):
            value[...] = 0
        elif isinstance(value, dict):
            for inner in value.values():
                wreck(inner)
            value.clear()

    def flat(state: dict[str, Any]) -> bytes:
        return pickle.dumps(state)

    first, second = run(gs.MiniBatches(*data(14), batch_size=4, seed=seeded(kind)), 2)
    batches = gs.MiniBatches(*data(14), batch_size=4, seed=seeded(kind))
    running = iter(batches)
    next(running)
    state = batches.state_dict()
    then = flat(state)
    wreck(batches.state_dict())  # what was handed out is not what the object works with
    assert flat(batches.state_dict()) == then
    run(batches, 2)
    assert flat(state) == then  # nor does the object's life change what was handed out

    batches.load_state_dict(state)
    assert flat(state) == then
    wreck(state)
    assert run(batches, 2) == [first[1:], second]


@given(st.data())
def test_any_run_resumes_anywhere(source: st.DataObject) -> None:
    m = source.draw(st.integers(1, 40), "m")
    batch_size = source.draw(st.integers(1, 50), "batch_size")
    drop_last = source.draw(st.booleans(), "drop_last") and batch_size <= m
    settings: dict[str, Any] = {"batch_size": batch_size, "drop_last": drop_last}
    seed = source.draw(st.integers(0, 2**70), "seed")
    epochs = run(gs.MiniBatches(*data(m), seed=seed, **settings), 3)
    for epoch in epochs:
        flat = joined(epoch)
        assert epoch == cut(flat, batch_size, drop_last)
        assert len(set(flat)) == len(flat) == (m // batch_size * batch_size if drop_last else m)

    batches = gs.MiniBatches(*data(m), seed=seed, **settings)
    stop = source.draw(st.integers(0, 2 * len(batches)), "stop")
    for _ in range(stop // len(batches)):
        run(batches, 1)
    state = saved_at(batches, stop % len(batches))
    resumed = gs.MiniBatches(*data(m), **settings)
    resumed.load_state_dict(state)
    assert joined(run(resumed, 3 - stop // len(batches))) == joined(epochs)[stop:]
    assert resumed.epoch == 3


@pytest.mark.parametrize("interrupted", ["in the loop's body", "in next()"])
def test_a_state_saved_while_an_interruption_is_handled_is_that_of_a_broken_off_epoch(
    interrupted: str,
) -> None:
    # The exception still holds the frames that it came through.
    batches = gs.MiniBatches(*data(10), batch_size=4, seed=0)
    with contextlib.ExitStack() as until_it_is_handled:
        try:
            for _ in batches:
                if interrupted == "in the loop's body":
                    raise KeyboardInterrupt
                until_it_is_handled.enter_context(failing(KeyboardInterrupt))
        except KeyboardInterrupt:
            state = batches.state_dict()
    assert batches.state_dict() == state
    resumed = gs.MiniBatches(*data(10), batch_size=4)
    resumed.load_state_dict(state)
    assert run(resumed, 2) == run(batches, 2)


class Plain:
    """The oracle: a run that never stops, in plain Python."""

    def __init__(self, source: st.DataObject) -> None:
        self.m = source.draw(st.integers(1, 12), "m")
        self.batch_size = source.draw(st.integers(1, 14), "batch_size")
        self.drop_last = source.draw(st.booleans(), "drop_last") and self.batch_size <= self.m
        self.shuffle = source.draw(st.booleans(), "shuffle")
        self.axis = source.draw(st.sampled_from([0, 1]), "axis")
        self.ranks = source.draw(st.integers(1, 3), "ranks")
        self.rank = source.draw(st.integers(0, self.ranks - 1), "rank")
        self.generator = np.random.default_rng(0)
        self.epoch = 0
        self.left: Epoch = []  # of the epoch under way

    def batches(self, seed: int) -> gs.MiniBatches:
        return gs.MiniBatches(
            *data(self.m, self.axis),
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            drop_last=self.drop_last,
            axis=self.axis,
            seed=seed,
            shard=(self.rank, self.ranks),
        )

    def begin(self) -> None:
        order = list(range(self.m))
        if self.shuffle:
            order = self.generator.permutation(self.m).tolist()
        self.left = cut(order, self.batch_size, self.drop_last)

    def next(self) -> list[int] | None:
        if not self.left:
            return None
        whole = self.left.pop(0)
        self.epoch += not self.left
        begin, end = (len(whole) * r // self.ranks for r in (self.rank, self.rank + 1))
        return whole[begin:end]


STATEMENTS = {
    "running = iter(batches)": 2,
    "next(running)": 6,
    "del running": 1,
    "running.close()": 1,
    "next(an older iterator)": 1,
    "for batch in batches: ...": 1,
    "for batch in batches: break": 1,
    "for batch in islice(batches, 2): ...": 1,
    "save": 3,
    "load": 3,
}


@given(st.data())
def test_any_program_goes_on_as_the_run_that_never_stopped(
    tmp_path_factory: pytest.TempPathFactory, source: st.DataObject
) -> None:
    plain = Plain(source)
    batches = plain.batches(seed=0)
    path = tmp_path_factory.getbasetemp() / "batches.ckpt"
    saved: tuple[Any, Plain] | None = None
    running: Any = None
    older: list[Any] = []

    def handed_out(batch: Any) -> list[int] | None:
        return None if batch is None else numbers(batch, plain.axis)

    statements = [name for name, weight in STATEMENTS.items() for _ in range(weight)]
    for statement in source.draw(st.lists(st.sampled_from(statements), max_size=30), "program"):
        if statement == "save":
            if source.draw(st.booleans(), "to a file"):
                gs.save(path, batches=batches)
                state = None
            else:
                state = batches.state_dict()
            saved = state, copy.deepcopy(plain)
        elif statement == "load":
            if saved is None:
                continue
            older, running = [*older, running], None
            if source.draw(st.booleans(), "into a new object"):
                batches = plain.batches(seed=source.draw(st.integers(1, 9), "seed"))
            state, plain = saved[0], copy.deepcopy(saved[1])
            if state is None:
                gs.load(path, batches=batches)
            else:
                batches.load_state_dict(state)
        elif statement == "next(an older iterator)":
            for iterator in filter(None, older):
                next(iterator, None)
        else:
            if running is None and plain.left:
                running = iter(batches)  # first the resumed run finishes the epoch
            if statement == "next(running)":
                if running is not None:
                    assert handed_out(next(running, None)) == plain.next()
            elif statement in ("del running", "running.close()"):
                if statement == "running.close()" and running is not None:
                    older.append(running)
                    running.close()
                    assert next(running, None) is None
                running, plain.left = None, []
            else:
                plain.begin()
                older, running = [*older, running], None
                if statement == "running = iter(batches)":
                    running = iter(batches)
                elif statement == "for batch in batches: break":
                    for batch in batches:
                        assert handed_out(batch) == plain.next()
                        break
                    plain.left = []
                else:
                    most = 2 if "islice" in statement else None
                    for batch in itertools.islice(batches, most):
                        assert handed_out(batch) == plain.next()
                    plain.left = []

        assert batches.epoch == plain.epoch
        state = batches.state_dict()
        assert state["epoch"] == plain.epoch
        assert state["position"] == (len(batches) - len(plain.left) if plain.left else 0)
        assert (state["order_from"] is None) == (not plain.left)
        assert state["random"] == plain.generator.bit_generator.state


def test_the_loop_that_resumes_ends_with_the_epochs_of_the_run_that_never_stopped() -> None:
    def train(batches: gs.MiniBatches) -> tuple[list[list[int]], list[dict[str, Any]]]:
        seen: list[list[int]] = []
        states = [batches.state_dict()]
        while batches.epoch < 3 and len(seen) < 10:
            for batch in batches:
                seen.append(numbers(batch))
                states.append(batches.state_dict())
        return seen, states

    whole, states = train(gs.MiniBatches(*data(10), batch_size=4, seed=0))
    assert len(whole) == 9
    for i, state in enumerate(states):
        resumed = gs.MiniBatches(*data(10), batch_size=4, seed=1)
        resumed.load_state_dict(state)
        assert train(resumed)[0] == whole[i:]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_a_copy_goes_on_from_the_place_of_the_original(duplicate: Callable[[Any], Any]) -> None:
    batches = gs.MiniBatches(*data(10), batch_size=4, seed=0)
    running = iter(batches)
    next(running)
    twin = duplicate(batches)
    assert twin.state_dict() == batches.state_dict()
    assert [numbers(batch) for batch in twin] == [numbers(batch) for batch in running]
    assert run(twin, 1) == run(batches, 1)


def test_a_state_has_the_keys_of_the_first_version() -> None:
    random = np.random.default_rng(0).bit_generator.state
    state = {
        "m": 10,
        "batch_size": 4,
        "shuffle": False,
        "drop_last": False,
        "epoch": 2,
        "position": 1,
        "order_from": random,
        "random": random,
    }
    batches = gs.MiniBatches(*data(10), batch_size=4, shuffle=False)
    batches.load_state_dict(state)
    assert list(batches.state_dict().items()) == list(state.items())
    assert run(batches, 1) == [[[4, 5, 6, 7], [8, 9]]]
    assert batches.epoch == 3


# ---- attributes ----------------------------------------------------------------------------------


class Counting(gs.MiniBatches):
    """A user's subclass with an attribute of its own."""

    def __init__(self, *arrays: Any, **options: Any) -> None:
        super().__init__(*arrays, **options)
        self.begun = 0

    def __iter__(self) -> Iterator[Any]:
        self.begun += 1
        return super().__iter__()


CANNOT_BE_SET: list[tuple[str, Any, str]] = [
    (
        name,
        20,
        rf"^attribute '{name}' of .*; arguments are fixed: make a .*\(\.\.\., {name}=\.\.\.\)$",
    )
    for name in inspect.signature(gs.MiniBatches).parameters
    if name != "arrays"
]
CANNOT_BE_SET.append(("epoch", 3, r"^attribute 'epoch' of .* cannot be set; .* load_state_dict"))


@pytest.mark.parametrize("kind", [gs.MiniBatches, Counting])
@pytest.mark.parametrize(("name", "value", "message"), CANNOT_BE_SET)
def test_what_cannot_be_set(
    kind: type[gs.MiniBatches], name: str, value: Any, message: str
) -> None:
    batches = kind(*data(10), batch_size=4)
    before = repr(batches)
    with pytest.raises(AttributeError, match=message):
        setattr(batches, name, value)
    assert repr(batches) == before


def test_an_attribute_that_does_not_exist_is_refused() -> None:
    batches = gs.MiniBatches(*data(10))
    with pytest.raises(AttributeError, match=r"does not exist; did you mean 'batch_size'\?"):
        batches.batchsize = 20  # type: ignore[attr-defined]
    assert not hasattr(batches, "batchsize")


def test_a_subclass_has_attributes_of_its_own() -> None:
    batches = Counting(*data(10), batch_size=4)
    run(batches, 2)
    assert batches.begun == 2


def test_no_code_of_python_runs_between_drawing_an_order_and_noting_it() -> None:
    class Watched(gs.MiniBatches):
        def __setattr__(self, name: str, value: object) -> None:
            names.append(name)
            super().__setattr__(name, value)

    names: list[str] = []
    batches = Watched(*data(10), batch_size=4)
    assert "_place" in names
    names.clear()
    iter(batches)
    batches.load_state_dict(batches.state_dict())
    assert names == []


def test_arguments_are_read_as_they_were_given() -> None:
    options = {"batch_size": 3, "shuffle": False, "drop_last": True, "axis": -1}
    batches = gs.MiniBatches(*data(10, axis=1), **options)  # type: ignore[arg-type]
    assert {name: getattr(batches, name) for name in options} == options


# ---- examples in columns -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        ([(2, 300)], {}),
        ([(2, 300), (2, 300)], {}),
        ([(2, 300)], {"shuffle": False, "batch_size": 2}),
        ([(64, 65)], {}),
    ],
)
def test_what_looks_like_examples_in_columns_warns(
    shapes: list[tuple[int, ...]], options: dict[str, Any]
) -> None:
    arrays = [np.zeros(shape) for shape in shapes]
    m, n = shapes[0]
    with pytest.warns(
        UserWarning,
        match=rf"^an epoch is one batch of {m} .* shape \({m}, {n}\); pass axis=1 if .* {n} col",
    ) as caught:
        gs.MiniBatches(*arrays, **options)
    assert [warning.filename for warning in caught] == [__file__]
    # Either advice works: warnings are errors here.
    assert len(gs.MiniBatches(*arrays, **options, axis=1)) == -(-n // options.get("batch_size", 64))
    assert len(gs.MiniBatches(*arrays, **options, axis=0)) == 1


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        ([(300, 2)], {}),
        ([(2, 2)], {}),
        ([(784, 60_000)], {}),  # may be either
        ([(3, 300)], {"batch_size": 2}),
        ([(2, 300), (2, 1)], {}),
        ([(2, 300), (2,)], {}),
        ([(2, 300, 3)], {}),
        ([(2,)], {}),
    ],
)
def test_other_shapes_do_not_warn(shapes: list[tuple[int, ...]], options: dict[str, Any]) -> None:
    gs.MiniBatches(*(np.broadcast_to(np.zeros(1), shape) for shape in shapes), **options)


# ---- errors --------------------------------------------------------------------------------------

X, y = data(10)


class Sparse:
    """What scipy's sparse matrices offer, as far as it matters here."""

    def toarray(self) -> Any:
        raise AssertionError("nobody asked for a dense copy")


class OnAnotherDevice:
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise RuntimeError("cannot convert a tensor on device 3")


NOT_ARRAYS: list[tuple[Any, str]] = [
    ([1.0, 2.0], r" or an object .*, got list; .*numpy\.asarray"),
    (np.timedelta64(1, "s"), r" or .*, got timedelta64; .*numpy\.asarray"),
    ((1.0, 2.0), r" or .*, got tuple; .*numpy\.asarray"),
    ("0123456789", r" or .*, got str; "),
    (b"0123456789", r" or .*, got bytes; "),
    (None, r" or .*, got None; "),
    (3.5, r" or .*, got float; "),
    (np.float64(3.5), r" or .*, got float64; "),
    (32, r" or .*, got int; .*a keyword, batch_size=32"),
    (np.int64(32), r" or .*, got int64; .*a keyword, batch_size=32"),
    ({"a": 1}, r" or .*, got dict; "),
    (range(10), r" or .*, got range; "),
    (Sparse(), r" or .*, got Sparse; .*\.toarray\(\)"),
    (np.ma.masked_less(y, 3), r" without a mask, got MaskedArray; .*\.filled"),
    (OnAnotherDevice(), r" or .*, got OnAnotherDevice.* cannot convert a tensor on device 3"),
]


@pytest.mark.parametrize(
    ("given_", "message"), NOT_ARRAYS, ids=[type(v).__name__ for v, _ in NOT_ARRAYS]
)
def test_what_is_not_an_array_is_a_type_error(given_: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^array 1 must be a NumPy array{message}"):
        gs.MiniBatches(X, given_)


def test_no_array_is_a_type_error() -> None:
    with pytest.raises(
        TypeError, match=r"^arrays must be at least one, got none; write MiniBatches\(X, y"
    ):
        gs.MiniBatches()


CYCLE: list[Any] = []
CYCLE.append(CYCLE)

WRONG_VALUES: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    (
        (X, y[:9]),
        {},
        r"array 1 must have 10 examples along axis 0, like array 0 .*, got 9 .*; give all the same",
    ),
    ((X[:9], y), {}, r"array 1 must have 9 .*\(shape \(9, 2\)\), got 10 \(shape \(10, 1\)\)"),
    ((X, X.T, y), {}, r"array 1 must have 10 examples along axis 0, .* got 2 .* same number$"),
    (
        (X.T, y.T),
        {},
        r"array 1 must have 2 .* got 1 .*, or pass axis=1 if the examples are the 10 along that ax",
    ),
    ((X, y), {"axis": 1}, r"array 1 .* got 1 .*, or pass axis=0 if the examples are the 10 along"),
    ((X.T, y[:, 0]), {}, r"array 1 .* got 10 .*, or pass axis=-1 if the examples are the 10 along"),
    ((X, y[:0]), {}, r"array 1 must have 10 examples .* got 0"),
    (
        (X.T, y[:, 0]),
        {"axis": 1},
        r"array 1 must have an axis 1, got shape \(10,\); reshape it to \(1, 10\), or pass axis=-1 i",
    ),
    ((X, y[:, 0]), {"axis": -2}, r"array 1 .* axis -2, .* reshape it to 2-D, or pass axis=0 if"),
    (
        (X,),
        {"axis": 2},
        r"array 0 must have an axis 2, got shape \(10, 2\); reshape it to 3-D, or pass axis=0",
    ),
    ((np.array(3.0),), {}, r"array 0 must .* axis 0, got shape \(\); pass an array of examples"),
    (
        (X[:0], y[:0]),
        {},
        r"array 0 must have at least one example along axis 0, got shape \(0, 2\)",
    ),
    ((X[:, :0],), {"axis": 1}, r"array 0 must have at least one .* axis 1, got shape \(10, 0\)"),
    ((X,), {"batch_size": 0}, r"batch_size must be an integer >= 1, got 0$"),
    ((X,), {"batch_size": -3}, r"batch_size must be an integer >= 1, got -3$"),
    (
        (X,),
        {"drop_last": True},
        r"batch_size must be <= 10, .* with drop_last=True, got 64; take fewer, or drop_last=False",
    ),
    (
        (X,),
        {"seed": -1},
        r"seed must be None, an integer >= 0, .*SeedSeq.* or .*Generator, got -1$",
    ),
    ((X,), {"seed": [1, -1]}, r"seed must be None, an integer >= 0, .*, got \[1, -1\]$"),
    ((X,), {"seed": 0, "shard": (2, 2)}, r"shard must be \(rank, size\) with .*, got \(2, 2\)$"),
    (
        (X,),
        {"seed": 0, "shard": (0, 1, 2)},
        r"shard must be a list or tuple of 2, got \(0, 1, 2\)$",
    ),
    ((X,), {"seed": 0, "shard": (-1, 2)}, r"shard\[0\] must be an integer >= 0, got -1$"),
    ((X,), {"seed": 0, "shard": (0, 0)}, r"shard\[1\] must be an integer >= 1, got 0$"),
    (
        (X,),
        {"shard": (0, 2)},
        r"seed must be the same on every rank with shard=\(0, 2\), got None, .*; pass a seed, or sh",
    ),
]

WRONG_TYPES: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((X,), {"axis": 0.0}, r"axis must be an integer, got 0\.0$"),
    ((X,), {"axis": None}, r"axis must be an integer, got None$"),
    ((X,), {"axis": True}, r"axis must be an integer, got True$"),
    ((X,), {"batch_size": 4.0}, r"batch_size must be an integer >= 1, got 4\.0$"),
    ((X,), {"batch_size": "4"}, r"batch_size must be an integer >= 1, got '4'$"),
    ((X,), {"batch_size": None}, r"batch_size must be an integer >= 1, got None$"),
    ((X,), {"batch_size": True}, r"batch_size must be an integer >= 1, got True$"),
    ((X,), {"shuffle": "False"}, r"shuffle must be True or False, got 'False'$"),
    ((X,), {"shuffle": None}, r"shuffle must be True or False, got None$"),
    ((X,), {"drop_last": 1}, r"drop_last must be True or False, got 1$"),
    ((X,), {"prepare": "no"}, r"prepare must be True or False, got 'no'$"),
    ((X,), {"seed": "zero"}, r"seed must be None, an integer .*, got 'zero'$"),
    ((X,), {"seed": 1.5}, r"seed must be None, an integer .*, got 1\.5$"),
    ((X,), {"seed": CYCLE}, r"seed must be None, an integer >= 0, .*, got \[\[\.\.\.\]\]$"),
    ((X,), {"seed": np.array([0.5])}, r"seed must be None, .*, got array\(\[0\.5\]\)$"),
    ((X,), {"seed": 0, "shard": 2}, r"shard must be a list or tuple of 2, got 2$"),
    ((X,), {"seed": 0, "shard": "01"}, r"shard must be a list or tuple of 2, got '01'$"),
    ((X,), {"seed": 0, "shard": (0.0, 2)}, r"shard\[0\] must be an integer >= 0, got 0\.0$"),
]


@pytest.mark.parametrize(
    ("arrays", "settings", "message"), WRONG_VALUES, ids=[row[2] for row in WRONG_VALUES]
)
def test_a_wrong_value(arrays: tuple[Any, ...], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        gs.MiniBatches(*arrays, **settings)


@pytest.mark.parametrize(
    ("arrays", "settings", "message"), WRONG_TYPES, ids=[row[2] for row in WRONG_TYPES]
)
def test_a_wrong_type(arrays: tuple[Any, ...], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        gs.MiniBatches(*arrays, **settings)


def test_numpy_integers_and_bools_serve_as_settings() -> None:
    settings: dict[str, Any] = {
        "batch_size": np.int32(4),
        "shuffle": np.bool_(False),
        "drop_last": np.bool_(True),
        "axis": np.int64(0),
    }
    batches = gs.MiniBatches(X, y, **settings)
    assert run(batches, 1) == [[[0, 1, 2, 3], [4, 5, 6, 7]]]
    assert json.loads(json.dumps(batches.state_dict())) == batches.state_dict()


def test_the_state_must_be_a_mapping() -> None:
    with pytest.raises(TypeError, match=r"^the state must be a mapping, got list$"):
        gs.MiniBatches(X).load_state_dict([])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^the state must be a mapping, got NoneType$"):
        gs.MiniBatches(X).load_state_dict(None)  # type: ignore[arg-type]


CYCLIC_DICT: dict[str, Any] = {}
CYCLIC_DICT["again"] = CYCLIC_DICT
PCG64 = np.random.PCG64(0).state
MT19937 = np.random.MT19937(0).state
ABSENT = object()

# One key of a good state (saved at position 1 of 3) changed, and what is said about it.
DAMAGED: list[tuple[str, Any, str]] = [
    ("epoch", ABSENT, r"the state must have the keys .*, epoch, .*, got \[.*\]; load what"),
    ("random", ABSENT, r"the state must have the keys .*, random, got \["),
    ("shard", 1, r"the state must have the keys .*, got \[.*'shard'\]; load"),
    ("m", 11, r"the state must be of m=10, got m=11; make this object with the arrays"),
    ("m", 10.0, r"the state must be of m=10, got m=10\.0"),
    ("m", VALUES, r"the state must be of m=10, got m=array\("),
    ("batch_size", 5, r"the state must be of batch_size=4, got batch_size=5"),
    ("batch_size", None, r"the state must be of batch_size=4, got batch_size=None"),
    ("shuffle", False, r"the state must be of shuffle=True, got shuffle=False"),
    ("shuffle", 1, r"the state must be of shuffle=True, got shuffle=1"),
    ("drop_last", True, r"the state must be of drop_last=False, got drop_last=True"),
    ("epoch", -1, r"epoch of the state must be an integer >= 0, got -1"),
    ("epoch", 1.0, r"epoch of the state must be an integer >= 0, got 1\.0"),
    ("epoch", True, r"epoch of the state must be an integer >= 0, got True"),
    ("position", -1, r"position of the state must be an integer >= 0, got -1"),
    ("position", 3, r"position of the state must be an integer below 3, got 3"),
    ("position", "1", r"position of the state must be an integer >= 0, got '1'"),
    ("order_from", None, r"order_from of the state must .* at position 1, got None; .* damaged"),
    (
        "order_from",
        MT19937,
        r"order_from of the state must be of the bit gen.* 'PCG64', .* got 'MT19937'; pass",
    ),
    ("order_from", {**PCG64, "state": {}}, r"order_from of .* got a damaged one \(KeyError"),
    (
        "order_from",
        {**PCG64, "state": {"state": Decimal("sNaN"), "inc": 1}},
        r"order_from .* of PCG64, got a damaged one \(TypeError.*sNaN.* is not an integer",
    ),
    ("random", {**PCG64, "has_uint32": np.complex64(0)}, r"random of .* is not an integer"),
    ("random", {**PCG64, "state": CYCLIC_DICT}, r"random of .* a damaged one \(RecursionError"),
    ("random", {**PCG64, "uinteger": 0.5}, r"random of .*0\.5 is not an integer"),
    ("random", MT19937, r"random of the state must be of .* 'PCG64', .* got 'MT19937'; pass"),
    ("random", None, r"random of the state must be of .* 'PCG64', .* got None"),
    ("random", {}, r"random of the state must be of .* 'PCG64', .* got None"),
    ("random", VALUES, r"random of the state must be of .* 'PCG64', .* got array\("),
    ("random", {"bit_generator": VALUES}, r"random of .* 'PCG64', .* got array\("),
    ("random", {**PCG64, "state": {}}, r"random of .* a damaged one \(KeyError"),
    ("random", {**PCG64, "state": None}, r"random of .* a damaged one \(TypeError"),
    ("random", {**PCG64, "has_uint32": 2**99}, r"random of .* a damaged one \(OverflowError"),
]


@pytest.mark.parametrize(
    ("key", "value", "message"), DAMAGED, ids=[f"{k}={v!r:.20}" for k, v, _ in DAMAGED]
)
def test_a_state_that_does_not_fit_changes_nothing(key: str, value: Any, message: str) -> None:
    state = saved_at(gs.MiniBatches(X, y, batch_size=4, seed=0), 1)
    if value is ABSENT:
        del state[key]
    else:
        state[key] = value

    whole = run(gs.MiniBatches(X, y, batch_size=4, seed=1), 3)
    batches = gs.MiniBatches(X, y, batch_size=4, seed=1)
    run(batches, 1)
    iterator = iter(batches)
    next(iterator)
    before = batches.state_dict()
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        batches.load_state_dict(state)
    assert batches.state_dict() == before
    assert [numbers(batch) for batch in iterator] == whole[1][1:]
    assert batches.epoch == 2
    assert run(batches, 1) == whole[2:]


def test_a_good_state_is_taken_where_the_damaged_ones_are_not() -> None:
    state = saved_at(gs.MiniBatches(X, y, batch_size=4, seed=0), 1)
    batches = gs.MiniBatches(X, y, batch_size=4, seed=1)
    batches.load_state_dict(copy.deepcopy(state))
    assert batches.state_dict() == state


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("key", [1, 2], "IndexError"), ("key", None, "TypeError"), ("pos", "x", "TypeError")],
)
def test_a_damaged_array_in_a_random_state_is_named(key: str, value: Any, message: str) -> None:
    batches = gs.MiniBatches(X, y, seed=seeded("MT19937"))
    state = batches.state_dict()
    state["random"]["state"][key] = value
    with pytest.raises(ValueError, match=rf"^random of .* MT19937, got a damaged one \({message}"):
        batches.load_state_dict(state)


def test_messages_are_one_line() -> None:
    for arrays, settings, _ in WRONG_VALUES + WRONG_TYPES:
        with pytest.raises((TypeError, ValueError), match=re.compile(r"\A[^\n]+\Z")):
            gs.MiniBatches(*arrays, **settings)
