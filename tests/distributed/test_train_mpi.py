"""The training example over ranks: it learns what one process learns, and names what it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import jobs
from support.paths import EXAMPLES

EXAMPLE = EXAMPLES / "train_mpi.py"
SMALL = ["--epochs", "1", "--hidden", "8"]


def start(*launcher: str, out: Path, batch: int = 128) -> subprocess.CompletedProcess[str]:
    """Run the example; a hang is a failure."""
    pytest.importorskip("mpi4py", reason='needs mpi4py: pip install ".[mpi]"')
    return subprocess.run(
        [
            *launcher, sys.executable, str(EXAMPLE), *SMALL,
            "--batch-size", str(batch), "--out", str(out),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip


def mpirun() -> str:
    """Return the launcher, or skip the test."""
    return jobs.launcher() or pytest.skip('needs mpirun: pip install ".[mpi]"')


# Three ranks get parts of different lengths of 128 examples.
@pytest.mark.parametrize("ranks", [1, 3])
def test_ranks_learn_what_one_process_does(ranks: int, tmp_path: Path) -> None:
    launcher = [] if ranks == 1 else [mpirun(), "-n", str(ranks)]
    done = start(*launcher, out=tmp_path / "curves.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ranks      ") == 1  # only rank 0 prints
    assert f"ranks      {ranks}, of which {ranks} on this machine" in done.stdout
    for name in ("gradient descent", "Momentum", "RMSprop", "Adam"):
        row, agreement = (line for line in done.stdout.splitlines() if line.startswith(name))
        assert len(re.findall(r"\d+\.\d+%?", row)) == 10
        assert float(agreement.split()[-4]) < 1e-9
    assert "agree for every optimizer" in done.stdout
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_more_ranks_than_examples_in_the_last_batch(tmp_path: Path) -> None:
    """1438 examples in batches of 1437 leave one, for one of three ranks."""
    done = start(mpirun(), "-n", "3", out=tmp_path / "x.png", batch=1437)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning") == 0


def test_without_mpi4py_it_names_what_to_install() -> None:
    code = (
        "import sys, runpy; sys.modules['mpi4py'] = None; "
        f"sys.path.insert(0, {str(EXAMPLE.parent)!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}runpy.run_path({str(EXAMPLE)!r}, run_name='__main__')"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'pip install ".[examples,mpi]"' in done.stderr
    assert "Traceback" not in done.stderr
