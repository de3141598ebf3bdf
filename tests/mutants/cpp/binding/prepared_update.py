"""Ways to break cpp/binding/prepared_update.cpp."""

from listing import CHECKPOINT, ERRORS, OPTIMIZER, Mutant, in_file

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
