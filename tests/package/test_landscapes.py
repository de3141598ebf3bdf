"""What the pictures of examples/landscapes.py claim, held on the numbers behind them.

That the formulas are right is not tested here, and no time is.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.paths import EXAMPLES

FILE = EXAMPLES / "landscapes.py"


pytest.importorskip("matplotlib")
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(FILE.parent)  # it belongs to no package
    landscapes: Any = importlib.import_module("landscapes")
NAMES = [landscape.name for landscape in landscapes.LANDSCAPES]


@pytest.fixture(scope="module")
def paths() -> dict[str, dict[str, Any]]:
    return {landscape.name: landscapes.paths(landscape) for landscape in landscapes.LANDSCAPES}


def leaves(landscape: Any, points: Any) -> float:
    steps = landscapes.steps_to_leave(landscape, points)
    return math.inf if steps is None else steps


@pytest.mark.parametrize("landscape", landscapes.LANDSCAPES, ids=NAMES)
def test_the_gradient_is_the_slope(landscape: Any) -> None:
    points = np.random.default_rng(0).uniform(-2, 2, (20, 2))
    h = 1e-5
    for point in [*points, np.array(landscape.start)]:
        forward, backward = point + h * np.eye(2), point - h * np.eye(2)
        slope = (landscape.value(forward) - landscape.value(backward)) / (2 * h)
        np.testing.assert_allclose(landscape.gradient(point), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("landscape", landscapes.LANDSCAPES, ids=NAMES)
def test_paths_begin_at_the_start_and_take_every_step(
    landscape: Any, paths: dict[str, dict[str, Any]]
) -> None:
    assert list(paths[landscape.name]) == list(landscapes.OPTIMIZERS)
    for points in paths[landscape.name].values():
        assert points.shape == (landscape.steps + 1, 2)
        np.testing.assert_array_equal(points[0], landscape.start)
        assert leaves(landscape, points) <= landscape.steps


def test_the_first_steps_are_those_of_the_formulas() -> None:
    steep = landscapes.RAVINE
    g = steep.gradient(np.array(steep.start))
    expected = {
        "SGD": g,
        "Momentum": 0.1 * g,
        "heavy ball": g,
        "RMSprop": g / np.sqrt(0.1 * g**2 + 1e-8),
        "Adam": g / np.sqrt(g**2 + 1e-8),
    }
    for name, make in landscapes.OPTIMIZERS.items():
        start, end = landscapes.path(make, steep, 1)
        np.testing.assert_allclose(start - end, steep.lr * expected[name], rtol=1e-6, err_msg=name)


def test_steps_to_leave_and_oscillation_are_counted() -> None:
    ravine = landscapes.RAVINE
    points = np.array([[3.0, 1.0], [2.0, -1.0], [0.1, 0.01], [3.0, 1.0]])
    assert landscapes.steps_to_leave(ravine, points) == 2
    assert landscapes.steps_to_leave(ravine, points[:2]) is None
    assert landscapes.crossings(points) == 2
    assert landscapes.travel(points) == pytest.approx(4.0)


def test_momentum_oscillates_less_than_descent(paths: dict[str, dict[str, Any]]) -> None:
    descent, momentum = paths["ravine"]["SGD"], paths["ravine"]["Momentum"]
    assert landscapes.crossings(descent) == landscapes.RAVINE.steps  # from wall to wall
    assert landscapes.crossings(momentum) < landscapes.crossings(descent) / 4
    assert landscapes.travel(momentum) < landscapes.travel(descent) / 4


def test_the_heavy_ball_takes_a_ravine_at_a_rate_where_descent_diverges() -> None:
    ravine = landscapes.RAVINE
    fast = dataclasses.replace(ravine, lr=10 * ravine.lr)
    ball = landscapes.path(landscapes.OPTIMIZERS["heavy ball"], ravine, 200)
    average = landscapes.path(landscapes.OPTIMIZERS["Momentum"], fast, 200)
    np.testing.assert_allclose(ball, average, atol=1e-12)
    assert leaves(ravine, ball) < leaves(ravine, landscapes.paths(ravine)["SGD"])
    assert np.abs(landscapes.path(landscapes.OPTIMIZERS["SGD"], fast, 50)).max() > 1e6


@pytest.mark.parametrize("landscape", [landscapes.SADDLE, landscapes.PLATEAU], ids=NAMES[1:])
def test_who_leaves_a_saddle_and_a_plateau(
    landscape: Any, paths: dict[str, dict[str, Any]]
) -> None:
    steps = {name: leaves(landscape, points) for name, points in paths[landscape.name].items()}
    assert 10 * steps["RMSprop"] <= steps["SGD"]
    assert 10 * steps["Adam"] <= steps["SGD"]
    assert steps["Momentum"] >= steps["SGD"]
    assert 5 * steps["heavy ball"] <= steps["SGD"]


@pytest.mark.parametrize("y", [1e-2, 1e-3, 1e-6])
def test_the_saddle_is_not_tuned_by_its_start(y: float) -> None:
    saddle = dataclasses.replace(landscapes.SADDLE, start=(-1.0, y), steps=1500)
    steps = {name: leaves(saddle, points) for name, points in landscapes.paths(saddle).items()}
    assert steps["SGD"] > saddle.steps  # inf: not in the steps given
    assert 10 * max(steps["RMSprop"], steps["Adam"]) <= saddle.steps


def test_decay_ends_nearer_the_optimum() -> None:
    runs = {
        decay: [landscapes.linear_regression(decay=decay, seed=seed) for seed in range(5)]
        for decay in (False, True)
    }
    final = {decay: np.mean([run.final for run in runs[decay]]) for decay in runs}
    assert final[True] < final[False] / 5
    # The constant rate does not merely come later: its second half is as far off as its last epoch.
    for run in runs[False]:
        half = run.distances[len(run.distances) // 2 :].mean()
        assert half == pytest.approx(run.final, rel=0.5)
        assert run.distances[0] > 10 * half


@pytest.mark.parametrize("beta", landscapes.BETAS)
@pytest.mark.parametrize("seed", range(3))
def test_bias_correction_is_nearer_early_on(beta: float, seed: int) -> None:
    series = landscapes.noisy_series(seed)
    plain, corrected = landscapes.averages(series, beta)
    early = slice(round(1 / (1 - beta)))
    plain_error = np.abs(plain - series)[early].mean()
    assert np.abs(corrected - series)[early].mean() < plain_error / 2
    # In the end only β^200 parts the two.
    assert corrected[-1] == pytest.approx(plain[-1], rel=0.02)


def test_a_larger_beta_is_smoother() -> None:
    series = landscapes.noisy_series(0)
    roughness = [np.abs(np.diff(landscapes.averages(series, b)[1][50:])).mean() for b in (0.5, 0.9)]
    assert roughness[1] < roughness[0] / 2


def test_a_batch_of_64_learns_as_much_a_step_as_all_and_one_example_less() -> None:
    losses = {
        size: landscapes.logistic_regression(size, 300, seed=0).losses[-1]
        for size in landscapes.STEPS
    }
    assert losses[64] == pytest.approx(losses[landscapes.M], rel=0.05)
    assert losses[1] > 1.1 * losses[64]


def test_saddles_take_over_as_the_dimension_grows() -> None:
    found = {n: landscapes.stationary_points(n, 0, samples=400) for n in (1, 2, 4, 8)}
    share = {n: landscapes.shares(eigenvalues) for n, eigenvalues in found.items()}
    for n, eigenvalues in found.items():
        assert eigenvalues.shape[1] == n
        assert 300 < len(eigenvalues) < 400  # Newton finds most, and who finds nothing is left out
        assert sum(share[n]) == pytest.approx(1)
    saddles = [share[n][1] for n in found]
    assert saddles[0] == 0  # a line has none
    # Maxima less saddles plus minima average to nothing in the plane: half are saddles.
    assert saddles[1] == pytest.approx(0.5, abs=0.1)
    assert saddles[1] < saddles[2] - 0.2
    assert saddles[2] < saddles[3]
    assert saddles[3] > 0.97


def test_shares_by_the_signs_of_the_eigenvalues() -> None:
    eigenvalues = np.array([[1.0, 2.0], [-1.0, 2.0], [-2.0, 1.0], [-2.0, -1.0]])
    assert landscapes.shares(eigenvalues) == (0.25, 0.5, 0.25)


def test_the_whole_lesson(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    paths: dict[str, dict[str, Any]],
) -> None:
    # Of what takes long, some is enough for a row and a picture.
    monkeypatch.setattr(landscapes, "paths", lambda landscape: paths[landscape.name])
    monkeypatch.setattr(landscapes, "STEPS", {1: 256, 64: 256, landscapes.M: 64})
    monkeypatch.setattr(landscapes, "DIMENSIONS", range(1, 3))
    out = tmp_path / "new" / "folder"
    landscapes.main(["--out", str(out), "--seed", "1"])

    pictures = {"learning_rates", "ewa", "decay", "batch_sizes", "saddles", *NAMES}
    assert {file.name for file in out.iterdir()} == {f"{picture}.png" for picture in pictures}
    for file in out.iterdir():
        data = file.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        assert data.endswith(b"IEND\xaeB`\x82")
        assert len(data) > 20_000, file  # an empty figure of this size has less than 5,000

    printed = capsys.readouterr().out
    for name in landscapes.OPTIMIZERS:
        assert name in printed.splitlines()[0]
    for label in ("saddle: leaves after", "constant rate", "batch size", "dimension", "maxima"):
        assert label in printed
    assert str(out.resolve()) in printed
