"""Optimizers spread over several processes or machines, on MPI through mpi4py.

``pip install mpi4py mpich`` installs both; ``mpirun -n 4 python train.py`` starts four ranks. The
first `Sharded` starts MPI. Importing this package does not.
"""

from gradstep.distributed.sharded import Sharded

__all__ = ["Sharded"]
