"""Breaks the package in one place after another and looks whether a test notices.

Here live copying, breaking, building and testing. What is broken is listed beside this file, under the
name of each source file. Each mutant is put into a copy of the checkout; the tests most likely to
notice run first, then all others.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from listing import ROOT, Mutant

HERE = Path(__file__).parent
ENOUGH = 0.95
# Longer than any of these takes on a busy machine: what is not over by then hangs.
FIRST_TESTS, ALL_TESTS, BUILD = 600, 3600, 3600  # seconds
# That the list fits the code is no promise of the package, and examples are not broken here.
LEFT_OUT = ("test_mutants.py", "test_landscapes.py", "test_train_mlp.py")


class Stale(Exception):
    """The list does not fit the code: a text is not there just once, or does not compile."""


@dataclass
class Found:
    """What became of a mutant."""

    mutant: Mutant
    by: str = ""  # the test that noticed, or how the tests ended that did
    tests: tuple[str, ...] = ()  # what has to pass where nothing is broken
    stale: str = ""  # why it could not be tried

    @property
    def verdict(self) -> str:
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
        found, said = self._run(
            [sys.executable, "-c", "import gradstep; print(gradstep.__file__)"], FIRST_TESTS
        )
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
        self._tool("ninja", "-C", self.build_folder)
        shutil.rmtree(self.package, ignore_errors=True)
        shutil.copytree(self.root / "python/gradstep", self.package)
        for module in self.build_folder.glob("_core.*.so"):
            shutil.copy(module, self.package)

    def _run(self, command: list[str], limit: float) -> tuple[int | None, str]:
        """Run a command against the copy; None for a hang, else how it ended, and what it said."""
        process = subprocess.Popen(
            command,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
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
        try:
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, "nothing in time"
        return process.returncode, said

    def failing(
        self, tests: Sequence[str], limit: float, *options: str
    ) -> tuple[str, tuple[str, ...]]:
        """Return what failed first, and the tests by which it shows; nothing where all pass."""
        shutil.rmtree(self.root / ".pytest_cache", ignore_errors=True)
        ended, said = self._run(
            [sys.executable, "-m", "pytest", "-q", "-x", *options, *tests], limit
        )
        if ended == 0:
            return "", ()
        if ended is None:
            return f"a hang of {' '.join(tests)}", tuple(tests)
        if ended < 0:
            return f"{signal.Signals(-ended).name} in {' '.join(tests)}", tuple(tests)
        cache = self.root / ".pytest_cache/v/cache/lastfailed"
        if ended not in (1, 2) or not cache.exists():
            raise Stale(f"pytest {' '.join(tests)} ended with {ended}:\n{said[-3000:]}")
        test = str(next(iter(json.loads(cache.read_text()))))
        return test, (test.partition("[")[0],)  # of which pytest takes the names as they are

    def all_but(self, tests: Sequence[str]) -> list[str]:
        """Return the options for all tests but those that ran already and those left out."""
        done = [test for test in tests if "::" not in test]
        ignored = [*done, *(f"tests/package/{name}" for name in LEFT_OUT)]
        return [f"--ignore={path}" for path in ignored]

    def try_out(self, mutant: Mutant) -> Found:
        """Break, build, test and mend."""
        path = self.root / mutant.file
        whole = path.read_text()
        path.write_text(broken(whole, mutant))
        try:
            self.build()
            first = mutant.tests.split()
            by, tests = self.failing(first, FIRST_TESTS)
            if not by:
                by, tests = self.failing(["tests"], ALL_TESTS, *self.all_but(first))
            return Found(mutant, by, tests)
        except Stale as error:
            return Found(mutant, stale=str(error))
        finally:
            path.write_text(whole)

    def require_whole(self, tests: Sequence[str]) -> None:
        """Raise Stale where one of the tests fails on what is not broken, and so caught nothing."""
        self.build()
        wrong, _ = self.failing(tests, ALL_TESTS) if tests else ("", ())
        if wrong:
            raise Stale(f"{wrong} fails where nothing is broken")


def run_all(mutants: Sequence[Mutant], folder: Path) -> list[Found]:
    """Try mutants out in one copy, say at once what became of each, and check what caught them."""
    if not mutants:
        return []
    copy = Copy(folder)
    found = []
    for mutant in mutants:
        found.append(copy.try_out(mutant))
        print(f"{mutant.file}: {mutant.name}: {found[-1].verdict}", flush=True)
    copy.require_whole(sorted({test for f in found for test in f.tests}))
    return found


def report(found: Sequence[Found]) -> bool:
    """Print what became of the mutants; return whether that is good enough."""
    print("\n| file | mutant | what it would do | |\n|---|---|---|---|")
    for f in found:
        print(f"| {f.mutant.file} | {f.mutant.name} | {f.mutant.harm} | {f.verdict} |")
    stale = [f for f in found if f.stale]
    counted = [f for f in found if not f.mutant.survives and not f.stale]
    caught = [f for f in counted if f.by]
    unexplained = [f for f in counted if not f.by]
    wrong = [f for f in found if f.mutant.survives and f.by]
    explained = len(found) - len(counted) - len(stale)
    share = len(caught) / len(counted) if counted else 1.0
    print(f"\n{len(caught)} of {len(counted)} caught, {share:.1%}; {explained} cannot be.")
    for f in stale:
        print(f"{f.mutant.name} cannot be tried: {f.stale}")
    for f in unexplained:
        print(f"{f.mutant.name} survived: write a test, or say in the list why none can notice")
    for f in wrong:
        print(f"{f.mutant.name} is listed as one that no test notices, but {f.by} does")
    return share >= ENOUGH and not (unexplained or wrong or stale)


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these mutants alone")
    parser.add_argument(
        "--file", help="mutants of this file alone, for instance cpp/engine/rules.hpp"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="so many, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="copies at work at a time (default: 1)")
    parser.add_argument("--folder", help="where to build, and to leave it for the next run")
    parser.add_argument("--check", action="store_true", help="only look whether the list fits")
    arguments = parser.parse_args()
    try:
        mutants = listed()
        check_list(mutants)
        if arguments.check:
            return 0
        chosen = [m for m in mutants if arguments.file in (None, m.file)]
        if arguments.only:
            chosen = [m for m in chosen if m.name in arguments.only]
        if arguments.sample is not None:
            # A sample is to be quick, and what is listed to survive runs all tests.
            chosen = [m for m in chosen if not m.survives]
            drawn = min(arguments.sample, len(chosen))
            chosen = random.Random(arguments.seed).sample(chosen, drawn)
        if not chosen:
            parser.error("no mutant is chosen")
        # Neighbours in the list share a file: what is built for one is of use to the next.
        chosen.sort(key=mutants.index)
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
            found = [f for part in pool.map(run_all, parts, folders) for f in part]
    except Stale as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if report(found) else 1


if __name__ == "__main__":
    sys.exit(main())
