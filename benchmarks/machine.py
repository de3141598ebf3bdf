"""What the figures of a run depend on: the machine, and the versions of all that is measured."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

import gradstep as gs
import packages


def machine(threads: int, rounds: int) -> dict[str, Any]:
    """Return what the figures depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    versions = {name: packages.version(name) for name in packages.PACKAGES}
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),  # of others: nothing has been measured yet
        "date": datetime.date.today().isoformat(),
        "level": gs.cpu_info()["isa"],
        "threads": threads,
        "rounds": rounds,
        "python": platform.python_version(),
        "gradstep": gs.__version__,
        "numpy": np.__version__,
        **{name: version for name, version in versions.items() if version},
    }
