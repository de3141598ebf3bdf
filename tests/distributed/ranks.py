"""The checks that each rank of an MPI job runs: the list of them, and the program that runs some.

The checks themselves are in rank_checks/, by method. test_distributed.py starts this program with a
folder, a time limit and the names of checks. Each rank notes in a file of its own how each check
ended: a line with its name and null, or the traceback.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

Check = Callable[[], object]

CHECKS: dict[str, Check] = {}
# If a check fails on one rank, the others get so long to end theirs: they may wait for it in vain.
PATIENCE = 10.0


def check(run: Check) -> Check:
    """Put a check on the list, under its name in words."""
    CHECKS[run.__name__.replace("_", " ")] = run
    return run


def load_checks() -> dict[str, Check]:
    """Import all modules with checks, which puts these on the list, and return it."""
    for path in sorted(Path(__file__).with_name("rank_checks").glob("*.py")):
        importlib.import_module(f"rank_checks.{path.stem}")
    return CHECKS


@cache
def world() -> Any:
    from mpi4py import MPI

    return MPI.COMM_WORLD


def rank() -> int:
    return int(world().Get_rank())


def size() -> int:
    return int(world().Get_size())


@contextlib.contextmanager
def refused(error: type[BaseException], words: str) -> Iterator[None]:
    """Require exactly this type of error, and words in its message."""
    with pytest.raises(error, match=words) as met:
        yield
    assert met.type is error, f"{met.type.__name__}: {met.value}"


@contextlib.contextmanager
def refused_by_all(culprit: int, error: type[BaseException], words: str) -> Iterator[None]:
    """Require an error on one rank, and on the others a RuntimeError that names both."""
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
            except BaseException:  # noqa: BLE001 - any error is noted
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
    # If the job hangs, each rank says where, before the test's own time limit.
    faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True)
    # By this name, so that the checks and the program share one list.
    import ranks

    ranks.load_checks()
    ranks.run(sys.argv[1], sys.argv[3:])
