"""Ways to break cpp/binding/written_memory.cpp."""

from listing import ERRORS, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/written_memory.cpp",
        f"{ERRORS} tests/core/test_aliasing.py",
        Mutant(
            "advice: a copy of what is tied",
            "const bool tied = a.role == Label::parameter && b.role == Label::parameter;",
            "const bool tied = false;",
            "tied weights go their own ways",
        ),
        Mutant(
            "repeated elements are written",
            "if (repeats_elements(view)) {",
            "if (false) {",
            "an element makes several steps",
        ),
        Mutant(
            "parameters may overlap",
            "if (!share_memory(",
            "if (true || !share_memory(",
            "elements make two steps",
        ),
        Mutant(
            "parameters may overlap by one element",
            "next->low < entry->high; ++next",
            "next->low + 4 < entry->high; ++next",
            "an element makes two steps",
        ),
        Mutant(
            "arrays in reverse",
            "return a.low < b.low; });\n  std::uintptr_t high",
            "return a.low > b.low; });\n  std::uintptr_t high",
            "overlap goes unseen",
        ),
        Mutant(
            "an array behind a short one",
            "entry->high_so_far = high = std::max(high, entry->high);",
            "entry->high_so_far = high = entry->high;",
            "overlap with a long array goes unseen",
        ),
        Mutant(
            "a gradient in a parameter",
            "entry->high > view.low && share_memory(",
            "false && share_memory(",
            "elements are read after they have changed",
        ),
        Mutant(
            "a gradient between elements",
            "entry->high > view.low && share_memory(",
            "entry->high > view.low || share_memory(",
            "good gradients are refused",
        ),
        Mutant(
            "the usual gradient in a parameter",
            "if (below > low) return false;",
            "",
            "elements are read after they have changed",
        ),
        Mutant(
            "a gap without end",
            "above == entries_.end() ? UINTPTR_MAX : above->low};",
            "UINTPTR_MAX};",
            "a later gradient may lie in a parameter",
        ),
        Mutant(
            "a gap without beginning",
            "gap = {below,",
            "gap = {0,",
            "a later gradient may lie in a parameter",
        ),
        Mutant(
            "a gradient that leaves the gap",
            "if (gap.low <= low && high <= gap.high) return true;",
            "if (gap.low <= low && low <= gap.high) return true;",
            "a later gradient may reach into a parameter",
        ),
        Mutant(
            "changed: data",
            "!word(reinterpret_cast<std::uintptr_t>(proxy->data)) || ",
            "",
            "memory that was given back is written",
        ),
        Mutant("changed: flags", "!word(flags) ||", "", "protected memory changes"),
        Mutant(
            "changed: dtype",
            "!word(reinterpret_cast<std::uintptr_t>(proxy->descr)) ||",
            "",
            "integers are taken for floats",
        ),
        Mutant(
            "changed: shape",
            "!word(static_cast<std::uintptr_t>(proxy->dimensions[i])) ||",
            "",
            "a parameter that was reshaped no longer fits its state",
        ),
        Mutant(
            "changed: strides",
            " ||\n        !word(static_cast<std::uintptr_t>(proxy->strides[i]))) {",
            ") {",
            "repeated elements go unseen",
        ),
    ),
]
