"""The picture of the steps: bandwidth over array size for every peer, the memory's limit as a line.

What is drawn was measured by steps.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cases import SINGLE
from report import Result
from steps import bandwidth, columns

# Okabe and Ito's colours, which the colour-blind tell apart; a marker each says it twice.
LOOKS = {
    "gradstep": ("#0072B2", "o", "gradstep"),
    "torch": ("#CC79A7", "D", "PyTorch, fused"),
    "numba": ("#56B4E9", "P", "numba, fused loop"),
    "blocked": ("#009E73", "^", "NumPy, blocked"),
    "tuned": ("#E69F00", "s", "NumPy, in place"),
    "naive": ("#D55E00", "v", "NumPy, as in a course"),
}


def draw(results: Sequence[Result], about: dict[str, Any], path: str) -> None:
    """Draw lines for single arrays and hollow marks for models."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = {case.name for case in SINGLE}
    single = [result for result in results if result["case"] in names]
    models = [result for result in results if result["case"] not in names]

    def speeds(of: Sequence[Result], name: str) -> list[float]:
        return [bandwidth(result, result["seconds"][name]["median"]) for result in of]

    sizes = [result["elements"] for result in single]
    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
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
    axes.set_title(
        f"Adam, float32: bandwidth of a step (28 bytes an element)\n"
        f"{about['cpu']}, {about['threads']} threads; hollow: models of many arrays"
    )
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)
