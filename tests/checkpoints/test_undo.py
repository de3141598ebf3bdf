"""What a load has changed is undone where the core refuses it in the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gradstep as gs


def test_a_random_state_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opt = gs.SGD({"w": np.zeros(3)})
    batches = gs.MiniBatches(np.arange(8.0), batch_size=2, seed=0)
    gs.save(tmp_path / "old", opt=opt, batches=batches)
    list(batches)
    before = batches.state_dict()

    def refuse(replacements: object) -> None:
        raise MemoryError

    # The core is asked after the random states are set: they are the first that may fail.
    monkeypatch.setattr("gradstep._core.commit", refuse)
    with pytest.raises(MemoryError):
        gs.load(tmp_path / "old", opt=opt, batches=batches)
    assert batches.state_dict() == before
