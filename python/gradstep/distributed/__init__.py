"""Optimizers spread over several processes or machines, on MPI through mpi4py.

``pip install mpi4py mpich`` brings both; ``mpirun -n 4 python train.py`` starts four ranks. MPI is
started by whatever is used here first, not by importing it.
"""

from gradstep.distributed.sharded import Sharded

__all__ = ["Sharded"]
