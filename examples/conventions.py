"""What each difference between the conventions of others does to a run, in one picture.

    python examples/conventions.py --out docs/figures

Everything but the difference is the same in each panel; every line is an optimizer of
`gradstep.compat` or of gradstep itself. The formulas are in docs/conventions.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from needs import needs

with needs():
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    import gradstep as gs

Array = NDArray[np.float64]
Make = Callable[[Array], gs.Optimizer]

START = (-2.0, 1.2)
# Okabe & Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")

torch, keras, optax = gs.compat.torch, gs.compat.keras, gs.compat.optax


def gradient(w: Array) -> Array:
    """Of a valley ten times as steep across as along: f = (x² + 10 y²) / 2."""
    return np.array([w[0], 10 * w[1]])


class Panel(NamedTuple):
    """One difference: what differs, over how many steps, and who does what."""

    title: str
    steps: int
    lines: dict[str, Make]


def falling(n: int) -> float:
    """Return a rate that falls to a tenth after ten steps."""
    return 0.04 if n < 10 else 0.004


PANELS = [
    Panel(
        "Where ε = 0.3 sits in Adam",
        40,
        {
            "√(v̂ + ε): gradstep": lambda w: gs.Adam(w, lr=0.1, eps_root=0.3),
            "√v̂ + ε: PyTorch, optax": lambda w: torch.Adam(w, lr=0.1, eps=0.3),
            "√v + ε: Keras, scikit-learn": lambda w: keras.Adam(w, 0.1, epsilon=0.3),
        },
    ),
    Panel(
        "Momentum, α = 0.04, β = 0.9",
        30,
        {
            "average: gradstep": lambda w: gs.Momentum(w, lr=0.04),
            "sum: PyTorch, optax": lambda w: torch.SGD(w, lr=0.04, momentum=0.9),
            "sum, dampened by 0.5 from step 2: PyTorch": lambda w: torch.SGD(
                w, lr=0.04, momentum=0.9, dampening=0.5
            ),
        },
    ),
    Panel(
        "The rate falls to a tenth after 10 steps",
        40,
        {
            "outside the buffer: PyTorch, optax": lambda w: torch.SGD(w, falling, momentum=0.9),
            "inside: Keras, scikit-learn": lambda w: keras.SGD(w, falling, momentum=0.9),
        },
    ),
    Panel(
        "Weight decay λ = 2 in Adam",
        40,
        {
            "in the gradient: Adam": lambda w: torch.Adam(w, lr=0.1, weight_decay=2.0),
            "decoupled: AdamW, Keras": lambda w: torch.AdamW(w, lr=0.1, weight_decay=2.0),
        },
    ),
    Panel(
        "NAdam's factors of momentum",
        40,
        {
            "ψ = 0.004: PyTorch, gradstep": lambda w: torch.NAdam(w, lr=0.1),
            "ψ = 1: Keras": lambda w: keras.Nadam(w, 0.1),
            "none: optax": lambda w: optax.nadam(w, 0.1),
        },
    ),
    Panel(
        "AMSGrad's maximum, β₂ = 0.9",
        40,
        {
            "of v: PyTorch, Keras, gradstep": lambda w: torch.Adam(
                w, lr=0.1, betas=(0.9, 0.9), amsgrad=True
            ),
            "of v̂: optax": lambda w: optax.amsgrad(w, 0.1, b2=0.9),
        },
    ),
]


def path(make: Make, steps: int) -> Array:
    """Return where an optimizer is before, and after each of its steps."""
    w = np.array(START)
    opt = make(w)
    points = [w.copy()]
    for _ in range(steps):
        opt.step(gradient(w))
        points.append(w.copy())
    return np.array(points)


def draw(out: Path) -> Path:
    """Draw all panels, and return the file."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    x, y = np.meshgrid(np.linspace(-2.4, 2.4, 200), np.linspace(-1.6, 1.6, 200))
    for axes, panel in zip(figure.subplots(2, 3).flat, PANELS, strict=True):
        axes.contour(x, y, (x**2 + 10 * y**2) / 2, 12, colors="0.85", linewidths=0.8)
        for (label, make), colour in zip(panel.lines.items(), COLOURS, strict=False):
            points = path(make, panel.steps)
            axes.plot(*points.T, "-o", color=colour, markersize=2.5, linewidth=1.2, label=label)
        axes.plot(0, 0, "k+")
        axes.set(title=panel.title, xlim=(-2.4, 2.4), ylim=(-1.6, 1.6))
        axes.legend(fontsize=7, loc="upper right")
    file = out / "conventions.png"
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    return file


def main() -> None:
    """Draw the picture and print where each line ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/figures"), help="folder")
    file = draw(parser.parse_args().out)
    for panel in PANELS:
        print(panel.title)
        for label, make in panel.lines.items():
            end = path(make, panel.steps)[-1]
            print(f"  {label:45} ends at ({end[0]:7.3f}, {end[1]:7.3f})")
    print(f"drawn to {file}")


if __name__ == "__main__":
    main()
