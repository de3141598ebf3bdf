"""The end of the process while daemon threads still step, copy and average: it ends well."""

from __future__ import annotations

import pytest

from support.effort import effort, endurance
from support.processes import run

WORK = {
    "step": "opt.step(g)",
    "batches": "all(xb is not None for xb in batches)",
    "average": "gs.ewa(series)",
}


@endurance
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_a_process_ends_while_daemon_threads_work(work: str) -> None:
    code = f"""
import threading, time
import numpy as np, gradstep as gs
w = np.zeros(3_000_000, np.float32)
g, opt = np.ones_like(w), gs.SGD(w)
series = np.ones(3_000_000)
batches = gs.MiniBatches(np.zeros((20_000, 100), np.float32), batch_size=10_000)
def works():
    while True:
        {work}
for _ in range(2 if {work!r} != "opt.step(g)" else 1):
    threading.Thread(target=works, daemon=True).start()
time.sleep(0.05)
print("ends")
"""
    for _ in range(effort(1, 50)):
        done = run(code)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ends\n", "")
