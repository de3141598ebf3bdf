"""Ways to break cpp/binding/step_targets.cpp."""

from listing import ERRORS, OPTIMIZER, STEPS, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/step_targets.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "a refused array is judged good",
            "std::int64_t t) {\n  validated_ = false;",
            "std::int64_t t) {",
            "steps over arrays that were refused",
            ERRORS,
        ),
        Mutant(
            "state of another shape",
            "require_like(state, state_label, w);",
            "",
            "memory behind the state is written",
            ERRORS,
        ),
        Mutant(
            "state of another order",
            "orders &= dense_orders(state);",
            "",
            "moments of other elements",
            STEPS + "::test_state_may_lie_in_another_order",
        ),
        Mutant(
            "a gradient may be state",
            "written_.add(state, state_label, !parameter.owns_states);",
            "",
            "moments are read after they have changed",
            ERRORS,
        ),
        Mutant(
            "parameters may lie anywhere",
            "written_.require_disjoint();",
            "",
            "elements make several steps",
            ERRORS,
        ),
    ),
]
