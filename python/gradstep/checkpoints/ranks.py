"""Parts that are spread over the ranks of an MPI job, which save and load them together.

Without such parts, the functions here do nothing. How ranks agree is in distributed/agreement.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from gradstep.optimizers.base import Optimizer


def ranks_of(parts: Mapping[str, Any]) -> Any:
    """Return the ranks over which parts are spread; None if no part is."""
    spread = [part._communicator for part in parts.values() if isinstance(part, Optimizer)]
    found = list({id(ranks): ranks for ranks in spread if ranks is not None}.values())
    if len(found) > 1:
        raise ValueError(
            "parts must be spread over the same ranks, got different communicators; save and load "
            "those of each by themselves"
        )
    return found[0] if found else None


def writes(parts: Mapping[str, Any]) -> bool:
    """Whether this process writes the file of these parts."""
    ranks = ranks_of(parts)
    return ranks is None or bool(ranks.rank == 0)


@contextlib.contextmanager
def agreement(parts: Mapping[str, Any], operation: str) -> Iterator[None]:
    """Let each rank fail alone inside the block; at its end all ranks raise if one has failed."""
    ranks = ranks_of(parts)
    if ranks is None:
        yield
        return
    with ranks.collective(operation), ranks.agreement(operation):
        yield


def after_agreement(
    parts: Mapping[str, Any], operation: str
) -> contextlib.AbstractContextManager[None]:
    """Return a block in which no rank may fail: the others have done the same, or will.

    It is not a generator, whose end needs memory: an error after the work is done comes too late.
    """
    ranks = ranks_of(parts)
    if ranks is None:
        return contextlib.nullcontext()
    block: contextlib.AbstractContextManager[None] = ranks.collective(operation, must_succeed=True)
    return block


def require_same_names(parts: Mapping[str, Any]) -> None:
    """Raise ValueError if parts that are spread over ranks have other names on another rank."""
    ranks = ranks_of(parts)
    if ranks is None:
        return
    with agreement(parts, "save"):
        first = ranks.broadcast([*parts], 0)
        if first != [*parts]:
            raise ValueError(
                f"parts must be named alike on all ranks, got {first} on rank 0 and {[*parts]} here"
            )


def require_same_file(parts: Mapping[str, Any], path: str, sha256: str) -> None:
    """Raise ValueError if the file has another checksum on another rank; within an `agreement`."""
    ranks = ranks_of(parts)
    if ranks is None:
        return
    first = ranks.broadcast(sha256, 0)
    if first != sha256:
        raise ValueError(
            f"{path} has to be the same file on all ranks, got the checksum {first[:16]}… on rank "
            f"0 and {sha256[:16]}… on rank {ranks.rank}"
        )
