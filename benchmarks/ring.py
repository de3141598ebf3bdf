"""A step over many ranks, computed: a ring that reduces, scatters and gathers, beside the stepping.

`python benchmarks/ring.py --page docs/distributed.md` puts the tables there. Nothing is measured here but
what --ns brings: the nanoseconds that one rank takes for an element of its share.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import page
from report import duration

MIB = 1 << 20
WIDTH = 4  # bytes of a parameter and of its gradient
STATE = 8  # bytes of Adam's two moments
UNDER_WAY = 4  # buckets: two that are reduced, two that are gathered
RANKS = [1, 2, 4, 8, 64, 256, 1024]


class Network(NamedTuple):
    """What the model knows of a network; every rank has such a link of its own, both ways at once."""

    bandwidth: float  # bytes a second
    latency: float  # seconds from one rank to the next

    def __str__(self) -> str:
        return f"{self.bandwidth * 8 / 1e9:g} Gbit/s, {duration(self.latency)}"


NETWORKS = [
    Network(gigabits * 1e9 / 8, latency) for gigabits in (10, 100) for latency in (20e-6, 2e-6)
]


class Step(NamedTuple):
    """The seconds of a step and of what it is made of."""

    link: float  # bytes, at the bandwidth
    latency: float  # of all messages, were they sent one after the other
    stepping: float  # this rank's share
    apart: float  # a step in which nothing passes at the same time
    overlapped: float  # one in which all passes at the same time that can
    replicated: float  # every rank steps everything, after one all-reduce


def moved(elements: int, ranks: int) -> float:
    """Return the bytes that a rank sends in a step, and receives: a reduce-scatter and an all-gather.

    A ring of R ranks sends a part of 1/R R − 1 times for each. An all-reduce is the two of them.
    """
    return 2 * (ranks - 1) / ranks * elements * WIDTH


def step(elements: int, ranks: int, network: Network, seconds: float, bucket: int) -> Step:
    """Compute a step.

    Parameters
    ----------
    elements, ranks
        Of the model, and of the job.
    network
        Between each rank and the next.
    seconds : float
        For an element that one rank steps.
    bucket : int
        Bytes.
    """
    buckets = math.ceil(elements * WIDTH / bucket)
    link = moved(elements, ranks) / network.bandwidth
    latency = 2 * buckets * (ranks - 1) * network.latency
    stepping = elements / ranks * seconds
    one = (link + latency) / buckets  # a bucket, there and back
    # Of a few buckets under way, some wait for the latency while others fill the link. The first
    # bucket has to be reduced before anything is stepped, and the last one gathered after.
    under_way = min(UNDER_WAY, 2 * buckets)
    overlapped = max(link, (link + latency) / under_way, stepping)
    if buckets == 1:
        overlapped = link + latency + stepping
    elif ranks > 1:
        overlapped += one
    return Step(
        link,
        latency,
        stepping,
        link + latency + stepping,
        min(overlapped, link + latency + stepping),
        link + 2 * (ranks - 1) * network.latency + elements * seconds,
    )


def memory(elements: int, ranks: int) -> float:
    """Return the bytes of a rank in float32: parameters and gradients whole, Adam's moments shared."""
    return elements * (2 * WIDTH + STATE / ranks)


def memory_of_zero(elements: int, ranks: int) -> float:
    """Return the bytes of a rank by ZeRO's first stage, in mixed precision.

    Rajbhandari et al., "ZeRO", 2020: parameters and gradients of 2 bytes each, and 12 bytes of a
    copy in float32 and of the moments, which are shared.
    """
    return elements * (2 + 2 + 12 / ranks)


def best_bucket(elements: int, ranks: int, network: Network, seconds: float) -> int:
    """Return the size of the buckets, a power of two in MiB, with the shortest step."""
    sizes = [MIB << i for i in range(11)]
    return min(sizes, key=lambda size: step(elements, ranks, network, seconds, size).overlapped)


# -- Tables ----------------------------------------------------------------------------------------


def line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def detailed_table(elements: int, network: Network, seconds: float, bucket: int) -> str:
    """Return what a step is made of, a row for each number of ranks, in Markdown."""
    headings = [
        "ranks", "bytes at the bandwidth", "latencies", "stepping", "one after the other",
        "overlapped", "all-reduce, all step all",
    ]  # fmt: skip
    lines = [line(headings), "|" + "---|" * len(headings)]
    for ranks in RANKS:
        found = step(elements, ranks, network, seconds, bucket)
        cells = [found.link, found.latency, found.stepping, found.apart, found.overlapped]
        lines.append(line([str(ranks), *map(duration, cells), duration(found.replicated)]))
    title = f"{elements:,} parameters, {network}, buckets of {bucket / MIB:g} MiB"
    return "\n".join([f"{title}:", "", *lines, ""])


def networks_table(elements: int, seconds: float, bucket: int) -> str:
    """Return steps over each network, overlapped, and with the best bucket, in Markdown."""
    lines = [line(["ranks", *map(str, NETWORKS)]), "|" + "---|" * (len(NETWORKS) + 1)]
    for ranks in RANKS:
        cells = [str(ranks)]
        for network in NETWORKS:
            cell = duration(step(elements, ranks, network, seconds, bucket).overlapped)
            best = best_bucket(elements, ranks, network, seconds)
            with_best = duration(step(elements, ranks, network, seconds, best).overlapped)
            cells.append(cell if ranks == 1 else f"{cell} ({with_best}: {best / MIB:g} MiB)")
        lines.append(line(cells))
    title = (
        f"A step of {elements:,} parameters, buckets of {bucket / MIB:g} MiB (the best: its size)"
    )
    return "\n".join([f"{title}:", "", *lines, ""])


def memory_table(sizes: Sequence[int]) -> str:
    """Return the bytes of a rank for each number of ranks, in Markdown."""
    headings = ["ranks"]
    for size in sizes:
        headings += [f"{size:.0e}, here".replace("e+0", "e"), "ZeRO, stage 1"]
    lines = [line(headings), "|" + "---|" * len(headings)]
    for ranks in RANKS:
        cells = [str(ranks)]
        for size in sizes:
            cells += [f"{f(size, ranks) / 1e9:.3g} GB" for f in (memory, memory_of_zero)]
        lines.append(line(cells))
    return "\n".join(["Bytes of a rank:", "", *lines, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--sizes", nargs="+", type=float, default=[1e8, 1e9], metavar="N", help="parameters")
    add("--ns", type=float, default=1.04, help="for an element, on one rank (default: 1.04)")
    add("--bucket", type=int, default=4 * MIB, help="bytes (default: 4 MiB)")
    add("--page", type=Path, metavar="FILE", help="put the tables there: docs/distributed.md")
    args = parser.parse_args(arguments)
    sizes = [int(size) for size in args.sizes]
    seconds = args.ns * 1e-9
    text = "\n".join(
        [
            detailed_table(sizes[-1], NETWORKS[-1], seconds, args.bucket),
            *(networks_table(size, seconds, args.bucket) for size in sizes),
            memory_table(sizes),
        ]
    )
    print(text)
    if args.page:
        page.fill(args.page, "computed", text)


if __name__ == "__main__":
    main()
