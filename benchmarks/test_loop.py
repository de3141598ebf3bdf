"""The training loop: its gradients are right, its updates agree, and it runs in a clean process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import loop
import packages
import peers
import training

WIDTHS = (64, 32, 10)


def test_gradients_are_the_slopes_of_the_loss() -> None:
    network = training.Network.new((5, 4, 3))
    # In float64: central differences need the digits.
    network.params = {name: np.array(w, np.float64) for name, w in network.params.items()}
    network.differentiate()
    grads, h = dict(network.grads), 1e-6
    for name, w in network.params.items():
        for i in np.ndindex(w.shape):
            losses = []
            for delta in (h, -2 * h, h):
                w[i] += delta
                network.seen = 0  # the same batch
                network.differentiate()
                losses.append(network.loss)
            assert grads[f"d{name}"][i] == pytest.approx(
                (losses[0] - losses[1]) / (2 * h), abs=1e-6
            )


def test_all_updates_agree() -> None:
    training.refuse_disagreement(WIDTHS, threads=2)


@pytest.mark.parametrize("name", ["lr", "gradients"])
def test_another_update_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = peers.tuned

    def wrong(params: Any, grads: Any, *, lr: float) -> Any:
        if name == "lr":
            return right(params, grads, lr=1.05 * lr)
        return right(params, {key: g.copy() + 0.01 for key, g in grads.items()}, lr=lr)

    monkeypatch.setattr(peers, "tuned", wrong)
    with pytest.raises(RuntimeError, match="of 'tuned' is off that of 'naive'"):
        training.refuse_disagreement(WIDTHS, threads=2)


@pytest.mark.parametrize("name", ["naive", "tuned", "gradstep, 1 thread", "gradstep", "no update"])
def test_iteration(benchmark: Any, name: str) -> None:
    benchmark.group = f"iterations of {loop.name(WIDTHS)}"
    benchmark(training.trainings(WIDTHS, threads=2, lr=training.SLOW)[name].iterate)


@pytest.mark.parametrize("order", ["numpy alone", "torch first"])
def test_program(order: str) -> None:
    if order == "torch first" and not packages.version("torch"):
        pytest.skip(packages.missing("torch")[0])
    command = [sys.executable, loop.__file__, "--quick", "--models", "0", "--rounds", "1"]
    command += ["--seconds", "0"] + ["--torch-first"] * (order == "torch first")
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(output)
    assert result["elements"] == 64 * 32 + 32 + 32 * 10 + 10
    assert loop.cells(result)[0] == "64-32-10" + ", torch first" * (order == "torch first")


def test_the_program_starts_over_where_openblas_is_told_of_another_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Replaced(Exception):
        pass

    def execve(program: str, arguments: list[str], environment: dict[str, str]) -> None:
        raise Replaced(program, arguments, environment)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(sys, "argv", [loop.__file__, "--quick"])
    for name in loop.OVERRIDES:
        monkeypatch.setenv(name, "1")
    with pytest.raises(Replaced) as replaced:
        loop.main()
    program, arguments, environment = replaced.value.args
    assert [program, *arguments] == [sys.executable, sys.executable, loop.__file__, "--quick"]
    assert not set(loop.OVERRIDES) & environment.keys()
    assert environment.items() <= os.environ.items()
    for name in loop.OVERRIDES:
        monkeypatch.delenv(name)
    loop.start_over_without_overrides()


def test_numpy_is_not_loaded_before_that() -> None:
    code = "import sys, loop; assert not {'numpy', 'gradstep', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=os.path.dirname(loop.__file__))


def test_the_notes_name_what_is_slower_and_what_is_unsteady() -> None:
    def result(width: int, one: float, all_threads: float, q3: float) -> dict[str, Any]:
        medians = {"naive": 9.0, "tuned": 5.0, "gradstep, 1 thread": one, "gradstep": all_threads}
        seconds = {name: {"q1": m, "median": m, "q3": m} for name, m in medians.items()}
        seconds["no update"] = {"q1": 1.0, "median": 1.0, "q3": q3}
        return {"widths": [width, 2], "torch first": False, "seconds": seconds}

    results = [result(1, 2.0, 2.0, 1.4), result(3, 2.0, 2.2, 1.4), result(5, 2.0, 2.0, 1.6)]
    slower, unsteady, *_ = loop.notes(results)
    assert slower.endswith("than with one: 3-2")
    assert unsteady.endswith("again: 5-2")
    assert loop.cells(results[1])[-3:] == ["1.10", "4.09", "2.27"]
