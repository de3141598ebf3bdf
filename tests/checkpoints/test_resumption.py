"""A run that is saved, and taken up by another process, ends with the bits of one that never stopped.

After any step, with other threads, on another instruction-set level: the optimizer with its groups,
schedules and products over its steps, clipping and the average that it keeps itself, another average
of the model, and the place in the epoch.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradstep as gs
from support.effort import effort, endurance
from support.processes import output
from support.runs import ELSEWHERE, RUNS, STEPS, Run, dtypes_of, put_together, taken_apart
from support.teams import shared_out

Array = NDArray[Any]


@functools.cache
def saved_runs(folder: Path) -> tuple[Path, list[str]]:
    """Save every run after some steps, all in one file, and return how each ended."""
    saved: list[Any] = []
    ends: list[str] = []
    for number in range(len(RUNS)):
        for k, dtype in dtypes_of(number):
            run, begun = Run(number, dtype), len(saved)
            points = range((number + 3 * k) % effort(6, 1), STEPS, effort(6, 1))
            if 0 in points:
                saved.append([number, dtype, run.save()])
            for t in run.steps():
                if t in points:
                    saved.append([number, dtype, run.save()])
            ends += [run.digest()] * (len(saved) - begun)
    plain, arrays = taken_apart(saved)
    np.savez(folder / "runs.npz", *arrays, plain=json.dumps(plain))
    return folder / "runs.npz", ends


def finish(path: str) -> None:
    """Take up all runs of a file, and print how each ended."""
    with np.load(path) as file:
        arrays = dict(file)
    with shared_out(gs.get_num_threads()):
        for number, dtype, saved in put_together(json.loads(str(arrays["plain"])), arrays):
            run = Run(number, dtype)
            run.load(saved)
            for _ in run.steps():
                pass
            print(run.digest())


@endurance
@pytest.mark.parametrize(("isa", "threads"), ELSEWHERE)
def test_a_run_taken_up_by_another_process(
    tmp_path_factory: pytest.TempPathFactory, isa: str, threads: int
) -> None:
    path, ends = saved_runs(tmp_path_factory.getbasetemp())
    found = output(
        f"from checkpoints.test_resumption import finish; finish({str(path)!r})",
        600,
        GRADSTEP_ISA=isa,
        GRADSTEP_NUM_THREADS=str(threads),
    )
    assert len(ends) > len(RUNS)
    assert found.split() == ends
