"""Ways to break cpp/binding/arrays.cpp."""

from listing import ERRORS, REBINDING, UNALIGNED, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/arrays.cpp",
        f"{ERRORS} tests/core/test_aliasing.py",
        Mutant(
            "rebound: any strides",
            "same = g.shape[i] == h.shape[i] && (g.strides[i] == h.strides[i] || g.shape[i] < 2);",
            "same = g.shape[i] == h.shape[i];",
            "a transpose in a parameter's place steps as if it had stayed",
            REBINDING,
        ),
        Mutant(
            "advice: any shape is turned",
            "std::equal(given.begin(), given.end(), wanted.rbegin(), wanted.rend())",
            "given.size() == wanted.size()",
            "advice that does not work when it is followed",
        ),
        Mutant(
            "advice: the shape that is there",
            'pass .reshape(" + shape_text(b)',
            'pass .reshape(" + shape_text(a)',
            "advice that does not work when it is followed",
        ),
        Mutant(
            "advice: the mean over the wrong axis",
            "pass .mean(axis=0)",
            "pass .mean(axis=-1)",
            "a mean over features",
        ),
        Mutant(
            "byte order of float32",
            "!native || descriptor->type_num != Api::NPY_FLOAT_",
            "descriptor->type_num != Api::NPY_FLOAT_",
            "bytes in reverse are taken for numbers",
        ),
        Mutant(
            "a copy as parameter",
            "if (first.data() == second.data()) return first;",
            "if (first.data() != nullptr) return first;",
            "a parameter that never learns",
        ),
        Mutant(
            "unaligned memory counts as dense",
            "if (!view.has(Flag::NPY_ARRAY_ALIGNED_)) return no_order;",
            "",
            "crashes on processors that need alignment",
            survives=UNALIGNED,
        ),
        Mutant(
            "usual gradient: alignment",
            "!(g->flags & Flag::NPY_ARRAY_ALIGNED_)",
            "false",
            "crashes on processors that need alignment",
            survives=UNALIGNED,
        ),
    ),
]
