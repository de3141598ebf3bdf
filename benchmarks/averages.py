"""The section of exponentially weighted averages: of a long series, and of a model's parameters.

A new peer is one function here and its name in a table of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep as gs
import limit
import packages
from cases import MODELS, Arrays, Case
from report import NONE, Options, Result, Section, duration, ratio
from timing import looped
from timing import measure as take_turns

BETA = 0.9
LENGTH, QUICK_LENGTH = 10**7, 10**6
OTHERS = ("pandas", "scipy", "naive", "tuned")
Series = NDArray[Any]


# -- A series --------------------------------------------------------------------------------------


def series(length: int, dtype: str) -> Series:
    return np.random.default_rng(7).standard_normal(length).astype(dtype)


def pandas(x: Series) -> Callable[[], Series]:
    """Let pandas average. It begins at the first value, so that gets a zero before it."""
    begun = packages.load("pandas").Series(np.concatenate([np.zeros(1, x.dtype), x]))
    return lambda: np.asarray(begun.ewm(alpha=1 - BETA, adjust=False).mean())[1:]


def scipy(x: Series) -> Callable[[], Series]:
    """Let SciPy's recursive filter average."""
    signal = packages.load("scipy.signal")
    b, a = np.array([1 - BETA], x.dtype), np.array([1, -BETA], x.dtype)
    return lambda: np.asarray(signal.lfilter(b, a, x))


def gradstep(x: Series) -> Callable[[], Series]:
    """Use this package."""
    return lambda: gs.ewa(x, BETA)


SERIES = {"pandas": pandas, "scipy": scipy, "gradstep": gradstep}


def averagers(x: Series) -> dict[str, Callable[[], Series]]:
    """Return everybody who is here and averages a series."""
    here = {name: start for name, start in SERIES.items() if packages.version(name)}
    return {name: start(x) for name, start in here.items()}


def refuse_wrong(name: str, x: Series, given: Series) -> None:
    """Raise where an average is off the sum that defines it, in float64.

    v_t is the sum of (1 − β) βᵏ θ_(t−k); after 400 terms what is left is below 1e-18.
    """
    places = np.unique(np.linspace(0, len(x) - 1, 2000).astype(np.intp))
    terms = np.arange(400)
    at = places[:, None] - terms
    values = np.where(at >= 0, x[np.maximum(at, 0)], 0).astype(np.float64)
    right = values @ ((1 - BETA) * BETA**terms)
    tolerance = 1e-12 if x.dtype == np.float64 else 2e-6
    if given.shape != x.shape or not np.max(np.abs(given[places] - right)) <= tolerance:
        raise RuntimeError(
            f"the average of {name!r} is off its definition by more than {tolerance}"
        )


def measure_series(length: int, dtype: str, rounds: int) -> Result:
    x = series(length, dtype)
    runs = averagers(x)
    for name, run in runs.items():
        refuse_wrong(name, x, run())
    seconds = take_turns({name: looped(run) for name, run in runs.items()}, rounds)
    return {"case": f"gs.ewa, {length:,} values, {dtype}", "elements": length, "seconds": seconds}


# -- A model ---------------------------------------------------------------------------------------


def naive(v: Arrays, x: Arrays) -> Callable[[], Arrays]:
    """Average as a course writes it."""

    def update() -> Arrays:
        for name in v:
            v[name] = BETA * v[name] + (1 - BETA) * x[name]
        return v

    return update


def tuned(v: Arrays, x: Arrays) -> Callable[[], Arrays]:
    """Average in place, with one scratch buffer."""
    scratch = np.empty(max(w.size for w in x.values()), np.float32)
    buffers = {name: scratch[: w.size].reshape(w.shape) for name, w in x.items()}

    def update() -> Arrays:
        for name, buffer in buffers.items():
            np.multiply(v[name], BETA, out=v[name])
            np.multiply(x[name], 1 - BETA, out=buffer)
            np.add(v[name], buffer, out=v[name])
        return v

    return update


def functional(v: Arrays, x: Arrays) -> Callable[[], Arrays]:
    """Average in place with this package."""
    averages, values = list(v.values()), list(x.values())

    def update() -> Arrays:
        gs.functional.ewa(averages, values, beta=BETA)
        return v

    return update


def keeping(v: Arrays, x: Arrays) -> Callable[[], Arrays]:
    """Let this package keep the average and hand out copies."""
    average = gs.EWA(BETA)
    return lambda: dict(average.update(x))


# The two of this package are two rows of the table, each beside the same others.
OURS = {"gs.functional.ewa": functional, "gs.EWA.update": keeping}
MODEL = {"naive": naive, "tuned": tuned, **OURS}


def updates(case: Case) -> dict[str, Callable[[], Arrays]]:
    """Return everybody who averages a model, from zeros."""
    x = case.params()
    zeros = {name: {key: np.zeros_like(w) for key, w in x.items()} for name in MODEL}
    return {name: start(zeros[name], x) for name, start in MODEL.items()}


def refuse_wrong_update(case: Case, by_name: dict[str, Callable[[], Arrays]]) -> None:
    """Raise where the second average is not (1 − β²) x, up to float32's rounding."""
    for name, update in by_name.items():
        update()
        answer = update()
        for key, w in case.params().items():
            difference = np.max(np.abs(answer[key] - (1 - BETA**2) * w))
            if not difference <= 1e-6:
                raise RuntimeError(f"{key} of {name!r} is off its average by {difference:.2g}")


def measure_model(case: Case, threads: int, rounds: int) -> Iterator[Result]:
    runs = updates(case)
    refuse_wrong_update(case, runs)
    samplers = {name: looped(run) for name, run in runs.items()}
    samplers |= limit.samplers(case.elements, threads, streams=3)
    seconds = take_turns(samplers, rounds)
    best = limit.best(seconds)
    for ours in OURS:
        others = {name: times for name, times in seconds.items() if name not in OURS}
        yield {
            "case": f"{ours}, {case.name}",
            "elements": case.elements,
            "seconds": {"gradstep": seconds[ours], **others},
            "limit": best,
        }


# -- The section -----------------------------------------------------------------------------------


def measure(options: Options) -> Iterator[Result]:
    gs.set_num_threads(options.threads)
    length = QUICK_LENGTH if options.quick else LENGTH
    for dtype in ("float64", "float32"):
        if length <= options.max_elements:
            yield measure_series(length, dtype, options.rounds)
    case = MODELS[2 if options.quick else -1]
    if case.elements <= options.max_elements:
        yield from measure_model(case, options.threads, options.rounds)


def headings() -> Sequence[str]:
    others = [f"{name}/gs" for name in OTHERS]
    return ["what", "gradstep", "ns/elem", *others, "share"]


def cells(result: Result) -> Sequence[str]:
    ours = result["seconds"]["gradstep"]["median"]
    best = result.get("limit")
    return [
        result["case"],
        duration(ours),
        f"{ours / result['elements'] * 1e9:.3g}",
        *(ratio(result, name) for name in OTHERS),
        f"{best['median'] / ours:.0%}" if best else NONE,
    ]


SECTION = Section(
    "Exponentially weighted averages, β = 0.9",
    "Time of each divided by gradstep's (gs). pandas: ewm(adjust=False); scipy: signal.lfilter; naive,\n"
    "tuned: NumPy as in a course, in place; share: of the memory's limit, a plain C loop over the\n"
    "same three streams. gs.EWA.update hands out copies, which the limit does not.",
    50,
    headings,
    measure,
    cells,
    lambda results: packages.missing("pandas", "scipy"),
)
