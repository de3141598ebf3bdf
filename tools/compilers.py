"""Compilers and emulators that the system brings, and where they are."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import nox

# Tools that no package of Python's brings: the package that brings each in Debian.
TOOLS = {
    "g++": "g++",
    "clang++": "clang",
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "musl-gcc": "musl-tools",
    "qemu-aarch64": "qemu-user",
    "qemu-x86_64": "qemu-user",
}


def find_tools(session: nox.Session, names: Iterable[str] = TOOLS) -> dict[str, str]:
    """Find each tool, under its name or with a version behind it (clang++-16)."""
    found: dict[str, str] = {}
    for name in names:
        versions = [str(path) for path in sorted(Path("/usr/bin").glob(f"{name}-[0-9]*"))]
        path = shutil.which(name) or (versions[-1] if versions else None)
        if path:
            found[name] = path
    missing = sorted({TOOLS[name] for name in names if name not in found})
    if missing:
        session.error(f"tools are missing; in Debian: apt-get install {' '.join(missing)}")
    return found


def gcc_library(name: str) -> str:
    """Find a runtime library of GCC's, to be loaded before an interpreter that was built without it."""
    command = ["g++", f"-print-file-name={name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
