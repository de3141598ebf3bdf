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
            "changed: data",
            "!word(reinterpret_cast<std::uintptr_t>(proxy->data)) || ",
            "",
            "memory that was given back is written",
        ),
    ),
]
