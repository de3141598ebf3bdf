"""The picture: bandwidth of a step over array size for every peer, and what stands around a step.

What is drawn was measured by steps.py and around.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cases import SINGLE
from report import Result
from steps import bandwidth, columns

LARGE = "3e7 in 109 arrays"

# Okabe and Ito's colours, which the colour-blind tell apart; a marker each says it twice.
LOOKS = {
    "gradstep": ("#0072B2", "o", "gradstep"),
    "torch": ("#CC79A7", "D", "PyTorch, fused"),
    "numba": ("#56B4E9", "P", "numba, fused loop"),
    "blocked": ("#009E73", "^", "NumPy, blocked"),
    "tuned": ("#E69F00", "s", "NumPy, in place"),
    "naive": ("#D55E00", "v", "NumPy, as in a course"),
}


def draw(
    results: Sequence[Result], around: Sequence[Result], about: dict[str, Any], path: str
) -> None:
    """Draw the steps and, where the large model was measured, a panel of what stands around one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    large = [result for result in around if result["case"].startswith(LARGE)]
    panels = 2 if large else 1
    figure, axes = plt.subplots(
        1, panels, figsize=(8, 5.5) if panels == 1 else (12, 5.5), layout="constrained",
        squeeze=False, width_ratios=[3, 2][:panels],
    )  # fmt: skip
    draw_steps(axes[0, 0], results)
    if large:
        draw_around(axes[0, 1], large)
    figure.suptitle(f"Adam, float32; {about['cpu']}, {about['threads']} threads")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_around(axes: Any, results: Sequence[Result]) -> None:
    """Draw a bar for each peer and what it did."""
    import numpy as np

    names = [name for name in ("gradstep", "torch") if name in results[0]["seconds"]]
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        color, _, label = LOOKS[name]
        times = [result["seconds"][name]["median"] * 1e3 for result in results]
        bars = axes.bar(np.arange(len(results)) + i * width, times, width, color=color, label=label)
        axes.bar_label(bars, fmt="%.0f")
    words = [result["case"].removeprefix(f"{LARGE}, ").replace(", ", ",\n") for result in results]
    axes.set_xticks(np.arange(len(results)) + 0.4 - width / 2, words)
    axes.set(ylabel="ms", title=f"a step and what stands around it, {LARGE}")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()


def draw_steps(axes: Any, results: Sequence[Result]) -> None:
    """Draw lines for single arrays and hollow marks for models."""
    names = {case.name for case in SINGLE}
    single = [result for result in results if result["case"] in names]
    models = [result for result in results if result["case"] not in names]

    def speeds(of: Sequence[Result], name: str) -> list[float]:
        return [bandwidth(result, result["seconds"][name]["median"]) for result in of]

    sizes = [result["elements"] for result in single]
    if all(result["limit"] for result in single):
        most = [bandwidth(result, result["limit"]["median"]) for result in single]
        axes.plot(sizes, most, "--", color="black", label="the memory's limit")
    present = {"gradstep", *columns()}
    for name, (color, marker, label) in LOOKS.items():
        if name not in present:
            continue
        width = 2.5 if name == "gradstep" else 1.5
        look: dict[str, Any] = {"color": color, "marker": marker, "ms": 7}
        axes.plot(sizes, speeds(single, name), lw=width, label=label, **look)
        at = [result["elements"] for result in models]
        axes.plot(at, speeds(models, name), ls="", mfc="white", mew=1.5, **look)
    axes.set(xscale="log", yscale="log", xlabel="elements in one step", ylabel="GB/s")
    axes.set_title("bandwidth of a step (28 bytes an element); hollow: models of many arrays")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend()
