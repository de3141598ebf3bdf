"""`gradstep.distributed` in MPI jobs of 1, 2, 3 and 5 ranks, and without mpi4py or mpirun.

Each check in rank_checks/ is a test here. One job for each number of ranks runs all checks that
pytest has selected. The faults that stop a job are in rank_faults.py.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from ranks import load_checks

from support import jobs, processes
from support.effort import FULL, effort
from support.jobs import needs_mpi

RANKS = [1, 2, 3, 4, 5, 7] if FULL else [1, 2, 3, 5]
RUNS = list(itertools.product(RANKS, load_checks()))
if not FULL:  # the docs promise these for four ranks
    RUNS += [(4, "a network trained on parts of each batch"), (4, "the script of the docs")]


@functools.cache
def ended(ranks: int, names: tuple[str, ...], folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Run checks in one job; return how each ended on each rank, and the output."""
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
    """Return the checks that pytest has selected for this number of ranks."""
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
    notes, output = ended(ranks, asked_for(request, ranks), folder)
    failed = [
        f"rank {rank} of {ranks}:\n{ends[check]}"
        for rank, ends in enumerate(notes)
        if ends.get(check)
    ]
    lacking = [rank for rank, ends in enumerate(notes) if check not in ends]
    if lacking:
        failed.append(f"did not end on ranks {lacking}: {output}")
    assert not failed, "\n".join(failed)


RAISED = "rank {last} of {ranks} raised KeyError: 'mine'"
# Said by the watchdog, which outlives the ranks.
KILLED = "rank {last} of {ranks} (process "
# Faults of one rank, and what stderr must say.
FAULTS = [
    ("an uncaught exception", RAISED),
    ("an exception before the first step", RAISED),
    ("an exception while the others are busy", RAISED),
    ("an exception before ranks meet", RAISED),
    ("an exit before ranks meet", "waits for rank {last}, which has exited"),
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
    ("averaged that one rank leaves by an error", "failed during averaged: "),
    ("an early exit", "rank 0 of {ranks} waits for rank {last}, which has exited"),
    ("one step fewer", "rank 0 of {ranks} waits for rank {last}, which has exited"),
    ("one step fewer on the first", "rank 1 of {ranks} waits for rank 0, which has exited"),
    (
        "one step fewer of the second optimizer",
        "of {ranks} waits for rank {last}, which has exited",
    ),
    ("an exit without notice", ""),
    ("a rank that is killed", KILLED),
    ("a rank that is killed while the others are busy", KILLED),
    (
        "a fault in the middle of a step",
        "rank {last} of {ranks} failed during step: MemoryError",
    ),
]


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 3] if FULL else [3])
@pytest.mark.parametrize(("fault", "words"), FAULTS, ids=[fault for fault, _ in FAULTS])
def test_a_fault_of_one_rank_stops_the_job(ranks: int, fault: str, words: str) -> None:
    done = jobs.run(ranks, "distributed/rank_faults.py", fault, timeout=40)
    ended = time.time()
    # The only timing in a test: a job must end within ten seconds, and not wait forever.
    assert done.returncode is not None, f"hangs: {done.stderr}"
    begun = [float(at) for at in re.findall(r"begun at ([0-9.]+)", done.stdout)]
    assert begun, done.stderr
    assert ended - max(begun) < 10, done.stderr
    assert done.returncode != 0, done.stdout
    expected = words.format(last=ranks - 1, ranks=ranks)
    assert expected in done.stderr, done.stderr


@needs_mpi
def test_an_exit_under_mpi4py_stops_a_job_that_waits_in_mpi() -> None:
    fault = "an exit while others wait in MPI"
    done = jobs.run(3, "distributed/rank_faults.py", fault, timeout=30, under=["-m", "mpi4py"])
    assert done.returncode is not None, f"hangs: {done.stderr}"
    # Not by its words: on a busy machine the launcher may lose them.
    assert done.returncode == 3, done.stderr


@needs_mpi
@pytest.mark.parametrize(("first", "second"), [(3, 2), (2, 3), (2, 1)])
def test_a_killed_run_goes_on_with_another_number_of_ranks(
    tmp_path: Path, first: int, second: int
) -> None:
    path = tmp_path / "run.ckpt"
    killed = jobs.run(
        first, "distributed/rank_faults.py", "a run in parts", str(path), "killed", timeout=30
    )
    assert killed.returncode not in (0, None), killed.stderr
    resumed = jobs.run(
        second, "distributed/rank_faults.py", "a run in parts", str(path), timeout=30
    )
    whole = jobs.run(
        1, "distributed/rank_faults.py", "a run in parts", str(tmp_path / "other"), timeout=30
    )
    ends = [re.findall("[0-9a-f]{64}", done.stdout) for done in (resumed, whole)]
    assert "resumed at 4" in resumed.stdout, resumed.stderr
    assert len(ends[0]) == second
    assert set(ends[0]) == set(ends[1])


@needs_mpi
@pytest.mark.parametrize("under", [[], ["-m", "mpi4py"]], ids=["", "mpi4py"])
@pytest.mark.parametrize(
    "what",
    [
        "nothing at all",
        "exits one after another",
        "ranks without a collective call",
        "caught exceptions",
        "MPI finalized by hand",
    ],
)
def test_a_job_that_ends_normally(what: str, under: list[str]) -> None:
    done = jobs.run(3, "distributed/rank_faults.py", what, timeout=30, under=under)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("through") == 3
    assert not re.search("gradstep:", done.stderr), done.stderr


# --- without mpi4py, without mpirun ------------------------------------------------------------


def test_without_mpi4py() -> None:
    output = processes.output("""
import sys
sys.modules["mpi4py"] = None
import numpy as np, gradstep as gs
gs.SGD(np.ones(3)).step(np.ones(3))
try:
    gs.distributed.Sharded(gs.Adam, np.ones(3))
except ImportError as error:
    print(error)
""")
    assert "needs mpi4py" in output
    assert "pip install mpi4py mpich" in output


def test_importing_the_package_does_not_start_mpi() -> None:
    output = processes.output(
        "import sys, gradstep as gs; gs.distributed.Sharded; print('mpi4py.MPI' in sys.modules)"
    )
    assert output == "False"


@needs_mpi
def test_one_rank_without_mpirun() -> None:
    output = processes.output("""
import numpy as np, gradstep as gs
w = np.zeros((4, 3))[:, ::2]
opt = gs.distributed.Sharded(gs.SGD, {"w": w}, lr=0.5, max_norm=100.0)
opt.step({"w": np.ones((4, 2))})
opt.sync(); opt.check_synced()
print(opt.rank, opt.size, (w == -0.5).all(), opt.state_dict()["t"])
""")
    assert output == "0 1 True 1"
