"""Bytes of checkpoints: what is written is read, everything else is refused with what is wrong."""

from __future__ import annotations

import io
import json
import math
import struct
import sys
import tracemalloc
import zipfile
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

import gradstep.checkpoints.archive as archive
import gradstep.checkpoints.values as values
from support.effort import effort
from support.forged import PARTS, holding, members, packed, parsed, signed, with_member, written
from support.same import assert_same

Array = NDArray[Any]

VALID = written(packed())


def round_trip(value: object) -> Any:
    """Return what is read where `value` was written as a state."""
    return parsed(written(packed({"x": archive.Part("state", value)}))).parts["x"].value


# --- what is kept ---------------------------------------------------------------------------------

VALUES: list[Any] = [
    None, True, False, 0, -1, 2**64, -(2**128), 10**4299, 0.1, -0.0, 5e-324, sys.float_info.max,
    math.nan, math.inf, -math.inf, "", "W", "β\n\0\"\\/", "\U0001f600", "\ud800", "\ud83d\ude00",
    [], (), {}, [()], ([],), {"": {}}, [[1], (2,)], {"a": None, "b": [1.5, {"c": (True,)}]},
    {"$": 1}, {"$array": "x.npy"}, {"$tuple": []}, {"a": 1, "$b": 2}, {1: 2, "1": 3}, {None: 1, "None": 2},
    {True: 1, 2: 2}, {(1, ("a", 2.5)): 1}, {math.inf: 1}, {"\udfff": 1, "b": "\udfff"}, {-0.0: "zero"},
    {np.int64(3): 1}, np.float32(0.1), np.float64(math.nan), np.bool_(True), np.complex64(1 + 2j),
    np.uint64(2**64 - 1), np.float16(-0.0), {"W": 1, "a": 2}, {"a": 2, "W": 1},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: ascii(value)[:30])
def test_plain_values_come_back_exactly(value: Any) -> None:
    assert_same(round_trip(value), value)
    assert_same(round_trip({"in": [value]}), {"in": [value]})


Pair = namedtuple("Pair", "one two")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Pair(1, 2), (1, 2)),
        (np.ones(2).view(np.memmap), np.ones(2)),
    ],
)
def test_kin_of_containers_come_back_as_plain_ones(value: Any, expected: Any) -> None:
    assert_same(round_trip(value), expected)


@pytest.mark.parametrize("dtype", sorted(values.DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 2**40), (2, 0, 3), (1,) * 30])
def test_arrays_come_back_exactly(dtype: str, shape: tuple[int, ...]) -> None:
    count = math.prod(shape)
    a = np.arange(1, count + 1).astype(dtype).reshape(shape)
    assert_same(round_trip(a), a)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "fortran": lambda a: np.asfortranarray(a),
    "transposed": lambda a: a.transpose(2, 0, 1),
    "backwards": lambda a: a[::-1, :, ::-2],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    "windows": lambda a: as_strided(a, (5, 4), (8, 8)),
    "read-only": lambda a: np.frombuffer(a.tobytes()),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str) -> None:
    a = LAYOUTS[name](np.arange(24.0).reshape(2, 3, 4))
    got = round_trip(a)
    assert_same(got, a)
    assert got.flags.f_contiguous == (a.flags.f_contiguous or a.ndim == 1)


def test_an_array_of_several_chunks_in_every_order() -> None:
    a = np.random.default_rng(0).integers(0, 256, (700, 3, 1100)).astype(np.uint8)
    for view in (a, a.T, a[::-1], a[:, 1], a.transpose(1, 0, 2)):
        assert_same(round_trip(view), view)


def test_equal_parts_give_equal_files() -> None:
    assert written(packed()) == VALID
    assert [type(part) for part in parsed(VALID).parts.values()] == [archive.Part] * 4
    for name, part in parsed(VALID).parts.items():
        assert part.kind == PARTS[name].kind
        assert_same(part.value, PARTS[name].value)


def test_arrays_are_windows_on_the_file_and_aligned() -> None:
    data = np.frombuffer(VALID, np.uint8).copy()
    contents = archive.parse(data.data, "the file")
    arrays = [*contents.parts["params"].value.values(), contents.parts["opt"].value["m"]]
    for a in arrays:
        assert np.shares_memory(a, data)
        assert a.flags.writeable
        assert (a.ctypes.data - data.ctypes.data) % 64 == 0


def test_others_read_it_too() -> None:
    file = zipfile.ZipFile(io.BytesIO(VALID))
    assert file.testzip() is None
    assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}
    assert json.loads(file.read("gradstep.json"))["format"] == "gradstep checkpoint"
    with np.load(io.BytesIO(VALID), allow_pickle=False) as arrays:
        assert arrays["params/W"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert arrays["opt/m"].flags.f_contiguous


def test_names_are_safe_and_stand_once() -> None:
    keys = [
        "W",
        "../../etc/passwd",
        ".",
        "..",
        "",
        "a/b",
        "a b",
        "Wβ",
        "\ud800",
        "W~2",
        "x" * 999,
        "x" * 998,
    ]
    value: dict[Any, Array] = {
        **dict.fromkeys(keys, np.ones(1)),
        1: np.ones(1),
        "1": np.zeros(1),
        1.5: np.ones(1),
    }
    assert_same(round_trip(value), value)
    names = [*packed({"p": archive.Part("state", value)}).arrays]
    assert len({*names}) == len(value)
    for name in names:
        assert name.isascii()
        assert name.count("/") == 1
        assert not {".", "..", ""} & {*name.removesuffix(".npy").split("/")} or name == "p/.npy"
        assert len(name) < 120


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(st.characters()) | st.integers() | st.booleans(), inner)
        | hnp.arrays(
            hnp.scalar_dtypes().filter(lambda d: d.str in values.DTYPES), hnp.array_shapes()
        )
    ),
    max_leaves=10,
)


@given(plain)
def test_any_tree_comes_back(value: Any) -> None:
    assert_same(round_trip(value), value)


# --- what is refused on the way out ---------------------------------------------------------------


def holds_itself() -> list[Any]:
    inner: list[Any] = [1]
    inner.append({"again": inner})
    return inner


UNKEPT: list[tuple[Any, type[Exception], str]] = [
    ({1, 2}, TypeError, r"x must be None, bool.*, got set; convert it first"),
    ({"a": [0, {"b": b"abc"}]}, TypeError, r"x\.a\.1\.b must be None, .*, got bytes; "),
    ({"f": len}, TypeError, r"x\.f must be None, .*, got builtin_function_or_method; "),
    (2j, TypeError, r"x must be None, .*, got complex; "),
    ({frozenset(): 1}, TypeError, r"keys of x must be str, .*, got frozenset; convert"),
    ({b"k": 1}, TypeError, r"keys of x must be str, .*, got bytes; "),
    ({(1, b"k"): 1}, TypeError, r"x\.key \(1, b'k'\)\.1 must be None, .*, got bytes; "),
    ({"\ud800": object()}, TypeError, r"x\.\\ud800 must be None, .*, got object; "),
    (np.ones(3, object), TypeError, r"x must have bool, integers.*, got object; .*astype"),
    (np.array(["a"]), TypeError, r"x must have bool, .*, got <U1"),
    (np.zeros(1, "f4,i4"), TypeError, r"x must have bool, .*, got \[\('f0'"),
    (np.zeros(1, "V4"), TypeError, r"x must have bool, .*, got \|V4"),
    (np.zeros(1, "M8[s]"), TypeError, r"x must have bool, .*, got datetime64\[s\]"),
    (np.zeros(1, np.longdouble), TypeError, r"x must have bool, .*, got (float128|longdouble)"),
    (np.timedelta64(1), TypeError, r"x must have bool, .*, got timedelta64"),
    (np.str_("a"), TypeError, r"x must have bool, .*, got <U1"),
    (np.ma.masked_array([1.0]), TypeError, r"x must be .* without a mask, .*filled"),
    (holds_itself(), ValueError, r"x\.1\.again\.1 must be nested at most 64 deep, .* holds itself"),
    (10**4300, ValueError, r"x must have at most 4300 digits"),
    ({"n": -(10**5000)}, ValueError, r"x\.n must have at most"),
]


@pytest.mark.parametrize(
    ("value", "error", "message"), UNKEPT, ids=[message for *_, message in UNKEPT]
)
def test_what_cannot_be_kept_is_named(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        round_trip(value)


@pytest.mark.parametrize("pair", [lambda x: [x, x], lambda x: {"a": x, "b": x}, lambda x: (x, x)])
def test_plain_values_without_end(
    monkeypatch: pytest.MonkeyPatch, pair: Callable[[object], object]
) -> None:
    monkeypatch.setattr(values, "_REPEATS", 1000)
    value: object = [0]
    for _ in range(14):  # with 40 of them it would never end
        value = pair(value)
    with pytest.raises(ValueError, match=r"p must repeat its lists and dicts at most 1000 times"):
        packed({"p": archive.Part("plain", value)})
    # What stands in few places is kept in each; one empty tuple is all that Python has.
    for some in ([[0]] * 1000, [()] * 5000):
        assert_same(round_trip(some), some)


# --- what is refused on the way in ----------------------------------------------------------------


def test_every_truncation_is_refused() -> None:
    for length in range(len(VALID)):
        with pytest.raises(ValueError, match=r"the file is damaged: it does not end .* cut short"):
            parsed(VALID[:length])


def test_every_flipped_bit_is_refused() -> None:
    for place in range(len(VALID)):
        for bit in range(8):
            data = bytearray(VALID)
            data[place] ^= 1 << bit
            with pytest.raises(ValueError, match=r"the file is damaged: .*checksum"):
                parsed(bytes(data))


def test_every_byte_that_is_more() -> None:
    for data in (
        VALID + b"\0",
        VALID * 2,
        VALID + b"\n",
        b"\0" + VALID,
        VALID[:100] + b"\0" + VALID[100:],
    ):
        with pytest.raises(ValueError, match=r"the file is (damaged|not a checkpoint)"):
            parsed(data)


@pytest.mark.parametrize("where", range(0, len(VALID) - 64, effort(7, 1)))
def test_a_flipped_bit_under_the_right_checksum_is_refused_or_read(where: int) -> None:
    data = bytearray(VALID)
    for bit in range(8):
        data[where] ^= 1 << bit
        try:
            contents = parsed(signed(bytes(data)))
        except ValueError as error:
            assert str(error).startswith("the file ")  # noqa: PT017 - either is right
        else:
            # Then it is the file that says exactly this.
            assert contents.parts.keys()
        data[where] ^= 1 << bit


def buffered(a: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, a)
    return file.getvalue()


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{}]), allow_pickle=True)
    return file.getvalue()


def npz(**arrays: Array) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type] # their stubs take the names for options
    return file.getvalue()


FOREIGN: list[tuple[bytes, str]] = [
    (b"no checkpoint at all", r"the file is not a checkpoint of gradstep"),
    (bytes(10_000), r"is not a checkpoint"),
    (npz(a=np.ones(3)), r"is not a checkpoint"),
    (buffered(np.ones(3)), r"is not a checkpoint"),
    (signed(b"x" * 30 + b"gradstep checkpoint 1 sha256=" + bytes(64)), r"damaged: it is too short"),
    (signed(b"gradstep checkpoint 2 sha256=" + bytes(64)), r"newer gradstep, in version 2 .* upgrade"),
    (signed(VALID[:-93] + b"gradstep checkpoint 12 sha256=" + bytes(64)), r"in version 12 of"),
    (signed(b"gradstep checkpoint 0 sha256=" + bytes(64)), r"not a checkpoint"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), FOREIGN)
def test_other_files(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parsed(data)


def header(text: str) -> bytes:
    """Return the header of a .npy file, right but for its text."""
    raw = text.encode()
    size = -(-(10 + len(raw) + 1) // 64) * 64 - 10
    return b"\x93NUMPY\1\0" + struct.pack("<H", size) + raw.ljust(size - 1) + b"\n"


def described(shape: str, dtype: str = "<f4", fortran: str = "False") -> bytes:
    return header(f"{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}")


ARRAYS: list[tuple[bytes, str]] = [
    (b"", r"an array has no header"),
    (b"\x93NUMPY\1\0\xff\xff", r"no header"),
    (b"\x93NUMPY\2\0" + described("(1,)")[8:] + bytes(4), r"has the header"),
    (b"\x93NUMPX\1\0" + described("(1,)")[8:] + bytes(4), r"has the header"),
    (described("(1,)"), r"shape \(1,\) and dtype <f4 has 0 bytes"),
    (described("(1,)") + bytes(3), r"has 3 bytes"),
    (described("(1,)") + bytes(5), r"has 5 bytes"),
    (described("(2, 3)") + bytes(25), r"shape \(2, 3\) .* has 25 bytes"),
    (described("(-1,)") + bytes(4), r"of another kind"),
    (described("(-1, -1)") + bytes(4), r"of another kind"),
    (described("(18446744073709551616,)"), r"has 0 bytes"),
    (described("(4294967296, 4294967296)"), r"has 0 bytes"),
    (described("(4611686018427387904,)"), r"has 0 bytes"),  # times 4 it is 0 in 64 bits
    (described("(0, 4611686018427387904, 4611686018427387904)"), r"(too (big|large)|maximum)"),
    (described("(9223372036854775808, 0)"), r"[Mm]aximum"),
    (described(f"({'9' * 1900},)"), r"has 0 bytes"),
    (described(f"({'1, ' * 500})"), r"has the header"),
    (described("(" + ", ".join("1" * 100) + ")") + bytes(4), r"maximum supported dimension"),
    (described("(01,)") + bytes(4), r"has the header"),
    (described("1") + bytes(4), r"of another kind"),
    (described("(1.0,)") + bytes(4), r"of another kind"),
    (described("(1e3,)") + bytes(4), r"of another kind"),
    (described("(1)") + bytes(4), r"has the header"),
    (described("((1,),)") + bytes(4), r"of another kind"),
    (described("(True,)") + bytes(4), r"of another kind"),
    (described("(1,)", dtype="|O") + bytes(8), r"of another kind"),
    (described("(1,)", dtype="|O8") + bytes(8), r"of another kind"),
    (described("(1,)", dtype="<f3") + bytes(3), r"has the header"),
    (described("(1,)", dtype="<f16") + bytes(16), r"has the header"),
    (described("(1,)", dtype="|S4") + bytes(4), r"of another kind"),
    (described("(1,)", dtype="|f4") + bytes(4), r"has the header"),
    (described("(1,)", dtype="|b1") + b"\2", r"a truth value is neither 0 nor 1"),
    (described("(1,)", fortran="true") + bytes(4), r"of another kind"),
    (described("(1,)", fortran="True") + bytes(4), ""),
    (header("{'shape': (1,), 'descr': '<f4', 'fortran_order': False, }") + bytes(4), r"another kind"),
    (header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"), r"another kind"),
    (header("__import__('os').system('true')"), r"of another kind"),
    (header("(" * 3000), r"of another kind"),
    (header("-" * 9000 + "1"), r"of another kind"),
    (described("(1,)")[:-1] + b" " + bytes(4), r"of another kind"),
    (pickled(), r"of another kind"),
    (described("(1,)") + bytes(4), ""),
]  # fmt: skip


@pytest.mark.parametrize(("member", "message"), ARRAYS)
def test_arrays_that_are_forged(member: bytes, message: str) -> None:
    data = with_member(member)
    if message:
        with pytest.raises(ValueError, match=rf"the file is damaged: .*{message}"):
            parsed(data)
    else:
        assert parsed(data).parts["x"].value.shape == (1,)


def state(value: str) -> str:
    return f'{{"x": {{"state": {value}}}}}'


TEXTS: list[tuple[str | bytes, str]] = [
    ("", r"Expecting value"),
    ("[]", r"gradstep\.json does not hold"),
    ("null", r"does not hold"),
    ('{"x": 1}', r"the part 'x' is of no known kind"),
    ('{"x": {}}', r"of no known kind"),
    ('{"x": {"other": 1}}', r"of no known kind"),
    ('{"x": {"plain": 1, "state": 1}}', r"of no known kind"),
    ('{"": {"plain": 1}}', r"a part is called ''"),
    ('{"$x": {"plain": 1}}', r"a part is called '\$x'"),
    ('{"\\ud800": {"plain": 1}}', r"a part is called '\\ud800'"),
    ('{"x": {"plain": 1}, "x": {"plain": 2}}', r"a key stands twice"),
    (state('{"a": 1, "a": 2}'), r"a key stands twice"),
    (state("[" * 100 + "]" * 100), r"nested more than 64 deep"),
    (state("[" * 100_000 + "]" * 100_000), r"nested too deeply"),
    (state('{"a":' * 20_000 + "1" + "}" * 20_000), r"nested too deeply"),
    (state('{"$tuple": [' * 70 + "]}" * 70), r"nested"),
    (state("[" * 100_000), r"nested too deeply|Expecting value"),
    (state("1" * 4302), r"more than 4300 digits"),
    (state("-" + "1" * 1_000_000), r"more than 4300 digits"),
    (state("1e999"), r"beyond any float"),
    (state("-1" + "0" * 400 + ".5"), r"beyond any float"),
    (state("NaN"), r"NaN is not a number"),
    (state("-Infinity"), r"-Infinity is not a number"),
    (state("01"), r"delimiter"),
    (state('"\\ud800"'), r"half of a surrogate pair"),
    (state('{"\\udc00": 1}'), r"half of a surrogate pair"),
    (state('"\n"'), r"control character"),
    (b'{"x": {"state": "\xff"}}', r"utf-8"),
    (b'{"x": {"state": "\xed\xa0\x80"}}', r"utf-8"),
    (state('{"$array": "none.npy"}'), r"the array 'none\.npy' is not in the file, or is named twice"),
    (state('{"$array": "gradstep.json"}'), r"is not in the file"),
    (state('{"$array": 1}'), r"a value is marked '\$array', with int behind it"),
    (state('{"$array": "a.npy", "b": 1}'), r"'\$array' stands beside other keys"),
    (state('{"$new": 1}'), r"marked '\$new'"),
    (state('{"$tuple": {}}'), r"marked '\$tuple', with dict"),
    (state('{"$tuple": "ab"}'), r"marked '\$tuple', with str"),
    (state('{"$dict": [1]}'), r"not a list of keys and values"),
    (state('{"$dict": ["ab"]}'), r"not a list of keys"),
    (state('{"$dict": [[1, 2, 3]]}'), r"not a list of keys"),
    (state('{"$dict": [[[], 1]]}'), r"a key of a dict is a list or a dict"),
    (state('{"$dict": [[{"$tuple": [[]]}, 1]]}'), r"a key of a dict is a list"),
    (state('{"$dict": [[1, 1], [1, 2]]}'), r"a key stands twice in a dict"),
    (state('{"$dict": [[1, 1], [true, 2]]}'), r"a key stands twice in a dict"),
    (state('{"$dict": [[{"$array": "a.npy"}, 1]]}'), r"is not in the file"),
    (state('{"$float": "1.5"}'), r"marked '\$float'"),
    (state('{"$float": 1.5}'), r"marked '\$float', with float"),
    (state('{"$scalar": []}'), r"a scalar is not a dtype and bytes"),
    (state('{"$scalar": ["|O8", "00"]}'), r"a scalar has the dtype '\|O8'"),
    (state('{"$scalar": ["<f4", "00"]}'), r"a scalar of dtype '<f4' has 1 bytes"),
    (state('{"$scalar": ["<f4", "0000000000"]}'), r"a scalar of dtype '<f4' has 5 bytes"),
    (state('{"$scalar": ["<f4", "zz"]}'), r"hexadecimal"),
    (state('{"$scalar": ["|b1", "02"]}'), r"neither 0 nor 1"),
    (state('{"$text": "zz"}'), r"hexadecimal"),
    (state('{"$text": "ff"}'), r"utf-8"),
    (state("1"), r"the array 'a\.npy' belongs to no part"),
    (state('[{"$array": "a.npy"}, {"$array": "a.npy"}]'), r"or is named twice"),
    ('{"x": {"plain": [{"$array": "a.npy"}]}}', r"the plain part 'x' holds arrays"),
    ('{"x": {"arrays": {"$array": "a.npy"}}}', r"the part 'x' is not a dict of arrays"),
    ('{"x": {"arrays": {"a": {"$array": "a.npy"}, "b": 1}}}', r"not a dict of arrays"),
    ('{"x": {"arrays": {"$dict": [[1, {"$array": "a.npy"}]]}}}', r"not a dict of arrays"),
    (state('{"$array": "a.npy"}'), ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), TEXTS, ids=lambda value: str(value)[:40])
def test_texts_that_are_forged(text: str | bytes, message: str) -> None:
    data = holding(text, a=np.ones(1))
    if message:
        with pytest.raises(ValueError, match=rf"the file is damaged: .*{message}"):
            parsed(data)
    else:
        assert parsed(data).parts["x"].value == np.ones(1)


HEADS: list[str] = [
    '{"format": "other", "version": 1, "gradstep": "0", "parts": {}}',
    '{"format": "gradstep checkpoint", "version": 2, "gradstep": "0", "parts": {}}',
    '{"format": "gradstep checkpoint", "version": 1, "gradstep": 0, "parts": {}}',
    '{"format": "gradstep checkpoint", "version": 1, "gradstep": "0", "parts": []}',
    '{"format": "gradstep checkpoint", "version": 1, "gradstep": "0"}',
    '{"format": "gradstep checkpoint", "version": 1, "gradstep": "0", "parts": {}, "more": 1}',
]


@pytest.mark.parametrize("head", HEADS)
def test_heads_that_are_forged(head: str) -> None:
    with pytest.raises(ValueError, match=r"damaged: gradstep\.json does not hold what it should"):
        parsed(members(("gradstep.json", head.encode())))


GOOD_HEAD = b'{"format": "gradstep checkpoint", "version": 1, "gradstep": "0", "parts": {}}'


def entry_of(data: bytes, number: int) -> int:
    """Return where an entry of the directory begins."""
    at = -1
    for _ in range(number + 1):
        at = data.index(b"PK\1\2", at + 1)
    return at


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return signed(data[:at] + new + data[at + len(new) :])


def zips() -> dict[str, tuple[bytes, str]]:
    two = members(("gradstep.json", GOOD_HEAD), ("a.npy", b"aaaa"), ("b.npy", b"bbbb"))
    second, third = entry_of(two, 1), entry_of(two, 2)
    extra = second + 46 + len("a.npy") + 4  # its size, its size again, its offset
    ends = two.index(b"PK\6\6")
    huge = struct.pack("<Q", 2**64 - 1)
    return {
        "empty": (members(), r"Expecting value"),
        "no head": (members(("a.npy", b"")), r"Expecting value|no header"),
        "no array": (
            members(("gradstep.json", GOOD_HEAD), ("a", described("()"))),
            r"header|no array|bytes",
        ),
        "a foreign member": (
            members(("gradstep.json", GOOD_HEAD), ("a", described("(0,)"))),
            r"a member is not an array",
        ),
        "twice": (
            members(("gradstep.json", GOOD_HEAD), ("a.npy", b"1"), ("a.npy", b"2")),
            r"one of them twice",
        ),
        "two heads": (members(("gradstep.json", GOOD_HEAD), ("gradstep.json", b"{}")), r"twice"),
        "deflated": (patched(two, second + 10, b"\x08"), r"an entry of its directory"),
        "encrypted": (patched(two, second + 8, b"\x09"), r"an entry of its directory"),
        "with a comment": (patched(two, second + 32, b"\1"), r"an entry of its directory"),
        "other sizes": (patched(two, second + 20, b"\1\0\0\0"), r"an entry of its directory"),
        "a name without end": (patched(two, second + 28, b"\xff\xff"), r"its directory breaks off"),
        "no name": (patched(two, second + 28, b"\0\0"), r"directory"),
        "huge": (patched(two, extra, huge * 2), r"the member b'a\.npy' is not where or what"),
        "too large": (patched(two, extra, struct.pack("<2Q", 9999, 9999)), r"member b'a\.npy'"),
        "too small": (patched(two, extra, struct.pack("<2Q", 3, 3)), r"member b'a\.npy'"),
        "two sizes": (patched(two, extra, struct.pack("<2Q", 4, 5)), r"an entry of its directory"),
        "before": (patched(two, extra + 16, bytes(8)), r"member b'a\.npy'"),
        "beyond": (patched(two, extra + 16, huge), r"member b'a\.npy'"),
        "overlapping": (
            patched(two, third + 46 + 5 + 20, two[extra + 16 : extra + 24]),
            r"member b'b\.npy'",
        ),
        "another crc": (patched(two, second + 16, b"\0\0\0\0"), r"member b'a\.npy'"),
        "a directory elsewhere": (patched(two, ends + 48, huge), r"directory is not where"),
        "a directory too large": (patched(two, ends + 40, huge), r"directory is not where"),
        "a directory without end": (
            patched(two, ends + 40, struct.pack("<2Q", ends, 0)),
            r"an entry of its directory|breaks off",
        ),
        "no directory": (
            patched(two, ends + 40, struct.pack("<2Q", 0, ends)),
            r"the end of its directory",
        ),
        "more members": (patched(two, ends + 32, huge), r"the end of its directory"),
        "something between": (
            members(("gradstep.json", GOOD_HEAD), between=b"between"),
            r"its directory does not list all members",
        ),
        "a member that is not listed": (
            members(("gradstep.json", GOOD_HEAD), between=two[two.index(b"PK\3\4", 4) : second]),
            r"its directory does not list all members",
        ),
        "something before an entry": (
            signed(members(("gradstep.json", GOOD_HEAD)).replace(b"PK\1\2", b"PK\0\0PK\1\2", 1)),
            r"directory",
        ),
        "another local name": (
            patched(two, two.index(b"a.npy"), b"c"),
            r"the member b'a\.npy' is not where",
        ),
    }


@pytest.mark.parametrize("name", zips())
def test_zips_that_are_forged(name: str) -> None:
    data, message = zips()[name]
    with pytest.raises(ValueError, match=rf"the file is damaged: .*({message})"):
        parsed(data)


def test_reading_takes_no_more_memory_than_the_file() -> None:
    data = written(packed({"p": archive.Part("arrays", {"W": np.ones(2**22)})}))
    forged = [with_member(described(f"({10**k},)")) for k in range(20)]
    tracemalloc.start()
    parsed(data)
    for file in forged:
        with pytest.raises(ValueError, match="damaged"):
            parsed(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


# What takes much memory for few bytes, as JSON and what it becomes.
LARGE_INSIDE = {
    "dicts": "{}",
    "lists": "[[]]",
    "deep": "[" * 58 + "]" * 58,
    "deep dicts": '{"":' * 58 + "0" + "}" * 58,
    "keys": '{"": {"": 0}}',
    "strings": '"ab"',
    "wide": '"' + "a" * 9999 + '\\ud83d\\ude00"',
    "numbers": "1e5",
    "tuples": '{"$tuple": [[]]}',
    "pairs": '{"$dict": [[0, 0]]}',
    "marks": '{"$float": "nan"}',
    "arrays": '{"$array": "#.npy"}',
}


def peak_of_reading(data: bytes) -> int:
    tracemalloc.start()
    parsed(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("name", LARGE_INSIDE)
@pytest.mark.parametrize("end", ["0", '"\U0001f600"'])  # which takes four bytes for each byte
def test_a_file_never_takes_more_memory_than_is_said(name: str, end: str) -> None:
    inside = LARGE_INSIDE[name]
    values = [inside] * (effort(2**15, 2**21) // len(inside))
    arrays = {}
    if name == "arrays":
        arrays = {str(i): np.zeros(0, np.uint8) for i in range(effort(500, 5000))}
        values = [inside.replace("#", key) for key in arrays]
    data = holding(state("[" + ",".join([*values, end]) + "]"), **arrays)
    assert peak_of_reading(data) + len(data) < 64 * len(data)


HISTORIES: list[tuple[Any, float]] = [
    ([i / 7 for i in range(20_000)], 9),
    ([i / 2 for i in range(20_000)], 9),
    ([*range(300, 20_300)], 9),
    ([{"epoch": i, "loss": i / 7} for i in range(9000)], 30),
    ([{"a": i} for i in range(9000)], 30),
]


@pytest.mark.parametrize(("history", "times"), HISTORIES)
def test_what_a_long_history_takes(history: Any, times: float) -> None:
    data = written(packed({"history": archive.Part("plain", history)}))
    assert peak_of_reading(data) + len(data) < times * len(data)


def test_long_histories() -> None:
    losses = np.random.default_rng(0).random(effort(100_000, 1_000_000)).tolist()
    dicts = [{"epoch": i, "loss": loss} for i, loss in enumerate(losses[::5])]
    history = {"losses": losses, "dicts": dicts, "W": np.ones(3)}
    assert str(round_trip(history)) == str(history)


def test_writing_takes_no_second_copy(tmp_path: Path) -> None:
    a = np.ones((2**10, 2**12))
    for view in (a, a.T, a[::2, ::-1]):
        contents = packed({"p": archive.Part("arrays", {"W": view})})
        tracemalloc.start()
        archive.write(contents, lambda data: None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**22 + 2**20
