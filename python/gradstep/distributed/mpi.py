"""Access to MPI, which the first caller starts."""

from __future__ import annotations

from typing import Any


def mpi() -> Any:
    """Return the module ``mpi4py.MPI``; importing it starts MPI."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # mpi4py raises the latter if it finds no MPI
        raise ImportError(
            "gradstep.distributed needs mpi4py and an MPI runtime: pip install mpi4py mpich "
            f"({error})"
        ) from error
    return MPI
