"""Nothing is touched beyond an array, not even read: guarded.py ends well, and would not otherwise."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from support.paths import TESTS

pytestmark = pytest.mark.skipif(
    sys.platform not in ("linux", "darwin"), reason="asks for mprotect; run on Linux or macOS"
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "support.guarded", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=TESTS,
    )


def test_no_step_average_or_batch_reaches_beyond_its_arrays() -> None:
    done = run()
    *_, last = done.stdout.splitlines()
    assert done.returncode == 0, f"ended by {done.returncode} at: {last}\n{done.stderr}"


def test_a_byte_beyond_would_be_noticed() -> None:
    done = run("beyond")
    ended = done.returncode in (-signal.SIGSEGV, -signal.SIGBUS)
    # AddressSanitizer ends the process in its own way.
    assert ended or "AddressSanitizer:DEADLYSIGNAL" in done.stderr
