"""Ways to break cpp/binding/gather.cpp."""

from listing import BATCHES, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/gather.cpp",
        BATCHES,
        Mutant(
            "examples are not pinned",
            "  const Pins pins(arrays);\n",
            "",
            "examples that are resized meanwhile are read after their memory has gone",
            "tests/core/test_moving_arrays.py",
        ),
        Mutant(
            "indices fetched ahead",
            "std::min<std::int64_t>(stop + fetched_ahead, order.size())",
            "stop",
            "a bad index is found later",
        ),
        Mutant(
            "references are copied as bytes",
            "!(dtype.flags() & counts_references)",
            "true",
            "a crash when an object is freed",
        ),
    ),
]
