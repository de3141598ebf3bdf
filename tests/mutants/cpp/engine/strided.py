"""Ways to break cpp/engine/strided.cpp."""

from listing import LAYOUTS, UNALIGNED, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/strided.cpp",
        LAYOUTS,
        Mutant(
            "each array is turned by itself",
            "if (first.strides[axis] < 0) {",
            "if (stride < 0) {",
            "gradients in reverse",
        ),
        Mutant(
            "unaligned arrays count as dense",
            "reinterpret_cast<std::uintptr_t>(s.data) % static_cast<unsigned>(itemsize) == 0",
            "true",
            "crashes on processors that need alignment",
            survives=UNALIGNED,
        ),
    ),
]
