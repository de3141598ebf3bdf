"""Programs in the ranks of an MPI job, with a time limit: a hang is a failure."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.paths import TESTS

# Let Open MPI start more ranks than cores, and run as root. MPICH ignores these.
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


@functools.cache
def launcher() -> str | None:
    """Return the mpirun of this interpreter's environment, or else the one on the path."""
    beside = shutil.which("mpirun", path=str(Path(sys.executable).parent))
    return beside or shutil.which("mpirun")


needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or launcher() is None,
    reason="needs mpi4py and mpirun: nox -s mpi, or pip install mpi4py mpich",
)


def run(
    ranks: int, program: str, *arguments: str, timeout: float, under: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program of tests/ in `ranks` ranks, for at most `timeout` seconds.

    `under` are arguments between Python and the program, such as ``-m mpi4py``.
    """
    mpirun = launcher()
    assert mpirun is not None
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    python = [sys.executable, *under, str(TESTS / program)]
    command = [mpirun, "-n", str(ranks), *python, *arguments]
    with subprocess.Popen(
        command,
        env={**os.environ, **OPEN_MPI, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as job:
        try:
            out, err = job.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # mpirun stops its ranks if it can; what remains in its session is killed.
            job.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                job.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
            out, err = job.communicate()
            return subprocess.CompletedProcess(command, None, out, err)  # type: ignore[arg-type]
    return subprocess.CompletedProcess(command, job.returncode, out, err)
