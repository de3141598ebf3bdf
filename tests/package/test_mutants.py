"""The list of mutants fits the code: every text that is to be broken stands where the list says."""

from __future__ import annotations

import subprocess
import sys

from support.paths import TESTS

RUN = TESTS / "mutants/run.py"


def test_every_mutant_applies() -> None:
    done = subprocess.run(
        [sys.executable, RUN, "--check"], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
