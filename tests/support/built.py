"""What the installed build left in build/: its object files by name, and tools that look at them."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from support.paths import ROOT


@cache
def objects() -> dict[str, Path]:
    """Return the object files by name, ``kernels_v3`` or ``sweep``, of the build that is installed.

    What CMake compiles together, as ``Unity/unity_stepper_cxx.cxx``, is one of them.
    """
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    found: dict[str, Path] = {}
    for path in sorted(ROOT.glob(f"build/{tag}-*/CMakeFiles/**/*.c[px][px].o")):
        target = next(folder.stem for folder in path.parents if folder.suffix == ".dir")
        found[target if target.startswith("kernels_") else path.name[:-6]] = path
    if not found:
        pytest.skip("needs the build tree: run `pip install .` here")
    return found


def tool(*command: str | Path) -> str:
    """Run a program to its end and return what it said."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
