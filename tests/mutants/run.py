"""Breaks the package in one place after another and looks whether a test notices.

Here live copying, breaking, building and testing. The mutants whose harm is worth reading are listed
beside this file, under the name of each source file; `generate.py` makes the rote ones. Each mutant is
put into a copy of the checkout. The tests that are most likely to notice run first, then all others.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from generate import draw, generated, sources
from listing import ROOT, Mutant

HERE = Path(__file__).parent
ENOUGH = 0.95
# No test takes as long, even on a busy machine: tests that say nothing for so long hang.
SILENCE, BUILD = 300, 3600  # seconds
MEMORY = 8 << 30  # bytes: a loop without an end must not take those of other programs
# These do not test the package: the first tests these lists, the others test the examples.
LEFT_OUT = ("test_mutants.py", "test_landscapes.py", "test_train_mlp.py")


class Stale(Exception):
    """The list does not fit the code: a text does not stand there just once, or does not compile."""


class DoesNotBuild(Stale):
    """The mutant does not compile."""


@dataclass
class Found:
    """What became of a mutant."""

    mutant: Mutant
    by: str = ""  # the test that noticed, or how the tests ended that did
    tests: tuple[str, ...] = ()  # what has to pass where nothing is broken
    stale: str = ""  # why it could not be tried
    unbuilt: bool = False  # a generated mutant that does not compile breaks nothing

    @property
    def verdict(self) -> str:
        if self.unbuilt:
            return "does not compile"
        if self.stale:
            return "cannot be tried"
        if self.by:
            return f"caught by {self.by}"
        return f"survived: {self.mutant.survives}" if self.mutant.survives else "SURVIVED"


def listed() -> list[Mutant]:
    """Return the mutants of all source files; those of one file follow each other."""
    found: list[Mutant] = []
    for path in sorted(HERE.glob("*/**/*.py")):
        mutants: list[Mutant] = runpy.run_path(str(path))["MUTANTS"]
        for mutant in mutants:
            source = Path(mutant.file.replace("/gradstep/", "/"))
            place = HERE / source.with_name(f"{source.stem.strip('_')}.py")
            if place != path:
                raise Stale(f"{mutant.name} breaks {mutant.file}, so it belongs in {place}")
        found += mutants
    return found


def rote(mutants: Sequence[Mutant]) -> list[Mutant]:
    """Return the rote mutants of all sources; of a listed file, its tests run first."""
    named = defaultdict[str, Counter[str]](Counter)
    for mutant in mutants:
        named[mutant.file].update(test.partition("::")[0] for test in mutant.tests.split())
    reasons = equivalent()
    found = []
    for file in sources():
        tests = [test for test, _ in named[file].most_common(3)]
        found += generated(file, " ".join(tests), reasons[file])
    unknown = {(file, name) for file in reasons for name in reasons[file]}
    unknown -= {(mutant.file, mutant.name) for mutant in found}
    if unknown:
        raise Stale(f"equivalent.txt names mutants that are not generated: {sorted(unknown)}")
    return found


def equivalent() -> dict[str, dict[str, str]]:
    """Return, by file and name, why no test can notice a generated mutant."""
    found = defaultdict[str, dict[str, str]](dict)
    for block in (HERE / "equivalent.txt").read_text().strip().split("\n\n")[1:]:
        file, name, reason = block.split("\n", 2)
        found[file][name] = reason
    return found


def broken(text: str, mutant: Mutant) -> str:
    """Return the text of the mutant's file with the mutant in it."""
    count = text.count(mutant.old)
    if count != 1:
        raise Stale(f"{mutant.name}: {mutant.file} has {count} times {mutant.old!r}, expected once")
    if mutant.old == mutant.new:
        raise Stale(f"{mutant.name} changes nothing")
    return text.replace(mutant.old, mutant.new)


def check_list(mutants: Sequence[Mutant]) -> None:
    """Raise Stale unless every mutant has a name of its own, fits the code, and names tests."""
    names = [mutant.name for mutant in mutants]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise Stale(f"names that stand twice: {sorted(twice)}")
    for mutant in mutants:
        broken((ROOT / mutant.file).read_text(), mutant)
        for test in mutant.tests.split():
            if not (ROOT / test.partition("::")[0]).exists():
                raise Stale(f"{mutant.name}: there is no {test}")


def _copy(source: Path, target: Path) -> None:
    """Make `target` what `source` is, but for what was built; a file that is so already stays."""
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.name.startswith(".") or entry.name in ("build", "__pycache__"):
            continue
        there = target / entry.name
        if entry.is_dir():
            _copy(entry, there)
        elif not there.exists() or there.read_bytes() != entry.read_bytes():
            shutil.copyfile(entry, there)


class Copy:
    """A copy of the checkout, built, in which one thing at a time is broken."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        _copy(ROOT, folder)
        tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
        self.build_folder = folder / "build" / f"{tag}-mutants"  # where test_build.py looks
        self.package = folder / "installed/gradstep"
        cmakedir = subprocess.run(
            [sys.executable, "-m", "pybind11", "--cmakedir"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        self._tool(
            "cmake", "-S", folder, "-B", self.build_folder, "-G", "Ninja",
            f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={cmakedir}",
            # Kernels have a level of their own. The rest takes half the time to build like this.
            "-DCMAKE_CXX_FLAGS_RELEASE=-O0 -DNDEBUG",
            f"-DCMAKE_PROJECT_INCLUDE={HERE / 'quick.cmake'}",
        )  # fmt: skip
        self.build()
        found, said = self._run([sys.executable, "-c", "import gradstep; print(gradstep.__file__)"])
        if found != 0 or Path(said.strip()).parent != self.package:
            raise Stale(f"the tests would not run against the copy: {said}")

    def _tool(self, *command: str | Path) -> None:
        done = subprocess.run(
            command,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD,
        )
        if done.returncode != 0:
            raise Stale(f"{command[0]} failed:\n{done.stdout[-3000:]}")

    def build(self) -> None:
        """Bring the built package up to date with the sources of the copy."""
        try:
            self._tool("ninja", "-C", self.build_folder)
        except Stale as error:
            raise DoesNotBuild(error) from None
        shutil.rmtree(self.package, ignore_errors=True)
        shutil.copytree(self.root / "python/gradstep", self.package)
        for module in self.build_folder.glob("_core.*.so"):
            shutil.copy(module, self.package)

    def _run(self, command: list[str]) -> tuple[int | None, str]:
        """Run a command against the copy; None for a hang, else how it ended, and what it said."""
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": str(self.package.parent),
                    # A file that is changed twice a second must not be taken from a cache.
                    "PYTHONDONTWRITEBYTECODE": "1",
                    # Hypothesis then draws the same examples every time, and gives them any time.
                    "CI": "1",
                },
            )
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
            ended = self._wait(process, said.fileno())
            said.seek(0)
            return ended, said.read().decode(errors="replace")

    def _wait(self, process: subprocess.Popen[bytes], output: int) -> int | None:
        """Wait for the end of a process; None where it says nothing for too long, and is killed."""
        size = -1
        while size != (size := os.fstat(output).st_size):
            with suppress(subprocess.TimeoutExpired):
                return process.wait(SILENCE)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None

    def failing(self, tests: Sequence[str], *options: str) -> tuple[str, tuple[str, ...]]:
        """Return what failed first, and the tests by which it shows; nothing where all pass."""
        shutil.rmtree(self.root / ".pytest_cache", ignore_errors=True)
        ended, _ = self._run([sys.executable, "-m", "pytest", "-q", "-x", *options, *tests])
        if ended in (0, 5):  # 5: there is no test among them
            return "", ()
        if ended is None:
            return f"a hang of {' '.join(tests)}", tuple(tests)
        if ended < 0:
            return f"{signal.Signals(-ended).name} in {' '.join(tests)}", tuple(tests)
        cache = self.root / ".pytest_cache/v/cache/lastfailed"
        if cache.exists():
            test = str(next(iter(json.loads(cache.read_text()))))
            return test, (test.partition("[")[0],)  # of which pytest takes the names as they are
        # The tests' own conftest cannot import the package.
        return f"pytest {' '.join(tests)}, which ended with {ended}", tuple(tests)

    def noticed(self, mutant: Mutant, near: bool) -> tuple[str, tuple[str, ...]]:
        """Return what notices the mutant: the tests that it names, those of its room, all others."""
        done: list[str] = []
        for tests in (mutant.tests.split(), mutant.room.split(), [] if near else ["tests"]):
            ignored = [
                *(t for t in done if "::" not in t),
                *(f"tests/package/{t}" for t in LEFT_OUT),
            ]
            found = (
                self.failing(tests, *(f"--ignore={path}" for path in ignored))
                if tests
                else ("", ())
            )
            if found[0]:
                return found
            done += tests
        return "", ()

    def try_out(self, mutant: Mutant, near: bool) -> Found:
        """Break, build, test and restore."""
        path = self.root / mutant.file
        whole = path.read_text()
        path.write_text(broken(whole, mutant))
        try:
            self.build()
            return Found(mutant, *self.noticed(mutant, near))
        except Stale as error:
            unbuilt = mutant.generated and isinstance(error, DoesNotBuild)
            return Found(mutant, stale=str(error), unbuilt=unbuilt)
        finally:
            path.write_text(whole)

    def require_whole(self, tests: Sequence[str]) -> None:
        """Raise Stale where one of the tests fails on what is not broken, and so caught nothing."""
        self.build()
        wrong, _ = self.failing(tests) if tests else ("", ())
        if wrong:
            raise Stale(f"{wrong} fails where nothing is broken")


def run_all(mutants: Sequence[Mutant], folder: Path, near: bool) -> list[Found]:
    """Try mutants out in one copy, say at once what became of each, and check what caught them."""
    if not mutants:
        return []
    copy = Copy(folder)
    found = []
    for mutant in mutants:
        found.append(copy.try_out(mutant, near))
        print(f"{mutant.file}: {mutant.name}: {found[-1].verdict}", flush=True)
    copy.require_whole(sorted({test for f in found for test in f.tests}))
    return found


def report(found: Sequence[Found]) -> bool:
    """Print what became of the mutants; return whether that is good enough."""
    print("\n| file | mutant | what it would do | |\n|---|---|---|---|")
    for f in found:
        print(f"| {f.mutant.file} | {f.mutant.name} | {f.mutant.harm} | {f.verdict} |")
    unbuilt = [f for f in found if f.unbuilt]
    stale = [f for f in found if f.stale and not f.unbuilt]
    counted = [f for f in found if not f.mutant.survives and not f.stale]
    caught = [f for f in counted if f.by]
    unexplained = [f for f in counted if not f.by]
    wrong = [f for f in found if f.mutant.survives and f.by]
    explained = len(found) - len(counted) - len(stale) - len(unbuilt)
    share = len(caught) / len(counted) if counted else 1.0
    print(
        f"\n{len(caught)} of {len(counted)} caught, {share:.1%}; {explained} cannot be, "
        f"{len(unbuilt)} do not compile."
    )
    for f in stale:
        print(f"{f.mutant.name} cannot be tried: {f.stale}")
    for f in unexplained:
        print(f"{f.mutant.name} survived: write a test, or list why none can notice")
    for f in wrong:
        print(f"{f.mutant.name} is listed as one that no test notices, but {f.by} does")
    return share >= ENOUGH and not (unexplained or wrong or stale)


def select(
    mutants: Sequence[Mutant], made: Sequence[Mutant], arguments: argparse.Namespace
) -> list[Mutant]:
    """Return the mutants that the arguments ask for: listed ones, generated ones, or some of both."""
    if not find_spec("mpi4py"):
        # Nearly all tests of what is spread over ranks are skipped then.
        made = [m for m in made if "/distributed/" not in m.file]
    listed, rest = (
        [m for m in group if m.file.startswith(arguments.file)] for group in (mutants, made)
    )
    if arguments.only:
        return [m for m in [*listed, *rest] if m.name in arguments.only]
    if arguments.sample is not None:
        listed = _some(listed, arguments.sample, arguments.seed)
    elif arguments.generated is not None:
        listed = []
    return [*listed, *_some(rest, arguments.generated or 0, arguments.seed)]


def _some(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    # What is known to survive runs all tests, which takes long.
    return draw([mutant for mutant in mutants if not mutant.survives], count, seed)


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these mutants alone")
    parser.add_argument(
        "--file", default="", help="this file or folder alone: cpp/engine/rules.hpp"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="so many of those that are listed")
    parser.add_argument("--generated", type=int, metavar="N", help="so many of the rote ones")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default: 0)")
    parser.add_argument(
        "--near", action="store_true", help="run only the tests that are likely to notice"
    )
    parser.add_argument("--jobs", type=int, default=1, help="copies at work at a time (default: 1)")
    parser.add_argument("--folder", help="where to build, and to leave it for the next run")
    parser.add_argument("--check", action="store_true", help="only look whether the lists fit")
    arguments = parser.parse_args()
    try:
        mutants = listed()
        check_list(mutants)
        made = rote(mutants)
        if arguments.check:
            return 0
        chosen = select(mutants, made, arguments)
        if not chosen:
            parser.error("no mutant is chosen")
        # What is built for one mutant is of use to the next of the same file.
        chosen.sort(key=lambda mutant: mutant.file)
        jobs = max(1, min(arguments.jobs, len(chosen)))
        parts = [
            chosen[len(chosen) * j // jobs : len(chosen) * (j + 1) // jobs] for j in range(jobs)
        ]
        with (
            tempfile.TemporaryDirectory(prefix="gradstep-mutants-") as temporary,
            ThreadPoolExecutor(jobs) as pool,
        ):
            folder = Path(arguments.folder or temporary).resolve()
            folder.mkdir(exist_ok=True)
            folders = [folder / str(job) for job in range(jobs)]
            found = [
                f
                for part in pool.map(run_all, parts, folders, [arguments.near] * jobs)
                for f in part
            ]
    except Stale as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if report(found) else 1


if __name__ == "__main__":
    sys.exit(main())
