"""One command each: tests, format, lint, types, sanitizers, benchmarks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nox

nox.options.sessions = ["tests", "without_openmp", "format", "lint", "types", "sanitize"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False

PYTHON = ["python", "tests", "benchmarks", "examples", "noxfile.py"]
CPP = sorted(str(path) for path in Path("cpp").iterdir())
STRICT = "-Ccmake.define.GRADSTEP_WERROR=ON"


@nox.session
def tests(session: nox.Session) -> None:
    """Build with warnings as errors and run the tests."""
    session.install(".[test]", STRICT)
    session.run("pytest", *session.posargs)


@nox.session
def endurance(session: nox.Session) -> None:
    """Run the tests of endurance with all that the guarantees promise, for the better part of an hour."""
    session.install(".[test]", STRICT)
    session.run("pytest", "-m", "endurance", *session.posargs, env={"GRADSTEP_EFFORT": "full"})


@nox.session
def format(session: nox.Session) -> None:
    """Check the format of everything; with `-- --write`, mend it."""
    session.install("ruff==0.17.6", "clang-format==23.1.5")
    write = "--write" in session.posargs
    session.run("ruff", "format", *([] if write else ["--check"]), *PYTHON)
    session.run("clang-format", *(["-i"] if write else ["--dry-run", "--Werror"]), *CPP)


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff, and clang-tidy where a compiler has written its commands."""
    session.install("ruff==0.17.6", "clang-tidy==23.1.4", "pybind11>=3", "cmake", "ninja")
    session.run("ruff", "check", *PYTHON)
    build = session.create_tmp()
    cmake_dir = subprocess.run(
        [f"{session.bin}/python", "-m", "pybind11", "--cmakedir"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    session.run(
        "cmake", "-S", ".", "-B", build, "-G", "Ninja", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
        f"-Dpybind11_DIR={cmake_dir}", "-DGRADSTEP_OPENMP=OFF", silent=True,
    )  # fmt: skip
    sources = [path for path in CPP if path.endswith(".cpp")]
    session.run("clang-tidy", "--quiet", "-p", build, "--warnings-as-errors=*", *sources)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly."""
    # The benchmark's peers are loaded by name, so they need not be here.
    session.install(".[test,examples]", "mypy==2.4.1", "nox")
    session.run("mypy", *session.posargs)


@nox.session
def sanitize(session: nox.Session) -> None:
    """Run the tests of the core under AddressSanitizer and UndefinedBehaviorSanitizer (GCC)."""
    session.install(".[test]", "-Ccmake.define.GRADSTEP_SANITIZE=ON", "-Cbuild-dir=build/sanitize")
    libraries = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    session.run(
        "pytest",
        # What compares objects or counts processes looks at the ordinary build.
        "tests/test_steps.py", "tests/test_bits.py", "tests/test_errors.py",
        "tests/test_numbers.py", "tests/test_optimizer.py", "tests/test_averaging.py",
        "tests/test_batches.py",
        *session.posargs,
        env={
            "LD_PRELOAD": " ".join(libraries),
            "ASAN_OPTIONS": "detect_leaks=0",  # CPython itself leaves memory at exit
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONMALLOC": "malloc",  # every object gets a redzone of its own
        },
    )  # fmt: skip


@nox.session
def without_openmp(session: nox.Session) -> None:
    """Build without OpenMP, with warnings as errors, and run what depends on threads."""
    session.install(
        ".[test]", STRICT, "-Ccmake.define.GRADSTEP_OPENMP=OFF", "-Cbuild-dir=build/without_openmp"
    )
    session.run("python", "-c", "import gradstep as gs; assert not gs.cpu_info()['openmp']")
    session.run("pytest", "tests/test_parallel.py", "tests/test_bits.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against others; `-- --with-torch` installs PyTorch, the rest goes to compare.py."""
    session.install(".[bench]")
    if "--with-torch" in session.posargs:
        session.install("torch==2.13.0")
    arguments = [argument for argument in session.posargs if argument != "--with-torch"]
    session.run("python", "benchmarks/compare.py", *arguments)
