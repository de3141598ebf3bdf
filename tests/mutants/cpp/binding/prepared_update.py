"""Ways to break cpp/binding/prepared_update.cpp."""

from listing import CHECKPOINT, ERRORS, GROUPS, ONE_STEP, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/prepared_update.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "a change that was overtaken",
            "if (!old.given.is(before)) stepper.busy_.refuse();",
            "",
            "what another thread has set is lost",
            "tests/process/test_two_threads.py",
        ),
        Mutant(
            "a rule with other state",
            "if (state_names(rule) != state_names(old_rule)) {",
            "if (false) {",
            "memory behind the state is written",
            ERRORS,
        ),
        Mutant(
            "what was constant counts for all steps",
            "group.continue_products(old, t_ - start);",
            "group.continue_products(old, t_);",
            "wrong corrections where a later group gets a schedule",
            GROUPS,
        ),
        Mutant(
            "loading leaves the count",
            "stepper.outcome_.set_skipped(skipped_);",
            "",
            "skipped is of another run",
            ONE_STEP,
        ),
        Mutant(
            "changes leave the options",
            "std::swap(stepper.options_, options_);",
            "",
            "max_norm cannot be assigned",
            ONE_STEP,
        ),
        Mutant("loading leaves t", "stepper.t_ = t_;", "", "a resumed run corrects wrongly"),
        Mutant(
            "state is not loaded",
            "  copies_.fill();",
            "",
            "a resumed run begins with zero moments",
        ),
        Mutant(
            "starts are forgotten",
            "new_start.value_or(old.start)",
            "new_start.value_or(0)",
            "a changed rate changes the corrections",
        ),
    ),
    *in_file(
        "cpp/binding/prepared_update.cpp",
        CHECKPOINT,
        Mutant(
            "a load of yesterday",
            "if (update->version_ != stepper.version_) stepper.busy_.refuse();",
            "",
            "a step between looking and loading is half undone",
        ),
    ),
]
