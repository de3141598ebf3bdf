"""The section of training loops, and the program that times them in a process of their own.

By itself, `python benchmarks/loop.py` times in this process and prints results as JSON, one a line;
`--torch-first` imports PyTorch first. What is timed is in training.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

import packages
from report import NONE, Options, Result, Section, median, ratio

# OpenBLAS reads them as it is loaded with NumPy. They make it take another processor's kernels and
# block sizes: matmul would not be what it is on this machine.
OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")

MODELS = [
    (64, 32, 10),
    (784, 38, 20, 10),
    (784, 512, 256, 10),
    (2048, 2048, 512, 10),
    (4096, 4096, 1024, 10),
]
SECONDS, QUICK_SECONDS = 6.0, 1.0  # of a model, at least


def measure(options: Options) -> Iterator[Result]:
    for torch_first in (False, True):
        if torch_first and not packages.version("torch"):
            continue
        command = [sys.executable, __file__]
        command += ["--threads", str(options.threads), "--rounds", str(options.rounds)]
        command += ["--quick"] * options.quick + ["--torch-first"] * torch_first
        command += ["--max-elements", str(options.max_elements)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {process.returncode}")


def name(widths: Sequence[int]) -> str:
    return "-".join(map(str, widths))


def spread(result: Result, name: str) -> str:
    """Return the median and the quartiles in milliseconds."""
    times = result["seconds"][name]
    q1, middle, q3 = (f"{1e3 * times[key]:.3g}" for key in ("q1", "median", "q3"))
    return f"{middle} ({q1}–{q3})"


def cells(result: Result) -> Sequence[str]:
    title = name(result["widths"]) + (", torch first" if result["torch first"] else "")
    return [
        title,
        spread(result, "no update"),
        spread(result, "gradstep, 1 thread"),
        spread(result, "gradstep"),
        ratio(result, "gradstep", to="gradstep, 1 thread"),
        ratio(result, "naive"),
        ratio(result, "tuned"),
    ]


def is_unsteady(result: Result) -> bool:
    """Whether the passes alone took times that differ by half."""
    times = result["seconds"]["no update"]
    return float(times["q3"]) > 1.5 * float(times["q1"])


def notes(results: Sequence[Result]) -> Sequence[str]:
    slower = [
        cells(result)[0]
        for result in results
        if (median(result, "gradstep") or 0) > 1.05 * (median(result, "gradstep, 1 thread") or 0)
    ]
    lines = [f"More than 5 % slower with all threads than with one: {', '.join(slower) or NONE}"]
    # OpenBLAS's own threads may share a core for seconds; an iteration then waits for the scheduler.
    unsteady = [cells(result)[0] for result in results if is_unsteady(result)]
    if unsteady:
        lines.append(
            f"Unsteady even without an update, so to be measured again: {', '.join(unsteady)}"
        )
    return lines + packages.missing("torch")


SECTION = Section(
    "The whole loop: forward, backward, step of Adam (float32, batch 64)",
    "Milliseconds of an iteration, median (quartiles): without any update, with gradstep on one\n"
    "thread and on all; all/one: below 1 the threads pay. naive, tuned: loop speedup over NumPy's\n"
    "update, iteration with it / iteration with gradstep. torch first: PyTorch was imported first\n"
    "and its threads are there.",
    34,
    lambda: ["network", "no update", "1 thread", "all threads", "all/one", "naive/gs", "tuned/gs"],
    measure,
    cells,
    notes,
)


def start_over_without_overrides() -> None:
    """Become a process in which OpenBLAS sees the machine as it is. NumPy must not be loaded yet."""
    clean = {name: value for name, value in os.environ.items() if name not in OVERRIDES}
    if clean != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.argv], clean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, help="of gradstep (default: its own)")
    parser.add_argument("--rounds", type=int, default=15, help="blocks of each, at least")
    parser.add_argument("--quick", action="store_true", help="the small networks, and a short time")
    parser.add_argument("--max-elements", type=int, default=10**9, help="leave out larger networks")
    parser.add_argument("--torch-first", action="store_true", help="import PyTorch first")
    parser.add_argument("--seconds", type=float, help="of each network, at least")
    parser.add_argument("--models", type=int, nargs="*", help="by number, from 0 on")
    arguments = parser.parse_args()
    start_over_without_overrides()
    if arguments.torch_first:
        import torch_first

        torch_first.wake_threads()
    # Only now, in this order: NumPy loads OpenBLAS, and gradstep comes after PyTorch.
    import gradstep as gs
    import training

    threads = arguments.threads or gs.get_num_threads()
    models = [MODELS[i] for i in arguments.models or range(3 if arguments.quick else len(MODELS))]
    seconds = QUICK_SECONDS if arguments.quick else SECONDS
    if arguments.seconds is not None:
        seconds = arguments.seconds
    for widths in models:
        if sum(a * b for a, b in itertools.pairwise(widths)) <= arguments.max_elements:
            result = training.measure(widths, threads, arguments.rounds, seconds)
            print(json.dumps({"torch first": arguments.torch_first, **result}), flush=True)


if __name__ == "__main__":
    main()
