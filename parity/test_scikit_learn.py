"""scikit-learn's networks inside of `accelerate`: the same loss curves, and its own tests.

Run by `nox -s parity`. What `accelerate` does to scikit-learn, and undoes, is in tests/compat/test_sklearn.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gradstep as gs


def test_its_own_tests_pass_inside(tmp_path: Path) -> None:
    code = (
        "import gradstep as gs, pytest, sys\n"
        "with gs.compat.sklearn.accelerate():\n"
        "    sys.exit(pytest.main(['--pyargs', 'sklearn.neural_network.tests.test_mlp', '-q',\n"
        "                          '-p', 'no:cacheprovider', '-W', 'ignore']))\n"
    )
    # Elsewhere, so that it does not take this project's options.
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout


def test_this_version_is_one_of_those_tested() -> None:
    with gs.compat.sklearn.accelerate():
        pass
