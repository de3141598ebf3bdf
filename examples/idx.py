"""Reads the files in which MNIST and its relatives are handed out: IDX, plain or gzipped.

Only the format lives here: what is learned from the images, and at what scale, is for the caller.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

UNSIGNED_BYTE = 0x08
NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

Bytes = NDArray[np.uint8]


def load(directory: str | Path) -> tuple[Bytes, Bytes, Bytes, Bytes]:
    """Read an MNIST-like set: training images and labels, test images and labels.

    Images come as rows of pixels, ``(n, rows * columns)``, from 0 to 255.

    Raises
    ------
    FileNotFoundError
        If the directory lacks one of the four files; each may end in ``.gz``.
    ValueError
        If a file is damaged or does not belong to the others.
    """
    paths = _find(Path(directory))
    train, test = _pair(*paths[:2]), _pair(*paths[2:])
    if train[0].shape[1] != test[0].shape[1]:
        raise ValueError(
            f"{directory}: training images have {train[0].shape[1]} pixels, "
            f"test images {test[0].shape[1]}"
        )
    return *train, *test


def read(path: str | Path, dimensions: int) -> Bytes:
    """Read one IDX file of unsigned bytes that must have so many dimensions.

    The file: two zero bytes; a byte that says the type; a byte that says how many dimensions there
    are; the size of each as a big-endian uint32; the elements, the last index running fastest.
    """
    path = Path(path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            return _parse(cast(BinaryIO, file), path, dimensions)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from error


def _parse(file: BinaryIO, path: Path, dimensions: int) -> Bytes:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise ValueError(f"{path}: not an IDX file, it begins with {magic!r}")
    if magic[2] != UNSIGNED_BYTE:
        raise ValueError(
            f"{path}: element type 0x{magic[2]:02x} is not supported, "
            f"only unsigned bytes (0x{UNSIGNED_BYTE:02x})"
        )
    if magic[3] != dimensions:
        raise ValueError(f"{path}: number of dimensions is {magic[3]}, expected {dimensions}")
    header = file.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise ValueError(f"{path}: truncated, the header ends too early")
    sizes = struct.unpack(f">{dimensions}I", header)
    count = math.prod(sizes)
    if count == 0:
        raise ValueError(f"{path}: holds no data, its sizes are {sizes}")

    data = _read_at_most(file, count + 1)
    if len(data) < count:
        raise ValueError(f"{path}: truncated, {len(data)} of {count} bytes of data are there")
    if len(data) > count:
        raise ValueError(f"{path}: trailing bytes after the {count} bytes of data")
    return np.frombuffer(data, np.uint8).reshape(sizes)


def _read_at_most(file: BinaryIO, count: int) -> bytearray:
    # In pieces: read(count) sets memory aside for all that a damaged header may claim.
    data = bytearray()
    while piece := file.read(min(1 << 20, count - len(data))):
        data += piece
    return data


def _find(directory: Path) -> list[Path]:
    found, missing = [], []
    for name in NAMES:
        candidates = [directory / name, directory / f"{name}.gz"]
        files = [path for path in candidates if path.is_file()]
        if files:
            found.append(files[0])
        else:
            missing.append(name)
    if missing:
        raise FileNotFoundError(
            f"{directory} lacks {', '.join(missing)} (each plain or with .gz). Debian's package "
            "dataset-fashion-mnist brings such files to /usr/share/datasets/fashion-mnist"
        )
    return found


def _pair(images_path: Path, labels_path: Path) -> tuple[Bytes, Bytes]:
    images, labels = read(images_path, 3), read(labels_path, 1)
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} holds {len(images)} images, {labels_path} {len(labels)} labels"
        )
    return images.reshape(len(images), -1), labels
