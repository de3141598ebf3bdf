"""Parts of a checkpoint <-> the bytes of one file: a zip archive of .npy members, with a checksum.

docs/checkpoints.md describes the format. Which parts there are is in parts.py, their values and arrays
are in values.py, and the way of the bytes to the disk is in atomic_file.py.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

import gradstep.checkpoints.values as values
from gradstep._typing import Array

FORMAT = "gradstep checkpoint"
VERSION = 1
KINDS = ("arrays", "plain", "state", "tree")

_HEAD = "gradstep.json"
_COMMENT = f"{FORMAT} {VERSION} sha256=".encode()
_DIGEST = 64  # hexadecimal digits, the last bytes of a file
_ENDING = re.compile(FORMAT.encode() + rb" ([1-9][0-9]{0,8}) sha256=([0-9a-f]{64})\Z")
# Arrays are aligned in the file, for programs that map it.
_ALIGNMENT = 64
# Bytes that are copied, hashed and written at a time: they stay in the processor's caches.
_CHUNK = 1 << 20

# The zip format (PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5), always with 64 bits for sizes.
_NEEDS = 45  # version 4.5 of the zip format, the first with 64 bits
_DESCRIBED = 1 << 3  # the checksum of a member follows its data
_STORED, _MIDNIGHT, _DAY = 0, 0, 1 << 5 | 1  # 1 January 1980, so that equal parts give equal files
_REGULAR_FILE = 0o100644 << 16
_UNIX = 3 << 8
# "Android ZIP alignment", the usual way to fill up.
_PADDED = 0xD935
_16, _32 = 0xFFFF, 0xFFFFFFFF  # "look for 64 bits elsewhere"
_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_EXTRA = struct.Struct("<2H2Q3H")
_DESCRIPTOR = struct.Struct("<4sL2Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_ENTRY_EXTRA = struct.Struct("<2H3Q")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")
_ENDS = _END_64.size + _LOCATOR.size + _END.size + len(_COMMENT)

_NPY = re.compile(
    rb"\{'descr': '([<>|][a-z][0-9]{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \(([0-9, ]{0,2000})\), \} *\n"
)


class Part(NamedTuple):
    """One part of a checkpoint."""

    kind: str  # one of KINDS
    # "arrays": a dict of arrays by name; "plain": without arrays; "tree" and "state": anything
    value: Any


class Packed(NamedTuple):
    """Parts, ready to be written: of the caller's objects, only the arrays are still used."""

    text: bytes
    arrays: dict[str, Array]


class Contents(NamedTuple):
    """The contents of a file. Its arrays are windows on the file's bytes."""

    gradstep: str  # the version that wrote it
    parts: dict[str, Part]
    sha256: str


class _Member(NamedTuple):
    name: bytes
    crc: int
    size: int
    offset: int  # of its header


def pack(parts: Mapping[str, Part], gradstep: str, copied: Collection[str] = ()) -> Packed:
    """Return checked parts, ready to be written, with copies of the arrays of those in `copied`.

    Raises
    ------
    TypeError, ValueError
        If a value cannot be saved.
    """
    encoder = values.Encoder()
    packed = {}
    for name, part in parts.items():
        first = len(encoder.arrays)
        packed[name] = {part.kind: encoder.encode(part.value, name)}
        for member in [*encoder.arrays][first:] if name in copied else ():
            encoder.arrays[member] = encoder.arrays[member].copy(order="K")
    head = {"format": FORMAT, "version": VERSION, "gradstep": gradstep, "parts": packed}
    return Packed(values.to_text(head), encoder.arrays)


def write(packed: Packed, sink: Callable[[bytes], object]) -> None:
    """Write a file to `sink`, from its first byte to its last."""
    out = _Hashing(sink)
    members = [_write_member(out, _HEAD, [packed.text])]
    members += [_write_member(out, name, _npy(array)) for name, array in packed.arrays.items()]
    start = out.offset
    directory = b"".join(map(_entry, members))
    out.write(directory + _ends(len(members), len(directory), start))
    out.finish()


def parse(data: memoryview, name: str) -> Contents:
    """Return the contents of a file; ValueError, which calls it `name`, if anything is wrong in it.

    The bytes around the data of the members must be exactly those that `write` would write. So a
    member cannot overlap another, stand twice, or claim to be larger than it is.
    """
    _verify(data, name)
    try:
        return _contents(data)
    except ValueError as error:
        raise ValueError(f"{name} is damaged: {error}") from error


class _Hashing:
    """A sink that counts and hashes bytes, and passes them on to another in large pieces."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._digest = _hash()
        self._pieces: list[bytes] = []
        self._gathered = 0
        self.offset = 0

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._gathered += len(data)
        self.offset += len(data)
        if self._gathered >= _CHUNK:
            self._pass_on()

    def finish(self) -> None:
        """Pass on the last bytes, and the checksum."""
        self._pass_on()
        self._sink(_digits(self._digest))

    def _pass_on(self) -> None:
        data = b"".join(self._pieces)
        self._digest.update(data)
        self._sink(data)
        self._pieces, self._gathered = [], 0


def _hash() -> Any:
    try:
        return hashlib.sha256()
    except ValueError as error:  # OpenSSL says so
        raise MemoryError("no memory for the checksum") from error


def _digits(digest: Any) -> bytes:
    """Return the digits of a checksum."""
    try:
        return digest.hexdigest().encode()  # type: ignore[no-any-return]
    except ValueError as error:  # likewise
        raise MemoryError("no memory for the checksum") from error


def _write_member(out: _Hashing, name: str, chunks: Iterable[bytes]) -> _Member:
    offset = out.offset
    out.write(_local_header(name.encode(), offset))
    begin, crc = out.offset, 0
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
        out.write(chunk)
    member = _Member(name.encode(), crc, out.offset - begin, offset)
    out.write(_descriptor(member))
    return member


def _npy(array: Array) -> Iterator[bytes]:
    """Cut an array in pieces of a .npy file.

    Each piece is copied before it is hashed and written: the checksum is right even if another
    thread changes the array meanwhile.
    """
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    yield _npy_header(array.dtype.str, fortran, array.shape)
    pieces: Iterable[Any] = np.nditer(
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        buffersize=max(_CHUNK // array.itemsize, 1),
        order="F" if fortran else "C",
    )
    for piece in pieces:
        yield piece.tobytes()


def _npy_header(dtype: str, fortran: bool, shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}"
    size = -(-(10 + len(text) + 1) // _ALIGNMENT) * _ALIGNMENT - 10
    return b"\x93NUMPY\1\0" + struct.pack("<H", size) + text.ljust(size - 1).encode() + b"\n"


# --- the zip format -------------------------------------------------------------------------------


def _local_header(name: bytes, offset: int) -> bytes:
    """Return the bytes before the data of a member: sizes follow the data, and zeros align it."""
    end = offset + _LOCAL.size + len(name) + _LOCAL_EXTRA.size
    padding = -end % _ALIGNMENT
    extra = _LOCAL_EXTRA.pack(1, 16, 0, 0, _PADDED, 2 + padding, _ALIGNMENT) + bytes(padding)
    kind = _NEEDS, _DESCRIBED, _STORED, _MIDNIGHT, _DAY
    sizes = 0, _32, _32, len(name), len(extra)
    return _LOCAL.pack(b"PK\3\4", *kind, *sizes) + name + extra


def _descriptor(member: _Member) -> bytes:
    """Return the bytes after the data of a member."""
    return _DESCRIPTOR.pack(b"PK\7\x08", member.crc, member.size, member.size)


def _entry(member: _Member) -> bytes:
    """Return a member's entry in the directory at the end."""
    kind = _UNIX | _NEEDS, _NEEDS, _DESCRIBED, _STORED, _MIDNIGHT, _DAY
    sizes = member.crc, _32, _32, len(member.name), _ENTRY_EXTRA.size
    extra = _ENTRY_EXTRA.pack(1, 24, member.size, member.size, member.offset)
    fixed = _ENTRY.pack(b"PK\1\2", *kind, *sizes, 0, 0, 0, _REGULAR_FILE, _32)
    return fixed + member.name + extra


def _ends(members: int, size: int, start: int) -> bytes:
    """Return the bytes after the directory, up to the digits of the checksum."""
    numbers = members, members, size, start
    end_64 = _END_64.pack(b"PK\6\6", _END_64.size - 12, _UNIX | _NEEDS, _NEEDS, 0, 0, *numbers)
    locator = _LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
    end = _END.pack(b"PK\5\6", 0, 0, _16, _16, _32, _32, len(_COMMENT) + _DIGEST)
    return end_64 + locator + end + _COMMENT


def _verify(data: memoryview, name: str) -> None:
    """Raise ValueError unless the file ends with its checksum, in a version that is known here."""
    ending = _ENDING.search(data[-120:].tobytes())
    if not ending:
        beginning = _local_header(_HEAD.encode(), 0)
        if data[: len(beginning)].tobytes() != beginning[: len(data)]:
            raise ValueError(
                f"{name} is not a checkpoint of gradstep: it begins and ends with other bytes"
            )
        raise ValueError(
            f"{name} is damaged: it does not end with its checksum, so it was cut short or its end "
            f"was changed ({len(data)} bytes are there)"
        )
    version, digest = ending.groups()
    sha256 = _hash()
    sha256.update(data[:-_DIGEST])
    if _digits(sha256) != digest:
        raise ValueError(
            f"{name} is damaged: its {len(data)} bytes do not have the checksum that it ends with"
        )
    if int(version) != VERSION:
        raise ValueError(
            f"{name} was written by a newer gradstep, in version {int(version)} of the format; this "
            f"one reads version {VERSION}: upgrade gradstep"
        )


def _contents(data: memoryview) -> Contents:
    spans = _spans(data)
    begin, end = spans.pop(_HEAD.encode(), (0, 0))
    head = values.from_text(data[begin:end])
    arrays = {
        name.decode("ascii"): _array(data, begin, end) for name, (begin, end) in spans.items()
    }
    if not all(name.endswith(".npy") for name in arrays):
        raise ValueError("a member is not an array")
    if (
        not isinstance(head, dict)
        or head.keys() != {"format", "version", "gradstep", "parts"}
        or head["format"] != FORMAT
        or head["version"] != VERSION
        or not isinstance(head["gradstep"], str)
        or not isinstance(head["parts"], dict)
    ):
        raise ValueError(f"{_HEAD} does not hold what it should")
    decoder = values.Decoder(arrays)
    parts = {name: _part(name, part, decoder) for name, part in head["parts"].items()}
    if decoder.left:
        raise ValueError(f"the array {min(decoder.left)!r} belongs to no part")
    return Contents(head["gradstep"], parts, data[-_DIGEST:].tobytes().decode("ascii"))


def _part(name: str, part: Any, decoder: values.Decoder) -> Part:
    if not name.isidentifier():
        raise ValueError(f"a part is called {name!r}")
    if not isinstance(part, dict) or len(part) != 1 or not part.keys() <= set(KINDS):
        raise ValueError(
            f"the part {name!r} is of no known kind; if a newer gradstep wrote the file, upgrade"
        )
    ((kind, content),) = part.items()
    before = len(decoder.left)
    value = decoder.decode(content)
    if kind == "plain" and len(decoder.left) < before:
        raise ValueError(f"the plain part {name!r} holds arrays")
    if kind == "arrays" and not (
        isinstance(value, dict)
        and all(type(key) is str and isinstance(array, np.ndarray) for key, array in value.items())
    ):
        raise ValueError(f"the part {name!r} is not a dict of arrays")
    return Part(kind, value)


def _spans(data: memoryview) -> dict[bytes, tuple[int, int]]:
    """Return where the data of each member begins and ends."""
    stop = len(data) - _ENDS - _DIGEST
    if stop < 0:
        raise ValueError("it is too short for a directory")
    *_, size, start = _END_64.unpack_from(data, stop)
    if start + size != stop:
        raise ValueError("its directory is not where it should be")
    members = _directory(data, start, stop)
    if data[stop:-_DIGEST].tobytes() != _ends(len(members), size, start):
        raise ValueError("the end of its directory is not what it should be")
    spans: dict[bytes, tuple[int, int]] = {}
    at = 0
    for member in members:
        header, descriptor = _local_header(member.name, at), _descriptor(member)
        begin = at + len(header)
        end = begin + member.size
        if (
            member.offset != at
            or data[at:begin].tobytes() != header
            or data[end : end + len(descriptor)].tobytes() != descriptor
        ):
            raise ValueError(f"the member {member.name[:200]!r} is not where or what it should be")
        spans[member.name] = begin, end
        at = end + len(descriptor)
    # The last member must not reach into the directory.
    if at != start or len(spans) != len(members):
        raise ValueError("its directory does not list all members, or one of them twice")
    return spans


def _directory(data: memoryview, start: int, stop: int) -> list[_Member]:
    members = []
    at = start
    while at < stop:
        member = _member(data, at, stop)
        entry = _entry(member)
        if data[at : at + len(entry)].tobytes() != entry:
            raise ValueError("an entry of its directory is not what it should be")
        members.append(member)
        at += len(entry)
    return members


def _member(data: memoryview, at: int, stop: int) -> _Member:
    """Read the fields that differ between entries of the directory."""
    if at + _ENTRY.size <= stop:
        fields = _ENTRY.unpack_from(data, at)
        crc, length = fields[7], fields[10]
        begin = at + _ENTRY.size
        if begin + length + _ENTRY_EXTRA.size <= stop:
            name = data[begin : begin + length].tobytes()
            *_, size, _, offset = _ENTRY_EXTRA.unpack_from(data, begin + length)
            return _Member(name, crc, size, offset)
    raise ValueError("its directory breaks off")


def _array(data: memoryview, begin: int, end: int) -> Array:
    """Return the array of a .npy member, as a window on the file's bytes."""
    header = data[begin : min(begin + 10, end)].tobytes()
    size = int.from_bytes(header[8:10], "little")
    header = data[begin : min(begin + 10 + size, end)].tobytes()
    match = _NPY.fullmatch(header, 10)
    if not match:
        raise ValueError("an array has no header, or one of another kind")
    dtype, fortran = match[1].decode(), match[2] == b"True"
    shape = tuple(int(number) for number in match[3].split(b",") if number.strip())
    if dtype not in values.DTYPES or header != _npy_header(dtype, fortran, shape):
        raise ValueError(f"an array has the header {header[10:100]!r}")
    begin += len(header)
    if math.prod(shape) * np.dtype(dtype).itemsize != end - begin:
        raise ValueError(f"an array of shape {shape} and dtype {dtype} has {end - begin} bytes")
    # NumPy raises ValueError for a shape that is empty and yet too large.
    array: Array = np.ndarray(shape, dtype, data, begin, order="F" if fortran else "C")
    if dtype == "|b1" and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError("a truth value is neither 0 nor 1")
    return array
