"""Ways to break cpp/binding/model.cpp."""

from listing import ERRORS, GROUPS, NUMBERS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/model.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "constants in the caller's mode",
            "const DefaultFloatingPointMode mode;\n  for (Group& group : groups) group.make",
            "for (Group& group : groups) group.make",
            "other bits where the caller rounds otherwise",
            NUMBERS,
        ),
        Mutant(
            "averages are called parameters",
            'std::strcmp(rule.name, "ewa") == 0',
            "false",
            "errors of averages speak of gradients",
            ERRORS,
        ),
        Mutant(
            "a group that comes later counts all steps",
            "Group::make(rule, t, t, core_args, given)",
            "Group::make(rule, 0, t, core_args, given)",
            "a group that joins later is corrected wrongly",
            GROUPS,
        ),
        Mutant(
            "refused groups stay",
            "while (groups.size() > groups_left) groups.pop_back();",
            "",
            "a group without parameters after an error",
            GROUPS,
        ),
        Mutant(
            "refused parameters stay",
            "while (parameters.size() > parameters_left) parameters.pop_back();",
            "",
            "steps ask for gradients of what was refused",
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
            "a group's wrong type has no label",
            "throw py::type_error(label + error.what());",
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
