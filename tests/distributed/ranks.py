"""Checks that every rank of an MPI job runs: a list of them, a program that runs some, what they share.

The program is started by test_distributed.py with a folder and the names of checks. Each rank notes in a
file of its own how each check ended there: a line with its name and null, or the traceback.
"""

from __future__ import annotations

import contextlib
import faulthandler
import inspect
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs

Array = NDArray[Any]
Check = Callable[[], object]

CHECKS: dict[str, Check] = {}
# What a rank whose check has failed gives the others to end theirs: they may wait for it in vain.
PATIENCE = 10.0


def check(run: Check) -> Check:
    """Put a check on the list, under its name in words."""
    CHECKS[run.__name__.replace("_", " ")] = run
    return run


@cache
def world() -> Any:
    from mpi4py import MPI

    return MPI.COMM_WORLD


def rank() -> int:
    return int(world().Get_rank())


def size() -> int:
    return int(world().Get_size())


def Sharded(kind: Any, params: Any, comm: Any = None, **options: Any) -> gs.distributed.Sharded:
    """Return one with its rate where that has no default, as Keras's and optax's have not."""
    is_class = isinstance(kind, type)
    rate = inspect.signature(kind).parameters.get("learning_rate") if is_class else None
    if rate is not None and rate.default in (rate.empty, None):
        options = {"learning_rate": 0.1, **options}
    return gs.distributed.Sharded(kind, params, comm, **options)


def mapped(make: Callable[[Array], Any], tree: Any) -> Any:
    """Return a structure of dicts and lists with each array replaced."""
    if isinstance(tree, dict):
        return {key: mapped(make, entry) for key, entry in tree.items()}
    if isinstance(tree, list):
        return [mapped(make, entry) for entry in tree]
    return make(tree)


def model(seed: int = 0) -> dict[str, Any]:
    """Return parameters of both dtypes in every kind of memory layout, none of any size to speak of."""
    rng = np.random.default_rng(seed)

    def of(*shape: int, dtype: Any = np.float32) -> Array:
        return np.array(rng.normal(size=shape), dtype)

    return {
        "W": of(23, 17),
        "fortran": np.asfortranarray(of(7, 5, dtype=np.float64)),
        "strided": of(9, 8)[::2, ::-2],
        "layers": [{"turned": of(3, 4, 5).transpose(2, 0, 1)}, {"scalar": of(dtype=np.float64)}],
        "backwards": of(11, dtype=np.float64)[::-1],
        "empty": of(3, 0),
        "b": of(17),
        "every other": of(26, dtype=np.float64)[::2],
    }


def gradients(params: Any, *seed: int) -> Any:
    """Return random gradients, some laid out as the parameters are not, which nobody may write to."""
    rng = np.random.default_rng(seed)

    def like(w: Array) -> Array:
        g = np.array(rng.normal(size=w.shape), w.dtype)
        if w.ndim == 2 and w.size % 2:
            g = np.asfortranarray(g)
        elif w.ndim == 1 and w.size % 2:
            g = np.repeat(g, 2)[::2]
        g.flags.writeable = False
        return g

    return mapped(like, params)


def copied(tree: Any) -> Any:
    return mapped(lambda a: a.copy(), tree)


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Return where two nested values differ, arrays by their bits."""
    if isinstance(a, dict) and isinstance(b, dict):
        found = [f"{path}/{key}: only on one side" for key in a.keys() ^ b.keys()]
        for key in a.keys() & b.keys():
            found += differences(a[key], b[key], f"{path}/{key}")
        return found
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return [f"{path}: {len(a)} entries, and {len(b)}"]
        return [d for i, x in enumerate(a) for d in differences(x, b[i], f"{path}/{i}")]
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        same = (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
        if same:
            return []
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return [f"{path}: {a.dtype}{a.shape}, and {b.dtype}{b.shape}"]
        with np.errstate(invalid="ignore"):
            most = np.max(np.abs(a - b), initial=0)
        return [f"{path}: {np.count_nonzero(a != b)} of {a.size} differ, by up to {most}"]
    return [] if a == b or repr(a) == repr(b) == "nan" else [f"{path}: {a!r}, and {b!r}"]


def assert_same(a: Any, b: Any, about: object = "") -> None:
    """Require equal values, arrays bit by bit."""
    found = differences(a, b)
    assert not found, f"{about}: {'; '.join(found[:5])}"


def assert_same_everywhere(value: object) -> None:
    """Require that a plain value, or the bytes of an array, are the same on all ranks."""
    if isinstance(value, np.ndarray):
        value = value.tobytes()
    said = world().allgather(value)
    assert said == said[:1] * len(said), said


@contextlib.contextmanager
def refused(error: type[BaseException], words: str) -> Iterator[None]:
    """Require this very type of error, and words in its message."""
    with pytest.raises(error, match=words) as met:
        yield
    assert met.type is error, f"{met.type.__name__}: {met.value}"


@contextlib.contextmanager
def refused_by_all(culprit: int, error: type[BaseException], words: str) -> Iterator[None]:
    """Require an error on one rank, and on the others a RuntimeError that names it and says what it was."""
    if rank() == culprit:
        with refused(error, words):
            yield
    else:
        with refused(RuntimeError, rf"rank {culprit} of {size()} .*{error.__name__}: .*{words}"):
            yield


def run(folder: str, names: list[str]) -> None:
    """Run checks one after another, and note how each ended."""
    from mpi4py import MPI

    comm = world().Dup()
    with open(Path(folder) / str(rank()), "w", encoding="utf-8") as notes:
        for name in names:
            text = None
            try:
                CHECKS[name]()
            except BaseException:  # noqa: BLE001 - whatever it was is noted
                text = traceback.format_exc()
            notes.write(json.dumps([name, text]) + "\n")
            notes.flush()
            everybody = comm.Ibarrier()
            until = time.monotonic() + PATIENCE
            while not everybody.Test():
                if text is not None and time.monotonic() > until:
                    sys.stderr.write(f"{name}: rank {rank()} failed, and others wait for it\n")
                    sys.stderr.flush()
                    MPI.COMM_WORLD.Abort(1)
                time.sleep(0.001)


if __name__ == "__main__":
    # Where each rank stands, before whoever started them loses patience.
    faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True)
    # By that name, so that checks and program share one list.
    import rank_checks  # noqa: F401 - puts them there
    import ranks

    ranks.run(sys.argv[1], sys.argv[3:])
