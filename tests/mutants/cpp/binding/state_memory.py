"""Ways to break cpp/binding/state_memory.cpp."""

from listing import OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/state_memory.cpp",
        OPTIMIZER,
        Mutant(
            "kinds of state in one place",
            "data_ + kind * bytes_of_kind_ + like.offset",
            "data_ + like.offset",
            "m is v",
        ),
        Mutant(
            "parameters' state in one place",
            "bytes_of_kind_ + behind});",
            "behind});",
            "m of one parameter is m of all",
        ),
        Mutant(
            "state begins anywhere",
            'numpy.attr("zeros")(kinds',
            'numpy.attr("empty")(kinds',
            "the first steps are random",
        ),
        Mutant(
            "state lies otherwise than its parameter",
            "address % like.itemsize() == 0 ? address % cache_line : 0",
            "address % like.itemsize() == 0 ? 0 : 0",
            "slower steps",
        ),
    ),
]
