"""Ways to break cpp/binding/gather.cpp."""

from listing import BATCHES, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/gather.cpp",
        BATCHES,
        Mutant("negative indices", "if (example < 0 || ", "if (", "memory before the data is read"),
        Mutant(
            "examples are not pinned",
            "  const Pins pins(arrays);\n",
            "",
            "examples that are resized meanwhile are read after their memory has gone",
            "tests/core/test_moving_arrays.py",
        ),
        Mutant(
            "indices beyond the data",
            "|| example >= examples.count) {",
            ") {",
            "memory behind the data is read",
        ),
        Mutant(
            "indices fetched ahead",
            "std::min<std::int64_t>(stop + fetched_ahead, order.size())",
            "stop",
            "a bad index is found later",
        ),
        Mutant(
            "ends beyond the order",
            " || stop > order.size()) {",
            ") {",
            "memory behind the order is read",
        ),
        Mutant(
            "parts lose their ends",
            "work(begin, std::min(begin + part, count));",
            "work(begin, std::min(begin + part, count) - 1);",
            "examples of garbage",
        ),
        Mutant(
            "the last tile is lost",
            "share_out((from.count + tile - 1) / tile,",
            "share_out(from.count / tile,",
            "examples of garbage",
        ),
        Mutant(
            "parts all go to the front",
            "char* to = batch + begin * from.bytes();",
            "char* to = batch;",
            "examples of garbage",
        ),
        Mutant(
            "references are copied as bytes",
            "!(dtype.flags() & counts_references)",
            "true",
            "a crash when an object is freed",
        ),
        Mutant(
            "gaps within an example",
            "if (size != 1 && array.strides(outer_axes - 1) != bytes) break;",
            "",
            "examples of other columns",
        ),
    ),
]
