"""What commit 4e867cd saved loads, and goes on with the same bits; data/make.py made the files."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

import gradstep as gs
from checkpoints.data.make import COUNTS, HISTORY, SCHEDULES, Run

DATA = Path(__file__).parent / "data"
KEPT = "was a callable that could not be saved"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text())


def fresh() -> Run:
    """A run with all of its groups, of which nothing else is right yet."""
    run = Run()
    run.begin_group()
    for array in run.leaves():
        array[...] = 9
    return run


def test_a_checkpoint_loads_and_the_run_goes_on() -> None:
    run = fresh()
    with pytest.warns(UserWarning, match=KEPT):
        loaded = gs.load(DATA / "run.ckpt", **run.parts(), **run.arrays())
    assert loaded == {"epoch": 3, "history": HISTORY}
    run.go_on(4)
    assert run.values() == EXPECTED["run"]


def test_the_states_of_a_checkpoint_load_one_by_one() -> None:
    run = fresh()
    gs.load(DATA / "run.ckpt", **run.arrays())
    nothing: dict[str, Any] = dict.fromkeys(run.parts())
    saved = gs.load(DATA / "run.ckpt", **nothing)
    for name, part in run.parts().items():
        if name in ("adam", "by_name"):
            with pytest.warns(UserWarning, match=KEPT):
                part.load_state_dict(saved[name])
        else:
            part.load_state_dict(saved[name])
    run.go_on(4)
    assert run.values() == EXPECTED["run"]


def test_what_is_saved_of_a_loaded_run_loads_again(tmp_path: Path) -> None:
    run, again = fresh(), fresh()
    with pytest.warns(UserWarning, match=KEPT):
        gs.load(DATA / "run.ckpt", **run.parts(), **run.arrays())
    gs.save(tmp_path / "run.ckpt", **run.parts(), **run.arrays())
    with pytest.warns(UserWarning, match=KEPT):
        gs.load(tmp_path / "run.ckpt", **again.parts(), **again.arrays())
    again.go_on(4)
    assert again.values() == EXPECTED["run"]


def test_pickled_schedules() -> None:
    schedules = pickle.loads((DATA / "schedules.pickle").read_bytes())
    assert schedules == SCHEDULES
    assert [[schedule(n).hex() for n in COUNTS] for schedule in schedules] == EXPECTED["rates"]


def test_pickled_averages() -> None:
    averages = pickle.loads((DATA / "averages.pickle").read_bytes())
    assert [[each.value.hex(), each.update(0.5).hex()] for each in averages] == EXPECTED["averages"]
