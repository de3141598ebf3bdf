"""MPI, where it is installed: started by whoever asks for it first."""

from __future__ import annotations

from typing import Any


def mpi() -> Any:
    """Return mpi4py's module, which starts MPI where it has not been started."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter from mpi4py, where it finds no MPI
        raise ImportError(
            "gradstep.distributed needs mpi4py and an MPI runtime: pip install mpi4py mpich "
            f"({error})"
        ) from error
    return MPI
