"""Python code in a process of its own, with nothing said about threads but what a test says."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

from support.paths import TESTS


def run(code: str, timeout: float = 60, /, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code with these environment variables alone about threads, for at most `timeout` s: a hang is a failure.

    It can import what stands beside the tests, and finds gradstep where the tests found it.
    """
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OMP_", "GOMP_", "GRADSTEP_"))
    }
    # Before what is there already: the package under test may come by that way.
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def output(code: str, timeout: float = 60, /, **environment: str) -> str:
    """Return what the code printed; it has to end well."""
    done = run(code, timeout, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Runs each of some codes in a process of its own that has NumPy already, which takes most of the time
# to import, and nothing of gradstep.
FRESH = """
import os, sys, traceback
import numpy
for code in CODES:
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writes, 1)
        os.dup2(writes, 2)
        try:
            exec(code, {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as told:
        print(ascii(told.read().strip()), flush=True)
    os.waitpid(child, 0)
"""


def outputs(*codes: str) -> list[str]:
    """Return what each code printed, errors too, where gradstep was not loaded before."""
    quiet = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n"  # of forks
    said = output(f"{quiet}CODES = {codes!r}\n{FRESH}")
    return [ast.literal_eval(line) for line in said.splitlines()]


# A step that three threads share, ready to be taken: `opt.step(g)` moves `w` by -0.5. `tasks` is
# how many threads there were before.
STEP = """
import os, sys, numpy as np, gradstep as gs
from support.paths import TESTS
from gradstep import _core
_core.set_work_per_thread(1, 1)
gs.set_num_threads(3)
tasks = len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 1
w = np.zeros(100_000, np.float32)
opt = gs.Adam(w, lr=0.5)
g = np.ones_like(w)
"""
