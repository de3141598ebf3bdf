"""Ways to break cpp/engine/sweep.cpp."""

from listing import AVERAGED, BITS, NUMBERS, ONE_STEP, STEPS, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/sweep.cpp",
        BITS,
        Mutant(
            "a read behind the gradient",
            "  item.kernel->run(item.constants, streams, end - begin);\n",
            "  static_cast<void>(static_cast<volatile char*>(streams[1])[(end - begin) * item.itemsize]);\n"
            "  item.kernel->run(item.constants, streams, end - begin);\n",
            "a crash where an array ends with its page",
            "tests/core/test_guard_pages.py",
        ),
        Mutant(
            "last parts are lost",
            "i > 0 && share.begun.load(std::memory_order_relaxed)",
            "i > 0",
            "some elements miss steps, at times",
        ),
        Mutant(
            "who began once counts as there",
            "share.begun.store(false, std::memory_order_relaxed);",
            "",
            "some elements miss steps, at times",
        ),
        Mutant(
            "backwards: parts meet wrongly",
            "visit_range(cut(end - last), cut(end - first), visit);",
            "visit_range(cut(end - last), cut(end - first - 1), visit);",
            "elements miss every other step",
        ),
        Mutant(
            "float64 is read as float32",
            "begin * item.itemsize;\n  }\n  item.kernel",
            "begin * 4;\n  }\n  item.kernel",
            "elements of large float64 arrays are mixed up",
        ),
        Mutant(
            "strided: gradients are written",
            "if (s != gradient && streams[s] == buffers[s])",
            "if (streams[s] == buffers[s])",
            "a crash for a gradient in read-only memory",
            STEPS + "::test_a_gradient_is_only_read",
        ),
        Mutant(
            "small steps in the caller's mode",
            "const DefaultFloatingPointMode mode;\n    visit_range(begin, end, visit);",
            "visit_range(begin, end, visit);",
            "other bits where the caller flushes denormals",
            NUMBERS,
        ),
        Mutant(
            "a norm before scaling",
            "g, count, scale_);",
            "g, count, 1.0);",
            "unscaled gradients are clipped",
            ONE_STEP,
        ),
        Mutant(
            "strided averages stay zero",
            "for (int s = 0; s < stream_count; ++s) {\n      if (s != gradient",
            "for (int s = 0; s < item.stream_count; ++s) {\n      if (s != gradient",
            "averages of views are lost",
            AVERAGED,
        ),
        Mutant(
            "tiles of steps before",
            "total_ = tiles_ = written_ = 0;",
            "total_ = written_ = 0;",
            "the norm grows from step to step",
            ONE_STEP,
        ),
    ),
]
