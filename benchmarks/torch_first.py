"""Loads PyTorch, where it is installed, before gradstep. To be imported ahead of everything else.

PyTorch brings an OpenMP runtime of its own name and settings. Whoever loads that runtime first
decides how its threads wait, so a comparison with PyTorch loads PyTorch first, as it is alone.
"""

from __future__ import annotations

import packages

if packages.version("torch"):
    packages.load("torch")


def wake_threads() -> None:
    """Run a small operation in parallel, so that PyTorch's pool of threads is there."""
    torch = packages.load("torch")
    torch.set_num_threads(max(2, torch.get_num_threads()))
    ones = torch.ones(1_000_000)
    if ones.add(ones).sum().item() != 2_000_000:
        raise RuntimeError("PyTorch does not add")
