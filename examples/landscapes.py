"""The lesson in pictures: a ravine, a saddle, a plateau, decay, averages, batch sizes, saddles.

What is measured is computed by functions that return arrays; the draw functions only draw them.
Every descent, rate, average and batch is gradstep's; Newton's method here only looks for saddles.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path

from needs import needs

with needs():
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    import gradstep as gs

Array = NDArray[np.float64]
Make = Callable[[Array, float], gs.Optimizer]  # (parameters, rate) -> optimizer

# All with the same rate on a landscape. Without dampening, Momentum's steps are 1/(1-β) = 10 times
# as long: the heavy ball at α is the average form at 10 α.
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda w, lr: gs.SGD(w, lr=lr),
    "Momentum": lambda w, lr: gs.Momentum(w, lr=lr, beta=0.9),
    "heavy ball": lambda w, lr: gs.Momentum(w, lr=lr, beta=0.9, dampening=0.0),
    "RMSprop": lambda w, lr: gs.RMSprop(w, lr=lr),
    "Adam": lambda w, lr: gs.Adam(w, lr=lr),
}

# Okabe & Ito's palette, which colour-blind readers can tell apart.
BLACK, BLUE, SKY = "#000000", "#0072B2", "#56B4E9"
GREEN, ORANGE, RED = "#009E73", "#E69F00", "#D55E00"
COLOURS = dict(zip(OPTIMIZERS, (BLACK, BLUE, SKY, RED, GREEN), strict=True))


# ---- Three landscapes, and the paths down them -------------------------------------------------


def ravine(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return the value and both derivatives: a hundred times as steep along y as along x."""
    return (x**2 + 100 * y**2) / 2, x, 100 * y


def saddle(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Rise along x and fall along y: flat at the origin, with minima at y = ±1."""
    return x**2 / 2 + 0.2 * (y**4 / 4 - y**2 / 2), x, 0.2 * (y**3 - y)


def plateau(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Lie flat but for a well at the origin."""
    well = np.exp(-(x**2 + y**2) / 2)
    return -well, x * well, y * well


@dataclass(frozen=True)
class Landscape:
    """A function of two variables, where to start on it, and when it counts as left."""

    surface: Callable[[Array, Array], tuple[Array, Array, Array]]
    lesson: str
    start: tuple[float, float]
    lr: float
    steps: int  # the most that anyone is given
    level: float  # left once the value is below
    goal: str  # what that means
    window: tuple[float, float, float, float]  # x and y limits of the picture

    @property
    def name(self) -> str:
        """The name in the table and of the picture's file."""
        return self.surface.__name__

    def value(self, points: Array) -> Array:
        """Return the height at each point; x and y lie along the last axis."""
        return self.surface(points[..., 0], points[..., 1])[0]

    def gradient(self, point: Array) -> Array:
        """Return both derivatives at one point."""
        return np.array(self.surface(point[0], point[1])[1:])


RAVINE = Landscape(
    surface=ravine,
    lesson="Across a ravine descent swings from wall to wall; Momentum averages the swings away",
    start=(-2.0, 0.4),
    lr=0.0195,  # just under 2/100, where descent diverges: along x it wants to be large
    steps=200,
    level=0.1,  # from 10
    goal="reaches the bottom",
    window=(-2.3, 1.0, -0.5, 0.5),
)
SADDLE = Landscape(
    surface=saddle,
    lesson="Near a saddle the gradient vanishes: descent lingers, RMSprop and Adam walk off",
    start=(-1.0, 1e-4),  # almost on the ridge that leads to the saddle
    lr=0.01,
    steps=6_000,
    level=-0.025,  # half the way down
    goal="leaves",
    window=(-1.2, 0.8, -0.3, 1.3),
)
PLATEAU = Landscape(
    surface=plateau,
    lesson="On a plateau descent crawls; RMSprop and Adam divide the gradient by its size and walk",
    start=(-4.0, 2.0),  # where the gradient is 2e-4; far below √ε = 1e-4 the others would crawl too
    lr=0.05,
    steps=30_000,
    level=-0.5,  # half the way down
    goal="leaves",
    window=(-4.5, 1.5, -1.5, 2.5),
)
LANDSCAPES = (RAVINE, SADDLE, PLATEAU)


def path(make: Make, landscape: Landscape, steps: int) -> Array:
    """Return the points of a descent, the start first: shape (steps + 1, 2)."""
    w = np.array(landscape.start, np.float64)
    optimizer = make(w, landscape.lr)
    points = [w.copy()]
    for _ in range(steps):
        optimizer.step(landscape.gradient(w))
        points.append(w.copy())
    return np.array(points)


def paths(landscape: Landscape) -> dict[str, Array]:
    """Return the path of every optimizer."""
    return {name: path(make, landscape, landscape.steps) for name, make in OPTIMIZERS.items()}


def steps_to_leave(landscape: Landscape, points: Array) -> int | None:
    """Return the number of steps until the value is below the level, None if it never is."""
    below = landscape.value(points) < landscape.level
    return int(below.argmax()) if below.any() else None


def crossings(points: Array) -> int:
    """Count how often a path changes sides of the ravine's floor, y = 0."""
    return int((np.diff(np.sign(points[:, 1])) != 0).sum())


def travel(points: Array) -> float:
    """Sum up how far a path goes across the ravine, to and fro."""
    return float(np.abs(np.diff(points[:, 1])).sum())


# ---- Averages ----------------------------------------------------------------------------------

BETAS = (0.5, 0.9, 0.98)


def noisy_series(seed: int, days: int = 200) -> Array:
    """Return the noon temperatures of some days from spring on, in °C."""
    day = np.arange(days)
    return 18 + 8 * np.sin(np.pi * day / days) + np.random.default_rng(seed).normal(0, 3, days)


def averages(series: Array, beta: float) -> tuple[Array, Array]:
    """Return the series' EWA without and with bias correction."""
    return gs.ewa(series, beta), gs.ewa(series, beta, bias_correction=True)


# ---- Decay near the optimum --------------------------------------------------------------------


@dataclass(frozen=True)
class Descent:
    """Mini-batch descent: where it went, and where it should have gone."""

    points: Array  # one a step, the start first
    optimum: Array
    steps_per_epoch: int

    @property
    def distances(self) -> Array:
        """The distance to the optimum after every step."""
        return np.asarray(np.linalg.norm(self.points - self.optimum, axis=1))

    @property
    def final(self) -> float:
        """The mean distance over the last epoch: a single point may be near by luck."""
        return float(self.distances[-self.steps_per_epoch :].mean())


def linear_regression(*, decay: bool, seed: int, epochs: int = 40) -> Descent:
    """Fit two weights to noisy data with SGD on batches of 16, at a constant or decaying rate."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((512, 2))
    y = X @ [1.0, -1.0] + rng.standard_normal(512)
    batches = gs.MiniBatches(X, y, batch_size=16, seed=seed)
    w = np.array([-1.0, 1.0])
    lr = gs.schedules.InverseTimeDecay(0.2, decay_rate=1.0, steps_per_epoch=len(batches))
    optimizer = gs.SGD(w, lr=lr if decay else lr(0))
    points = [w.copy()]
    for _ in range(epochs):
        for xb, yb in batches:
            optimizer.step(xb.T @ (xb @ w - yb) / len(yb))
            points.append(w.copy())
    optimum = np.asarray(np.linalg.lstsq(X, y, rcond=None)[0], np.float64)
    return Descent(np.array(points), optimum, len(batches))


# ---- Batch sizes -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """The loss over all examples as training went on."""

    steps: list[int]
    losses: list[float]
    # A mean, because a single step is too short to be timed while other programs run.
    seconds_per_step: float

    @property
    def seconds(self) -> list[float]:
        """The time that the steps took, without that for measuring the loss."""
        return [step * self.seconds_per_step for step in self.steps]


M = 8192
# Each long enough for its loss to stop falling, or to show that it will take long.
STEPS = {1: 16_384, 64: 8192, M: 512}


def logistic_regression(batch_size: int, steps: int, seed: int) -> Run:
    """Train 50 weights on 8192 synthetic examples, at the same constant rate for any batch size."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((M, 50))
    labels = (X @ rng.standard_normal(50) + 2 * rng.standard_normal(M) > 0).astype(np.float64)
    w = np.zeros(50)
    optimizer = gs.SGD(w, lr=0.1)
    batches = gs.MiniBatches(X, labels, batch_size=batch_size, seed=seed)
    marks = np.unique(np.geomspace(1, steps, 60).astype(int)).tolist()  # even on a log axis
    losses: list[float] = []
    seconds, began = 0.0, time.perf_counter()
    for xb, yb in islice(chain.from_iterable(repeat(batches)), steps):  # epoch after epoch
        optimizer.step(xb.T @ (1 / (1 + np.exp(-xb @ w)) - yb) / len(yb))
        if optimizer.t == marks[len(losses)]:
            seconds += time.perf_counter() - began
            z = X @ w
            losses.append(float((np.logaddexp(0, z) - labels * z).mean()))
            began = time.perf_counter()
    return Run(marks, losses, seconds / steps)


# ---- Points of zero gradient -------------------------------------------------------------------

DIMENSIONS = range(1, 9)


def stationary_points(n: int, seed: int, samples: int = 1000, waves: int = 100) -> Array:
    """Return the eigenvalues of the Hessian at points of zero gradient of random functions.

    Each row belongs to a function of its own, a sum of waves cos(ωx + φ) with ω normal and φ
    uniform: nearly a Gaussian random field, as in Bray & Dean (2007), whose result Dauphin et al.
    (2014, arXiv:1406.2572) hold against the fear of local minima. Newton's method is drawn to
    minima, saddles and maxima alike; runs that find nothing in time are left out. (It favours
    points with a wide basin a little: for n = 2, where half are saddles, it finds about 54 %.)
    """
    rng = np.random.default_rng([seed, n])
    omega = rng.standard_normal((samples, waves, n))
    phase = rng.uniform(0, 2 * np.pi, (samples, waves))
    x = np.zeros((samples, n))
    for _ in range(40):
        angle = (omega @ x[..., None])[..., 0] + phase
        gradient = -(np.sin(angle)[:, None] @ omega)[:, 0]
        hessian = -(omega.transpose(0, 2, 1) * np.cos(angle)[:, None]) @ omega
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        # No step longer than a wave's slope, or a near-singular Hessian throws the point far away.
        x -= step / np.maximum(1, np.linalg.norm(step, axis=1, keepdims=True))
    found = np.linalg.norm(gradient, axis=1) < 1e-6
    return np.linalg.eigvalsh(hessian[found])


def shares(eigenvalues: Array) -> tuple[float, float, float]:
    """Return the shares of minima, saddles and maxima."""
    minima = (eigenvalues > 0).all(axis=1)
    maxima = (eigenvalues < 0).all(axis=1)
    return float(minima.mean()), float((~minima & ~maxima).mean()), float(maxima.mean())


# ---- Drawing -----------------------------------------------------------------------------------


def figure(title: str, width: float = 11, height: float = 4.5) -> Figure:
    """Return an empty figure whose title is the lesson."""
    fig = Figure(figsize=(width, height), layout="constrained", dpi=110)
    fig.suptitle(title, fontsize=13)
    return fig


def draw_landscape(landscape: Landscape, found: dict[str, Array]) -> Figure:
    """Draw each optimizer's path over the contours, and all values against steps."""
    fig = figure(landscape.lesson, 12, 7)
    panels = fig.subplots(2, 3).flat
    left, right, bottom, top = landscape.window
    x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(bottom, top, 200))
    heights = landscape.value(np.stack([x, y], axis=-1))
    # Closer contours further down, or the steep walls would have them all.
    levels = heights.min() + np.ptp(heights) * np.linspace(0, 1, 25)[1:] ** 2
    for (name, points), ax in zip(found.items(), panels, strict=False):
        ax.contour(x, y, heights, levels=levels, colors="silver", linestyles="-", linewidths=0.7)
        ax.plot(*points.T, ".-", color=COLOURS[name], linewidth=1, markersize=4)
        ax.plot(*points[0], "o", color=ORANGE, markersize=8)
        steps = steps_to_leave(landscape, points)
        when = f"after {steps:,} steps" if steps is not None else f"not in {len(points) - 1:,}"
        ax.set(title=f"{name}: {landscape.goal} {when}", xlabel="x", ylabel="y")
        ax.set(xlim=(left, right), ylim=(bottom, top))
        ax.title.set_fontsize(10)
    ax = fig.axes[-1]
    for name, points in found.items():
        ax.plot(landscape.value(points), color=COLOURS[name], label=name)
    ax.axhline(landscape.level, color="grey", linestyle=":", label=landscape.goal)
    ax.set(xlabel="steps", ylabel="value")
    if landscape is RAVINE:
        ax.set(yscale="log", ylim=(1e-5, 20))
    else:
        ax.set(xscale="log")
    hint = "a dot a step: where they crowd, it crawls"
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=6, title=hint)
    return fig


def draw_learning_rates() -> Figure:
    """Draw the three decays over the epochs."""
    schedules = {
        "inverse time: α₀ / (1 + 0.1 · epoch)": gs.schedules.InverseTimeDecay(0.2, decay_rate=0.1),
        "exponential: 0.95^epoch · α₀": gs.schedules.ExponentialDecay(0.2, base=0.95),
        "inverse square root: 1/√epoch · α₀": gs.schedules.InverseSqrtDecay(0.2),
    }
    fig = figure("Three decays from α₀ = 0.2: the exponential one falls late, then furthest")
    epochs = np.arange(101)
    for ax, scale in zip(fig.subplots(1, 2), ("linear", "log"), strict=True):
        for (label, schedule), colour in zip(schedules.items(), (BLUE, RED, GREEN), strict=True):
            ax.plot(epochs, schedule(epochs), color=colour, linewidth=2, label=label)
        ax.set(xlabel="epoch", ylabel=f"learning rate α ({scale} axis)", yscale=scale)
    ax.legend()
    return fig


def draw_ewa(series: Array) -> Figure:
    """Draw a series and its averages."""
    fig = figure("A larger β is smoother and later; bias correction mends the start at zero", 13)
    for beta, ax in zip(BETAS, fig.subplots(1, 3, sharey=True), strict=True):
        plain, corrected = averages(series, beta)
        ax.plot(series, ".", color="silver", label="temperature")
        ax.plot(corrected, color=BLUE, linewidth=2, label="corrected: v / (1 − βᵗ)")
        ax.plot(plain, "--", color=RED, linewidth=2, label="uncorrected: v")
        ax.set(title=f"β = {beta}: about {1 / (1 - beta):.0f} days", xlabel="day", ylabel="°C")
    ax.legend(loc="lower right")
    return fig


def draw_decay(constant: Descent, decayed: Descent) -> Figure:
    """Draw the last half of both paths, and the distances over the epochs."""
    fig = figure(
        "At a constant rate mini-batch descent wanders around the optimum; with decay it settles"
    )
    near, far = fig.subplots(1, 2)
    runs = (("constant rate", constant, RED), ("inverse-time decay", decayed, BLUE))
    for label, run, colour in runs:  # decay last: on top
        half = run.points[len(run.points) // 2 :]
        near.plot(*half.T, ".-", color=colour, linewidth=0.5, markersize=3, label=label)
        epochs = np.arange(len(run.points)) / run.steps_per_epoch
        far.plot(epochs, run.distances, color=colour, linewidth=0.8, label=label)
    near.plot(*constant.optimum, "+", color=BLACK, markersize=14, label="optimum")
    near.set(title="the last 20 epochs", xlabel="w₁", ylabel="w₂")
    near.set_aspect("equal", adjustable="datalim")
    far.set(xlabel="epoch", ylabel="distance to the optimum", yscale="log")
    fig.legend(*near.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


def draw_batch_sizes(runs: dict[int, Run]) -> Figure:
    """Draw the loss against steps and against seconds."""
    fig = figure(
        "One example a step is noisy, all m make a step slow: a batch in between learns soonest"
    )
    steps, seconds = fig.subplots(1, 2, sharey=True)
    for (batch_size, run), colour in zip(runs.items(), (RED, BLUE, BLACK), strict=True):
        label = f"batch size {'m = ' if batch_size == M else ''}{batch_size}"
        steps.plot(run.steps, run.losses, color=colour, label=label)
        seconds.plot(run.seconds, run.losses, color=colour, label=label)
    steps.set(xscale="log", xlabel="steps", ylabel="loss over all examples")
    seconds.set(xscale="log", xlabel="seconds")
    steps.legend()
    return fig


def draw_saddles(found: dict[int, tuple[float, float, float]]) -> Figure:
    """Draw the shares of minima, saddles and maxima against dimension."""
    fig = figure("The more dimensions, the more of the points of zero gradient are saddles", 9, 5)
    ax = fig.subplots()
    n = np.array(list(found))
    minima, saddles, maxima = np.array(list(found.values())).T
    ax.bar(n, minima, color=BLUE, label="minima")
    ax.bar(n, saddles, bottom=minima, color=ORANGE, label="saddles")
    ax.bar(n, maxima, bottom=minima + saddles, color=SKY, label="maxima")
    # Minima and maxima are the stacks' ends: a coin for each direction leaves 2^-n for either.
    ax.plot(n, 0.5**n, "o--", color=BLACK, label="if each direction tossed a coin: $2^{-n}$")
    ax.set(xlabel="dimension n", ylabel="share of points of zero gradient", xticks=n)
    fig.legend(loc="outside lower center", ncols=4)
    return fig


# ---- The whole lesson --------------------------------------------------------------------------


def row(label: str, cells: list[str]) -> str:
    """Return a line of the table."""
    return f"{label:<33}" + "".join(f"{cell:>11}" for cell in cells)


def landscapes() -> dict[str, Figure]:
    """Tell and draw how the optimizers do on the three landscapes."""
    pictures = {}
    print(row("same rate on each landscape", list(OPTIMIZERS)))
    for landscape in LANDSCAPES:
        found = paths(landscape)
        counts = [steps_to_leave(landscape, points) for points in found.values()]
        cells = [f"> {landscape.steps:,}" if count is None else f"{count:,}" for count in counts]
        print(row(f"{landscape.name}: {landscape.goal} after", cells))
        if landscape is RAVINE:
            print(row("ravine: crossings", [str(crossings(p)) for p in found.values()]))
            print(row("ravine: way across", [f"{travel(p):.1f}" for p in found.values()]))
        pictures[landscape.name] = draw_landscape(landscape, found)
    print(
        "Momentum, an average, leaves no sooner than SGD; as the heavy ball (steps 10 α) it does."
    )
    return pictures


def decay(seed: int) -> dict[str, Figure]:
    """Tell and draw how near the optimum descent ends."""
    seeds = range(seed, seed + 5)
    constant = [linear_regression(decay=False, seed=s) for s in seeds]
    decayed = [linear_regression(decay=True, seed=s) for s in seeds]
    print("\ndistance to the optimum in the last epoch, mean of 5 runs")
    print(row("constant rate", [f"{np.mean([run.final for run in constant]):.4f}"]))
    print(row("inverse-time decay", [f"{np.mean([run.final for run in decayed]):.4f}"]))
    return {"decay": draw_decay(constant[0], decayed[0])}


def batch_sizes(seed: int) -> dict[str, Figure]:
    """Tell and draw how fast logistic regression learns."""
    runs = {size: logistic_regression(size, steps, seed) for size, steps in STEPS.items()}
    print("\n" + row("logistic regression, batch size", [f"{size:,}" for size in runs]))
    print(row("steps", [f"{run.steps[-1]:,}" for run in runs.values()]))
    print(row("seconds", [f"{run.seconds[-1]:.2f}" for run in runs.values()]))
    print(row("loss", [f"{run.losses[-1]:.4f}" for run in runs.values()]))
    return {"batch_sizes": draw_batch_sizes(runs)}


def saddles(seed: int) -> dict[str, Figure]:
    """Tell and draw which points of zero gradient there are."""
    found = {n: shares(stationary_points(n, seed)) for n in DIMENSIONS}
    print("\npoints of zero gradient of 1000 random smooth functions, found by Newton's method")
    print(row("dimension", [str(n) for n in found]))
    for i, label in enumerate(("minima", "saddles", "maxima")):
        print(row(label, [f"{share[i]:.1%}" for share in found.values()]))
    return {"saddles": draw_saddles(found)}


def main(arguments: list[str] | None = None) -> None:
    """Print the tables and write the pictures."""
    parser = argparse.ArgumentParser(description="The lesson of the optimizers, in pictures.")
    parser.add_argument("--out", type=Path, default=Path("landscapes"), help="default: landscapes/")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    pictures = landscapes() | decay(options.seed) | batch_sizes(options.seed)
    pictures |= saddles(options.seed)
    pictures |= {
        "learning_rates": draw_learning_rates(),
        "ewa": draw_ewa(noisy_series(options.seed)),
    }

    options.out.mkdir(parents=True, exist_ok=True)
    for name, fig in pictures.items():
        fig.savefig(options.out / f"{name}.png")
    print(f"\nwrote {', '.join(f'{name}.png' for name in pictures)} to {options.out.resolve()}")


if __name__ == "__main__":
    main()
