"""A fuzzer of checkpoints: valid files are changed, with and without the right checksum, and loaded.

Each is read, or refused with a ValueError that says what is wrong; nothing else may happen, and no
file may make the reader take memory that it does not have itself. `nox -s fuzz_checkpoints` runs
it; `-- --files 10000000` for long. A file that was found is run again by giving its name.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import sys
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import gradstep as gs
import gradstep.checkpoints.archive as archive
from support.forged import PARTS, members, packed, parsed, signed, written

REFUSAL = re.compile(r"the file (is damaged: |is not a checkpoint of|was written by a newer)")
# What numbers, names and marks of a file are replaced by.
NUMBERS = [0, 1, -1, 2, 7, 63, 64, 127, 255, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
TOKENS = [
    *map(str, NUMBERS), "1e999", "-0.0", "NaN", "null", "true", '""', '"a"', '"\\ud800"', "[]", "{}",
    "[[1, 2]]", '{"$tuple": [1]}', '{"$dict": [[1, 2]]}', '{"$dict": [[[], 2]]}', '{"$float": "nan"}',
    '{"$scalar": ["<f4", "00000000"]}', '{"$text": "eda080"}', '{"$array": "x/0.npy"}', '"$array"',
    '"plain"', '"state"', '"arrays"', '"tree"', '"t"', "9" * 5000, "[" * 200 + "]" * 200, "'", ",", ":", "(", ")",
]  # fmt: skip
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.e+-]*|[][{}(),:]|[a-zA-Z]+')


class Run:
    """A run whose state is small, to be saved and to be loaded over."""

    def __init__(self, t: int) -> None:
        self.w = [np.arange(3.0) + t]
        self.opt = gs.Momentum(self.w, lr=gs.schedules.Constant(0.5), beta=0.5)
        self.average, self.batches = gs.EWA(0.5), gs.MiniBatches(np.arange(9), batch_size=2, seed=t)
        for _ in range(t):
            self.opt.step([np.ones(3)])
            self.average.update(self.w)
            self.running = iter(self.batches)  # held, so that the epoch is under way
            next(self.running)

    def parts(self) -> dict[str, Any]:
        objects = {"opt": self.opt, "average": self.average, "batches": self.batches}
        return {"w": self.w, "log": [1.5, {"W": np.arange(2)}], **objects}

    def seen(self) -> str:
        states = [part.state_dict() for part in (self.opt, self.average, self.batches)]
        return repr([self.w, states])


class Fuzzer:
    """Makes files of others, each time as its random numbers say."""

    def __init__(self, seed: int, folder: str) -> None:
        self.random = random.Random(seed)
        self.path = Path(folder, "fuzzed")
        gs.save(self.path, **Run(2).parts())
        plain = {"x": archive.Part("plain", [1, (2.5, None), {1: "a", "$": float("inf")}])}
        arrays = {"x": archive.Part("arrays", {str(i): np.arange(i) for i in range(3)})}
        files = [written(packed(parts)) for parts in (PARTS, plain, arrays)]
        self.files = [*files, self.path.read_bytes()]
        self.taken_apart = [self.apart(file) for file in self.files]
        self.run, self.before = Run(1), Run(1).seen()
        self.read = self.loaded = 0

    def apart(self, file: bytes) -> list[tuple[str, bytes]]:
        places = archive._spans(memoryview(file))
        return [(name.decode(), file[begin:end]) for name, (begin, end) in places.items()]

    def changed(self) -> bytes:
        """Return a file that was changed: its bytes, or those of its members."""
        pick = self.random
        which = pick.randrange(len(self.files))
        kind = pick.random()
        if kind < 0.3:
            data = self.bytes_of(self.files[which])
            return data if pick.random() < 0.3 else signed(data)
        if kind < 0.4:
            return signed(self.numbers_of(self.files[which]))
        named = [*self.taken_apart[which]]
        for _ in range(pick.choice([1, 1, 1, 2, 3])):
            i = pick.randrange(len(named)) if pick.random() < 0.5 else 0
            name, data = named[i]
            kind = pick.random()
            if kind < 0.6:
                named[i] = name, self.tokens_of(data)
            elif kind < 0.9:
                named[i] = name, self.bytes_of(data)
            elif kind < 0.94:
                named.insert(pick.randrange(len(named) + 1), named[i])
            elif kind < 0.97:
                named[i] = pick.choice(named)[0], data
            elif len(named) > 1:
                del named[i]
        return members(*named)

    def bytes_of(self, data: bytes) -> bytes:
        """Change bytes: flip, set, cut, insert, repeat."""
        pick, changed = self.random, bytearray(data)
        for _ in range(pick.choice([1, 1, 2, 4])):
            at, kind = pick.randrange(len(changed) + 1), pick.randrange(6)
            some = slice(at, at + pick.choice([1, 2, 8, 40]))
            if kind == 0:
                changed[at:] = b""
            elif kind == 1:
                del changed[some]
            elif kind == 2:
                changed[at:at] = pick.randbytes(pick.choice([1, 2, 8, 64]))
            elif kind == 3:
                changed[at:at] = changed[some]
            elif kind == 4:
                changed[some] = pick.choice([b"\0", b"\xff"]) * len(changed[some])
            elif at < len(changed):
                changed[at] ^= 1 << pick.randrange(8)
        return bytes(changed)

    def numbers_of(self, data: bytes) -> bytes:
        """Put a number in the place of another, somewhere behind the arrays."""
        pick, size = self.random, self.random.choice([2, 4, 8])
        at = pick.randrange(data.index(b"PK\1\2"), len(data) - 64 - size)
        number = int.from_bytes(data[at : at + size], "little")
        other = pick.choice([*NUMBERS, number + 1, number - 1, number * 2, len(data)])
        new: bytes = (other % 256**size).to_bytes(size, "little")
        return data[:at] + new + data[at + size :]

    def tokens_of(self, data: bytes) -> bytes:
        """Put a value in the place of another, in JSON or in the header of an array."""
        pick = self.random
        tokens = [*TOKEN.finditer(data[:4000])]
        if not tokens:
            return self.bytes_of(data)
        token = pick.choice(tokens)
        new = pick.choice(TOKENS).encode() if pick.random() < 0.6 else pick.choice(tokens)[0]
        changed = data[: token.start()] + new + data[token.end() :]
        if data[:6] == b"\x93NUMPY" and pick.random() < 0.8:  # as long a header as before
            end = data.find(b"\n") + 1
            text = changed[: changed.find(b"\n")].rstrip()
            changed = text.ljust(end - 1)[: end - 1] + b"\n" + data[end:]
        return changed

    def try_one(self, data: bytes) -> None:
        """Read a file; whatever is no refusal goes up."""
        try:
            contents = parsed(data)
        except ValueError as error:
            require(type(error) is ValueError, f"another kind of error: {error!r}")
            require(bool(REFUSAL.match(str(error))), f"another message: {error}")
            return
        self.read += 1
        sizes = sum(
            array.nbytes for part in contents.parts.values() for array in arrays(part.value)
        )
        require(sizes <= len(data), "arrays larger than the file")
        # What was read is saved again and read again: it was something that `save` could have made.
        again = parsed(written(packed(contents.parts)))
        require(str(again.parts) == str(contents.parts), "saved again, it reads otherwise")
        if contents.parts.keys() & self.run.parts().keys():
            self.load(data)

    def load(self, data: bytes) -> None:
        """Load a file that could be read over a run."""
        self.path.write_bytes(data)
        strict = self.random.random() < 0.8
        try:
            gs.load(self.path, strict=strict, **self.run.parts() | {"log": None})
        except ValueError as error:
            require(type(error) is ValueError, f"another kind of error: {error!r}")
            require(strict, f"refused although not strict: {error}")
            require(self.run.seen() == self.before, "refused, and yet something has changed")
        else:
            self.loaded += 1
            gs.inspect(self.path).__str__()
            self.run = Run(1)


def arrays(tree: Any) -> list[Any]:
    if isinstance(tree, np.ndarray):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        return []
    return [array for child in tree for array in arrays(child)]


def require(true: bool, what: str) -> None:
    if not true:
        raise AssertionError(what)


def fuzz(files: int, seed: int = 0) -> str:
    """Try so many files, and return how many were read, and loaded."""
    with tempfile.TemporaryDirectory(
        dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as folder:
        fuzzer = Fuzzer(seed, folder)
        begin = time.perf_counter()
        for number in range(files):
            data = fuzzer.changed()
            measured = number % 1000 == 0
            if measured:
                tracemalloc.start()
            try:
                fuzzer.try_one(data)
            except Exception:
                found = Path(tempfile.gettempdir(), f"gradstep-fuzzed-{seed}-{number}")
                found.write_bytes(data)
                print(f"the file is kept as {found}", file=sys.stderr)
                raise
            if measured:
                require(tracemalloc.get_traced_memory()[1] < 2**20, "a megabyte was taken")
                tracemalloc.stop()
            if number % 250_000 == 249_999:
                print(f"{number + 1:,} files", flush=True)
        rate = files / (time.perf_counter() - begin)
    return f"{files:,} files, {fuzzer.read:,} read, {fuzzer.loaded:,} loaded, {rate:,.0f} a second"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("again", nargs="*", type=Path, help="files that were found")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    for path in given.again:
        parsed(path.read_bytes())
    if not given.again:
        # Whatever a file makes the reader allocate, a gigabyte is there for it, and no more.
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
        print(fuzz(given.files, given.seed))


if __name__ == "__main__":
    main()
