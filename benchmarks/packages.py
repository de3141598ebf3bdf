"""The packages that gradstep is compared with and that need not be installed.

What each of them does is in the files that call `load`. A new one is one row of PACKAGES.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from typing import Any

# How each is installed. Of PyTorch the CPU build is enough; what PyPI has brings CUDA, gigabytes.
PACKAGES = {
    "torch": "pip install torch==2.13.0",
    "numba": "pip install numba",
    "pandas": "pip install pandas",
    "scipy": "pip install scipy",
}


@functools.cache
def version(name: str) -> str | None:
    """Return the version that is installed, None where there is none, without importing it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def load(name: str) -> Any:
    """Import a package where it is used: most runs want few of them, and some are slow to import."""
    return importlib.import_module(name)


def missing(*names: str) -> list[str]:
    """Return a line for each package that is not here, with the command that installs it."""
    return [
        f"{name} is not installed and left out: {PACKAGES[name]}"
        for name in names or PACKAGES
        if version(name) is None
    ]
