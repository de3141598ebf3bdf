"""Ways to break cpp/engine/strided.cpp."""

from listing import LAYOUTS, UNALIGNED, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/engine/strided.cpp",
        LAYOUTS,
        Mutant(
            "axes join where one array lets them",
            "std::all_of(streams_",
            "std::any_of(streams_",
            "gradients of other elements",
        ),
        Mutant(
            "turned axes begin at the wrong end",
            "stream.data += stride * (array.shape[axis] - 1);",
            "",
            "memory before the array is written",
        ),
        Mutant(
            "each array is turned by itself",
            "if (first.strides[axis] < 0) {",
            "if (stride < 0) {",
            "gradients in reverse",
        ),
        Mutant(
            "the inner stride is forgotten when axes join",
            "s.strides.begin() + at - 1",
            "s.strides.begin() + at",
            "memory between elements is written",
        ),
        Mutant(
            "dense by the outermost axis",
            "s.dense = s.dense && s.strides[axis] == expected;",
            "s.dense = s.strides[axis] == expected;",
            "elements of strided arrays are mixed up",
        ),
        Mutant(
            "unaligned arrays count as dense",
            "reinterpret_cast<std::uintptr_t>(s.data) % static_cast<unsigned>(itemsize) == 0",
            "true",
            "crashes on processors that need alignment",
            survives=UNALIGNED,
        ),
        Mutant(
            "carry comes late",
            "if (++index[axis] < shape_[axis]) break;",
            "if (++index[axis] <= shape_[axis]) break;",
            "memory behind a row is written",
        ),
        Mutant(
            "carry does not go back",
            "row -= shape_[axis] * s.strides[axis];",
            "",
            "memory behind the array is written",
        ),
        Mutant(
            "rows begin in the middle",
            "row -= index[inner] * s.strides[inner];",
            "",
            "memory behind a row is written",
        ),
        Mutant(
            "no axis, no element",
            "if (count > 0) copy(s.data, 0, 1);",
            "",
            "single elements learn nothing",
        ),
    ),
]
