"""Ways to break cpp/binding/model.cpp."""

from listing import ERRORS, GROUPS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/model.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "a group that comes later counts all steps",
            "Group::make(rule, t, t, core_args, given)",
            "Group::make(rule, 0, t, core_args, given)",
            "a group that joins later is corrected wrongly",
            GROUPS,
        ),
        Mutant(
            "a group's error has no label",
            "throw py::value_error(label + error.what());",
            "throw;",
            "nobody knows which group is wrong",
            GROUPS,
        ),
        Mutant(
            "a group begins when it was prepared",
            "groups.back().start = t;",
            "",
            "steps of another thread in between count for its corrections",
            "tests/process/test_two_threads.py",
        ),
    ),
]
