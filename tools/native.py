"""The programs of tests/native: built with other compilers, run on other processors, searched for races."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import nox
from tools.compilers import find_tools

TABLE = "tests/native/bits.txt"
# x86-64 as it began, in QEMU's names for what came later.
OLDEST = "qemu64,-pni,-ssse3,-sse4.1,-sse4.2,-popcnt,-cx16,-lahf-lm,-svm,-abm,-sse4a"
# What x86-64-v3 asks for beyond SSE2, in QEMU's names.
V3 = "pni ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt xsave avx f16c bmi1 avx2 bmi2 lahf-lm abm"


def build_native(session: nox.Session, name: str, *options: str, target: str = "all") -> Path:
    """Build the programs of tests/native, and nothing else of the package."""
    build = Path(session.create_tmp()) / name
    session.run(
        "cmake", "-S", ".", "-B", str(build), "-G", "Ninja", "-DGRADSTEP_NATIVE_TESTS=ON",
        "-DGRADSTEP_WERROR=ON", *options, silent=True,
    )  # fmt: skip
    session.run("cmake", "--build", str(build), "--target", target)
    return build


def link_with_musl(session: nox.Session, musl: str, build: Path, name: str) -> str:
    """Link a program's objects again, with musl and without a C++ library."""
    objects = [*build.glob(f"tests/native/CMakeFiles/{name}.dir/**/*.o")]
    if name != "newer":
        objects += build.glob("CMakeFiles/kernels_*.dir/**/*.o")
    linked = str(build / f"{name}-musl")
    session.run(musl, "-static", "-o", linked, *map(str, objects), external=True)
    return linked


def compare_bits(session: nox.Session) -> None:
    """Compare the bits of other compilers, C libraries and processors with the table."""
    tools = find_tools(session)

    def run(*command: str | Path, **options: Any) -> Any:
        return session.run(*map(str, command), external=True, **options)

    for name in ("g++", "clang++"):
        built = build_native(session, name, f"-DCMAKE_CXX_COMPILER={tools[name]}") / "tests/native"
        run(built / "bits", TABLE)
        run(built / "dispatch")
        run(built / "sweep")
        run(built / "denormals", "9000")
        run(built / "threads")

    arm = build_native(
        session, "aarch64", f"-DCMAKE_CXX_COMPILER={tools['aarch64-linux-gnu-g++']}",
        "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_EXE_LINKER_FLAGS=-static",
    )  # fmt: skip
    for command in (["bits", TABLE, "--brief"], ["denormals", "9000"], ["sweep"]):
        run(tools["qemu-aarch64"], arm / "tests/native" / command[0], *command[1:])

    bits, newer = (
        link_with_musl(session, tools["musl-gcc"], Path(session.create_tmp()) / "g++", name)
        for name in ("bits", "newer")
    )
    run(bits, TABLE)
    emulate = [tools["qemu-x86_64"], "-cpu"]
    for instruction in ("sse3", "ssse3", "sse4.1", "popcnt", "avx"):
        run(*emulate, "max", newer, instruction)
        run(*emulate, OLDEST, newer, instruction, success_codes=[-signal.SIGILL])
    for processor, levels in (
        (OLDEST, "baseline"),
        ("Nehalem", "baseline"),
        ("Haswell", "baseline x86-64-v3"),
    ):
        said = run(*emulate, processor, bits, TABLE, "--brief", silent=True)
        if f"levels: {levels}\n" not in said:
            session.error(f"{processor} was to run {levels}: {said}")
    for feature in V3.split():
        said = run(*emulate, f"Haswell,-{feature}", bits, "--levels", silent=True)
        if "levels: baseline\n" not in said:
            session.error(f"a processor without {feature} was given more than the baseline: {said}")


def search_for_races(session: nox.Session) -> None:
    """Run the threads under ThreadSanitizer, and see that it finds a race that is planted."""
    for name, flags, found in (("clean", "", 0), ("planted", " -DPLANT_A_RACE", 66)):
        options = ["-DCMAKE_CXX_COMPILER=g++", f"-DCMAKE_CXX_FLAGS=-fsanitize=thread -g{flags}"]
        build = build_native(session, name, *options, target="threads")
        session.run(
            str(build / "tests/native/threads"), *session.posargs, external=True,
            success_codes=[found], silent=bool(found),
            env={"TSAN_OPTIONS": "halt_on_error=1 exitcode=66"},
        )  # fmt: skip
