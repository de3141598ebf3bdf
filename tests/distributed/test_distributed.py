"""`gradstep.distributed`: in MPI jobs of 1, 2, 3 and 5 ranks, and what of it needs no MPI.

What the ranks check stands in rank_checks.py; a job runs all that was asked for of so many ranks, and
each check is a test here. What ends a job stands in rank_faults.py.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rank_checks  # noqa: F401 - puts the checks on the list
from hypothesis import given
from hypothesis import strategies as st
from ranks import CHECKS

from gradstep.distributed.partition import Bucket, Piece, buckets
from gradstep.distributed.ravel import RaveledArray, memory_order
from support import jobs, processes
from support.effort import FULL, effort
from support.jobs import needs_mpi

RANKS = [1, 2, 3, 4, 5, 7] if FULL else [1, 2, 3, 5]
RUNS = list(itertools.product(RANKS, CHECKS))
if not FULL:  # what is promised of four ranks
    RUNS += [(4, "a network trained on parts of each batch"), (4, "the script of the page")]


# --- in ranks ---------------------------------------------------------------------------------------


@functools.cache
def ended(ranks: int, names: tuple[str, ...], folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Run these checks in one job; return for each rank how each check ended, and what was said."""
    folder.mkdir()
    limit = effort(150, 600)
    done = jobs.run(
        ranks, "distributed/ranks.py", str(folder), str(limit), *names, timeout=limit + 20
    )
    notes = []
    for rank in range(ranks):
        path = folder / str(rank)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        notes.append(dict(json.loads(line) for line in lines))
    return notes, f"mpirun ended with {done.returncode}\n{done.stdout}\n{done.stderr}"


def asked_for(request: pytest.FixtureRequest, ranks: int) -> tuple[str, ...]:
    """Return the checks that this run of pytest has selected for so many ranks."""
    found = []
    for item in request.session.items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if getattr(item, "originalname", None) == "test_in_ranks" and parameters["ranks"] == ranks:
            found.append(parameters["check"])
    return tuple(found)


@needs_mpi
@pytest.mark.parametrize(("ranks", "check"), RUNS)
def test_in_ranks(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    ranks: int,
    check: str,
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"ranks-{ranks}"
    notes, said = ended(ranks, asked_for(request, ranks), folder)
    failed = [
        f"rank {rank} of {ranks}:\n{ends[check]}"
        for rank, ends in enumerate(notes)
        if ends.get(check)
    ]
    lacking = [rank for rank, ends in enumerate(notes) if check not in ends]
    if lacking:
        failed.append(f"did not come to its end on ranks {lacking}: {said}")
    assert not failed, "\n".join(failed)


# What a process says that outlives the ranks.
KILLED = "rank {last} of {ranks} (process "
# Each with what stderr has to say.
ENDS = [
    ("an exception that nobody catches", "rank {last} of {ranks} raised KeyError: 'mine'"),
    ("an exception before the first step", "rank {last} of {ranks} raised KeyError: 'mine'"),
    (
        "an exception while the others are busy",
        "rank {last} of {ranks} raised KeyError: 'mine'",
    ),
    ("an exception before ranks meet", "rank {last} of {ranks} raised KeyError: 'mine'"),
    ("a rank that ends before ranks meet", "waits for rank {last}, which has exited"),
    ("a rank that never comes", "waits for rank {last}, which has exited"),
    ("a rank of a part that never comes", "waits for rank {last}, which has exited"),
    (
        "an interruption while another thread steps",
        "rank {last} of {ranks} failed during step: KeyboardInterrupt",
    ),
    (
        "an interruption of an agreement",
        "rank {last} of {ranks} failed during step: KeyboardInterrupt",
    ),
    ("averages that one rank leaves alone", "failed during averaged: "),
    ("a rank that ends early", "rank 0 of {ranks} waits for rank {last}, which has exited"),
    ("one step fewer", "rank 0 of {ranks} waits for rank {last}, which has exited"),
    ("one step fewer on the first", "rank 1 of {ranks} waits for rank 0, which has exited"),
    (
        "one step fewer of the second optimizer",
        "of {ranks} waits for rank {last}, which has exited",
    ),
    ("an exit without a goodbye", ""),
    ("a rank that is killed", KILLED),
    ("a rank that is killed while the others are busy", KILLED),
    (
        "a fault in the midst of a step",
        "rank {last} of {ranks} failed during step: MemoryError",
    ),
]


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 3] if FULL else [3])
@pytest.mark.parametrize(("fault", "words"), ENDS, ids=[fault for fault, _ in ENDS])
def test_what_ends_one_rank_ends_all(ranks: int, fault: str, words: str) -> None:
    done = jobs.run(ranks, "distributed/rank_faults.py", fault, timeout=40)
    ended = time.time()
    # No timing but this: the promise is that a job ends, within ten seconds, and does not wait forever.
    assert done.returncode is not None, f"hangs: {done.stderr}"
    begun = [float(at) for at in re.findall(r"begun at ([0-9.]+)", done.stdout)]
    assert begun, done.stderr
    assert ended - max(begun) < 10, done.stderr
    assert done.returncode != 0, done.stdout
    expected = words.format(last=ranks - 1, ranks=ranks)
    assert expected in done.stderr, done.stderr


@needs_mpi
def test_an_exit_under_mpi4py_ends_a_job_that_waits_in_mpi() -> None:
    fault = "an exit while others wait in MPI"
    done = jobs.run(3, "distributed/rank_faults.py", fault, timeout=30, under=["-m", "mpi4py"])
    assert done.returncode is not None, f"hangs: {done.stderr}"
    assert "MPI_Abort" in done.stderr, done.stderr


@needs_mpi
@pytest.mark.parametrize(("first", "second"), [(3, 2), (2, 3), (2, 1)])
def test_a_run_that_is_killed_goes_on_with_another_number_of_ranks(
    tmp_path: Path, first: int, second: int
) -> None:
    path = tmp_path / "run.ckpt"
    killed = jobs.run(
        first, "distributed/rank_faults.py", "a run in parts", str(path), "killed", timeout=30
    )
    assert killed.returncode not in (0, None), killed.stderr
    taken_up = jobs.run(
        second, "distributed/rank_faults.py", "a run in parts", str(path), timeout=30
    )
    whole = jobs.run(
        1, "distributed/rank_faults.py", "a run in parts", str(tmp_path / "other"), timeout=30
    )
    ends = [re.findall("[0-9a-f]{64}", done.stdout) for done in (taken_up, whole)]
    assert "taken up at 4" in taken_up.stdout, taken_up.stderr
    assert len(ends[0]) == second
    assert set(ends[0]) == set(ends[1])


@needs_mpi
@pytest.mark.parametrize("under", [[], ["-m", "mpi4py"]], ids=["", "mpi4py"])
@pytest.mark.parametrize(
    "what",
    [
        "nothing at all",
        "ranks that end one after another",
        "ranks that never meet",
        "exceptions that are caught",
        "an end of MPI by hand",
    ],
)
def test_a_job_that_ends_well(what: str, under: list[str]) -> None:
    done = jobs.run(3, "distributed/rank_faults.py", what, timeout=30, under=under)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("through") == 3
    assert not re.search("gradstep:", done.stderr), done.stderr


# --- without mpi4py, without mpirun -----------------------------------------------------------------


def test_without_mpi4py() -> None:
    said = processes.output("""
import sys
sys.modules["mpi4py"] = None
import numpy as np, gradstep as gs
gs.SGD(np.ones(3)).step(np.ones(3))
try:
    gs.distributed.Sharded(gs.Adam, np.ones(3))
except ImportError as error:
    print(error)
""")
    assert "needs mpi4py" in said
    assert "pip install mpi4py mpich" in said


def test_importing_the_package_does_not_start_mpi() -> None:
    said = processes.output(
        "import sys, gradstep as gs; gs.distributed.Sharded; print('mpi4py.MPI' in sys.modules)"
    )
    assert said == "False"


@needs_mpi
def test_one_rank_without_mpirun() -> None:
    said = processes.output("""
import numpy as np, gradstep as gs
w = np.zeros((4, 3))[:, ::2]
opt = gs.distributed.Sharded(gs.SGD, {"w": w}, lr=0.5, max_norm=100.0)
opt.step({"w": np.ones((4, 2))})
opt.sync(); opt.check_synced()
print(opt.rank, opt.size, (w == -0.5).all(), opt.state_dict()["t"])
""")
    assert said == "0 1 True 1"


# --- which rank steps what --------------------------------------------------------------------------

KINDS = [(group, np.dtype(code)) for group in range(2) for code in ("f4", "f8")]
MODELS = st.lists(
    st.tuples(st.one_of(st.integers(0, 9), st.integers(0, 300)), st.sampled_from(KINDS)),
    min_size=1,
    max_size=12,
)


@given(MODELS, st.integers(1, 9), st.one_of(st.integers(8, 80), st.integers(8, 5000)))
def test_every_element_is_one_rank_s(
    model: list[tuple[int, tuple[int, np.dtype[Any]]]], ranks: int, most: int
) -> None:
    sizes, kinds = [size for size, _ in model], [kind for _, kind in model]
    seen = [np.zeros(size, int) for size in sizes]
    owned = [np.zeros(size, int) for size in sizes]
    shares = {kind: [0] * ranks for kind in kinds}
    for bucket in buckets(sizes, kinds, ranks, most):
        assert 0 < bucket.size * bucket.dtype.itemsize <= most
        (kind,) = {kinds[piece.parameter] for piece in bucket.pieces}
        assert bucket.dtype == kind[1]
        assert len(bucket.bounds) == ranks + 1
        assert bucket.bounds[0] == 0
        assert bucket.size == sum(piece.stop - piece.start for piece in bucket.pieces)
        assert sum(bucket.counts) == bucket.size
        offset = 0
        for place, piece in bucket.all_pieces():
            assert place == offset
            seen[piece.parameter][piece.start : piece.stop] += 1
            offset += piece.stop - piece.start
        for rank in range(ranks):
            offset = 0
            for place, piece in bucket.pieces_of(rank):
                assert place == offset
                assert piece.start < piece.stop
                owned[piece.parameter][piece.start : piece.stop] += 1
                offset += piece.stop - piece.start
            assert offset == bucket.counts[rank]
            shares[kind][rank] += offset
        # Parts lie behind one another as the bucket does.
        parts = [piece for rank in range(ranks) for _, piece in bucket.pieces_of(rank)]
        assert joined(parts) == joined(list(bucket.pieces))
    for counted in (*seen, *owned):
        assert (counted == 1).all()
    for share in shares.values():
        assert max(share) - min(share) <= 1


def joined(pieces: list[Piece]) -> list[Piece]:
    """Join pieces that follow one another."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if last and (last.parameter, last.stop) == (piece.parameter, piece.start):
            found[-1] = last._replace(stop=piece.stop)
        else:
            found.append(piece)
    return found


def test_what_shares_a_bucket() -> None:
    kind = KINDS[0]
    f4 = kind[1]
    # Small ones go together as long as there is room; a large one has buckets of its own.
    assert buckets([3, 2, 0, 1, 25, 4], [kind] * 6, 2, 40) == [
        Bucket(f4, (Piece(0, 0, 3), Piece(1, 0, 2), Piece(3, 0, 1)), (0, 3, 6)),
        Bucket(f4, (Piece(4, 0, 8),), (0, 4, 8)),
        Bucket(f4, (Piece(4, 8, 16),), (0, 4, 8)),
        Bucket(f4, (Piece(4, 16, 25),), (0, 5, 9)),
        Bucket(f4, (Piece(5, 0, 4),), (0, 2, 4)),
    ]
    # Who has one more takes turns.
    assert [b.counts for b in buckets([3, 3, 3], [kind] * 3, 2, 12)] == [(2, 1), (1, 2), (2, 1)]
    assert buckets([0, 0], [kind] * 2, 3, 8) == []


def test_groups_and_dtypes_are_not_mixed() -> None:
    order = [KINDS[3], KINDS[0], KINDS[3], KINDS[1], KINDS[0]]
    found = buckets([1] * 5, order, 2, 1000)
    assert [[p.parameter for p in b.pieces] for b in found] == [[1, 4], [3], [0, 2]]


# --- arrays as runs of elements ---------------------------------------------------------------------

BASE = np.arange(4 * 6 * 10, dtype=np.float64)
VIEWS = {
    "C": BASE.reshape(4, 6, 10),
    "Fortran": BASE.reshape((4, 6, 10), order="F"),
    "turned": BASE.reshape(4, 6, 10).transpose(1, 2, 0),
    "strided": BASE.reshape(4, 6, 10)[:, ::2, ::3],
    "turned and strided": BASE.reshape(4, 6, 10)[::3, :, ::2].transpose(2, 0, 1),
    "backwards": BASE[::-1],
    "axes backwards": BASE.reshape(4, 6, 10)[::-1, :, ::-1],
    "0-d": BASE[3:4].reshape(()),
    "one element": BASE[3:4].reshape(1, 1),
    "empty": BASE[:0].reshape(3, 0, 2),
    "a column": BASE.reshape(24, 10)[:, 3],
    "a stride of nothing": BASE.reshape(4, 6, 10)[:, :1],
}
DENSE = {"C", "Fortran", "turned", "0-d", "one element", "empty"}


@pytest.mark.parametrize("name", VIEWS)
def test_runs_of_an_array(name: str) -> None:
    array = VIEWS[name].copy(order="K") if name in DENSE else VIEWS[name]
    order = memory_order(array)
    assert sorted(order) == list(range(array.ndim))
    flat = RaveledArray(array, order)
    assert (flat.dense is not None) == (name in DENSE)
    # In words: the last of the axes in this order moves first.
    expected = [
        array[tuple(index[order.index(axis)] for axis in range(array.ndim))]
        for index in itertools.product(*(range(array.shape[axis]) for axis in order))
    ]
    assert len(expected) == array.size
    rng = np.random.default_rng(0)
    for start, stop in [(0, array.size), (0, 0), *np.sort(rng.integers(0, array.size + 1, (9, 2)))]:
        run = flat.read(start, stop)
        assert run.ndim == 1
        assert run.flags.c_contiguous
        assert run.tolist() == expected[start:stop]
        assert np.shares_memory(run, array) == (name in DENSE and stop > start)


@pytest.mark.parametrize("name", VIEWS)
def test_filling_runs_of_an_array(name: str) -> None:
    view = VIEWS[name]
    # The same places in a buffer of its own, around which nothing may change.
    buffer = np.full_like(BASE, -1.0)
    start = (view.ctypes.data - BASE.ctypes.data) // 8 if view.size else 0
    array = np.lib.stride_tricks.as_strided(buffer[start:], view.shape, view.strides)
    for order in itertools.permutations(range(array.ndim)):
        buffer[:] = -1.0
        flat = RaveledArray(array, order)
        values = np.arange(array.size) + 100.0
        cuts = [0, array.size // 3, array.size // 2, array.size]
        for first, last in itertools.pairwise(cuts):
            flat.write(first, last, values[first:last])
        assert array.transpose(order).ravel().tolist() == values.tolist()
        assert np.count_nonzero(buffer == -1.0) == buffer.size - array.size


def test_the_order_in_memory() -> None:
    assert memory_order(np.zeros((2, 3, 4))) == (0, 1, 2)
    assert memory_order(np.zeros((2, 3, 4), order="F")) == (2, 1, 0)
    assert memory_order(np.zeros((2, 3, 4)).transpose(2, 0, 1)) == (1, 2, 0)
    assert memory_order(np.zeros((5, 5))[::-1, ::-2]) == (0, 1)
    assert memory_order(np.zeros(())) == ()
