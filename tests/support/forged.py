"""Checkpoints as an attacker would forge them: any bytes in the places of parts, checksum right."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gradstep.checkpoints.archive as archive

Array = NDArray[Any]

# One of everything that a file can hold.
PARTS = {
    "params": archive.Part(
        "arrays", {"W": np.arange(6, dtype="f4").reshape(2, 3), "b": np.ones(2)}
    ),
    "opt": archive.Part(
        "state",
        {
            "t": 3,
            "m": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "names": ("a", 1, {2: None, "$": True}),
            "random": 2**127 + 1,
            "numbers": [0.1, float("inf"), np.float32(0.5), "\ud800"],
            "mask": np.array([True, False]),
        },
    ),
    "epoch": archive.Part("plain", 7),
    "log": archive.Part("tree", ([0.5], {"W": np.arange(2)})),
}


def packed(parts: Any = PARTS) -> archive.Packed:
    return archive.pack(parts, "0.1.0")


def written(contents: archive.Packed) -> bytes:
    """Return the file that holds this."""
    pieces: list[bytes] = []
    archive.write(contents, pieces.append)
    return b"".join(pieces)


def parsed(data: bytes) -> archive.Contents:
    return archive.parse(memoryview(data), "the file")


def signed(data: bytes) -> bytes:
    """Return the bytes with the right checksum in the place of their last 64."""
    return data[:-64] + hashlib.sha256(data[:-64]).hexdigest().encode()


def holding(parts: str | bytes, **arrays: Array) -> bytes:
    """Return a file whose JSON says `parts`, word for word, beside these arrays."""
    if isinstance(parts, str):
        parts = parts.encode()
    head = b'{"format": "gradstep checkpoint", "version": 1, "gradstep": "0", "parts": %b}' % parts
    return written(archive.Packed(head, {f"{name}.npy": a for name, a in arrays.items()}))


def with_member(*pieces: bytes) -> bytes:
    """Return a file with these bytes as the member of its one array."""
    head = json.dumps(
        {
            "format": "gradstep checkpoint",
            "version": 1,
            "gradstep": "0",
            "parts": {"x": {"state": {"$array": "x.npy"}}},
        }
    ).encode()
    return members(("gradstep.json", head), ("x.npy", b"".join(pieces)))


def members(*named: tuple[str, bytes], between: bytes = b"") -> bytes:
    """Return a file of these members, with some bytes before its directory."""
    pieces: list[bytes] = []
    out = archive._Hashing(pieces.append)
    listed = [archive._write_member(out, name, [data]) for name, data in named]
    out.write(between)
    start = out.offset
    directory = b"".join(map(archive._entry, listed))
    out.write(directory + archive._ends(len(listed), len(directory), start))
    out.finish()
    return b"".join(pieces)
