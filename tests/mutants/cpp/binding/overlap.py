"""Ways to break cpp/binding/overlap.cpp."""

from listing import CHECKPOINT, ERRORS, SPEED, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/overlap.cpp",
        f"{ERRORS} tests/core/test_aliasing.py",
        Mutant(
            "odd strides always meet",
            "nested = nested && stride >= reach;",
            "nested = false;",
            "slow checks of large arrays",
            survives=SPEED,
        ),
        Mutant(
            "odd strides never meet",
            "nested = nested && stride >= reach;",
            "nested = nested && stride > 0;",
            "an element makes several steps",
        ),
        Mutant(
            "elements that meet in part",
            "distinct = offsets[i] - offsets[i - 1] >= memory.itemsize;",
            "distinct = offsets[i] - offsets[i - 1] > 0;",
            "elements overwrite halves of others",
        ),
        Mutant(
            "more elements than memory",
            "bool distinct = memory.size * memory.itemsize <= reach;",
            "bool distinct = true;",
            "no memory left, instead of an error",
        ),
        Mutant(
            "extents of arrays that go backwards",
            "(reach < 0 ? below : above) += reach;",
            "above += reach;",
            "overlap goes unseen",
        ),
        Mutant(
            "targets may overlap",
            "share_memory(memory, other)) first_of[last] = first;",
            "false) first_of[last] = first;",
            "the second of two arrays in one memory overwrites what was loaded into the first",
            CHECKPOINT,
        ),
    ),
]
