"""A slower link between ranks of one machine: the loopback interface, held back by Linux.

What waits for such a link takes no processor, as on a cluster and unlike in memory. It takes root, and
`tc` of iproute2, and slows all else that goes over the loopback interface meanwhile.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

# The token bucket filter sends so much at once, and keeps so much back without losing any.
_BURST, _LIMIT = "256kb", "1gb"


@contextmanager
def limited(gigabits: float | None, ranks: int) -> Iterator[None]:
    """Hold the loopback interface back inside, so that each rank has Gbit/s of its own; None: do not."""
    if gigabits is None:
        yield
        return
    rate = f"{round(gigabits * ranks * 1000)}mbit"  # what all send together
    _tc("add", "root", "tbf", "rate", rate, "burst", _BURST, "limit", _LIMIT)
    try:
        yield
    finally:
        _tc("del", "root")


def _tc(what: str, *how: str) -> None:
    if shutil.which("tc") is None:
        raise SystemExit("a link is limited by tc; in Debian: apt-get install iproute2")
    command = ["tc", "qdisc", what, "dev", "lo", *how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed, which takes root: {done.stderr.strip()}")
