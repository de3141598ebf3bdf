"""The section of what stands around a step: clipping, the finite check, an average of the weights.

A new peer is one function here and its name in AROUND.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import gradstep as gs
import packages
from cases import MODELS, Arrays, Case, transformer
from judge import EPS, LR
from peers import Run, fused, tuned, use_threads
from peers import gradstep as ours
from report import Options, Result, Section, duration, ratio
from timing import looped
from timing import measure as take_turns

BETA = 0.999  # of the average
# Half of what the norms are, so that the first step is clipped.
SHARE = 0.5

# What is done around the step, with the word for it in the table.
WHAT = {"nothing": "a step", "clip": "clipped", "all": "clipped, checked, averaged"}

CASES = [
    MODELS[1],
    Case("3e7 in 109 arrays", transformer(3200, 512, 9)),
    Case("3e7 in one array", [(30_000_000,)]),
]


def norm(grads: Mapping[str, Any]) -> float:
    """Return the norm of all gradients together, summed in float64."""
    return math.sqrt(
        sum(np.einsum("i,i", g.ravel(), g.ravel(), dtype=float) for g in grads.values())
    )


def in_numpy(params: Arrays, grads: Arrays, what: str, max_norm: float) -> Run:
    """Clip, check, step and average in place, each a walk of its own."""
    run = tuned(params, grads)
    averages = {name: np.zeros_like(w) for name, w in params.items()}
    scratch = np.empty(max(w.size for w in params.values()), np.float32)

    def step() -> None:
        if what != "nothing":
            total = math.sqrt(sum(float(np.vdot(g, g)) for g in grads.values()))
            if what == "all" and not math.isfinite(total):
                return
            factor = min(1.0, max_norm / total)
            for g in grads.values():
                np.multiply(g, factor, out=g)
        run.step()
        if what == "all":
            for name, w in params.items():
                difference = np.subtract(w, averages[name], out=scratch[: w.size].reshape(w.shape))
                np.multiply(difference, 1 - BETA, out=difference)
                np.add(averages[name], difference, out=averages[name])

    return Run(step, lambda: params)


def in_torch(params: Arrays, grads: Arrays, what: str, max_norm: float) -> Run:
    """Step with PyTorch's fused kernel, and use its own functions around it."""
    torch = packages.load("torch")
    run = fused(params, grads)
    of_torch: Any = run.step
    tensors = [tensor for group in of_torch.__self__.param_groups for tensor in group["params"]]
    averages = [torch.zeros_like(tensor) for tensor in tensors]
    average = packages.load("torch.optim.swa_utils").get_ema_multi_avg_fn(BETA)

    def step() -> None:
        if what != "nothing":
            torch.nn.utils.clip_grad_norm_(tensors, max_norm, error_if_nonfinite=what == "all")
        run.step()
        if what == "all":
            average(averages, tensors, 0)

    return Run(step, run.params)


def in_gradstep(params: Arrays, grads: Arrays, what: str, max_norm: float) -> Run:
    """Let one step do it."""
    options: dict[str, dict[str, Any]] = {
        "nothing": {},
        "clip": {"max_norm": max_norm},
        "all": {"max_norm": max_norm, "nonfinite": "skip", "average": gs.EWA(BETA)},
    }
    return ours(params, grads, **options[what])


Start = Callable[[Arrays, Arrays, str, float], Run]
AROUND: dict[str, tuple[Start, str]] = {
    "tuned": (in_numpy, "inside"),
    "torch": (in_torch, "outside"),
    "gradstep": (in_gradstep, "inside"),
}


def present() -> dict[str, tuple[Start, str]]:
    """Return those who are here."""
    return {n: peer for n, peer in AROUND.items() if n != "torch" or packages.version(n)}


def refuse_wrong(name: str, case: Case, given: Arrays, epsilon: str, factor: float) -> None:
    """Raise where a first step was not Adam's by the gradients times `factor`."""
    for key, w in case.params().items():
        g = case.grads()[f"d{key}"].astype(float) * factor
        # In the first step the corrected moments are g and g².
        root = np.sqrt(g * g + EPS) if epsilon == "inside" else np.abs(g) + EPS
        right = w - LR * g / root
        wrong = np.max(np.abs(given[key] - right))
        if not wrong <= 2e-3 * LR + 1e-7 * np.max(np.abs(right)):
            raise RuntimeError(f"{key} of {name!r} is off its step by {wrong:.2g}")


def start(name: str, case: Case, what: str, max_norm: float) -> Run:
    begin, _ = AROUND[name]
    # Gradients of its own: whoever clips in place changes them.
    return begin(case.params(), case.grads(), what, max_norm)


def check(case: Case, what: str, max_norm: float) -> None:
    """Let each take one step, one after another: there is memory for one at a time."""
    factor = 1.0 if what == "nothing" else min(1.0, max_norm / norm(case.grads()))
    for name, (_, epsilon) in present().items():
        run = start(name, case, what, max_norm)
        run.step()
        refuse_wrong(name, case, run.params(), epsilon, factor)


def measure_case(case: Case, rounds: int) -> Iterator[Result]:
    max_norm = SHARE * norm(case.grads())
    for what, words in WHAT.items():
        check(case, what, max_norm)
        runs = {name: start(name, case, what, max_norm) for name in present()}
        yield {
            "case": f"{case.name}, {words}",
            "elements": case.elements,
            "what": what,
            "seconds": take_turns({n: looped(run.step) for n, run in runs.items()}, rounds),
        }


def measure(options: Options) -> Iterator[Result]:
    use_threads(options.threads)
    for case in CASES:
        if case.elements <= min(options.max_elements, 10**6 if options.quick else 10**9):
            yield from measure_case(case, options.rounds)


def headings() -> Sequence[str]:
    return ["what", "gradstep", "ns/elem", "tuned/gs", "torch/gs"]


def cells(result: Result) -> Sequence[str]:
    seconds = result["seconds"]["gradstep"]["median"]
    return [
        result["case"],
        duration(seconds),
        f"{seconds / result['elements'] * 1e9:.3g}",
        ratio(result, "tuned"),
        ratio(result, "torch"),
    ]


SECTION = Section(
    "What stands around a step of Adam in float32",
    "Time of each divided by gradstep's (gs). tuned: NumPy in place; torch: clip_grad_norm_, the fused\n"
    "step, and get_ema_multi_avg_fn; checked: for gradients that are not finite.",
    46,
    headings,
    measure,
    cells,
    lambda results: packages.missing("torch"),
)
