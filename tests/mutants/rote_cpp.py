"""The rote changes of a C++ source.

A tokenizer leaves comments, strings and preprocessor lines alone. It relies on clang-format: an operator
with a space on either side has two operands, and any other `<` opens a template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rote import SWAPPED, Change, other_number

_TOKEN = re.compile(
    r"(?P<skipped>//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*)"
    r"|(?P<text>R\"\((?:.*?)\)\"|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])+')"
    r"|(?P<number>0x[\da-fA-F.]+(?:p[+-]?\d+)?\w*|\.?\d(?:[eE][+-]|[\w.'])*)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign><=>|<<=|>>=|->|::|\+\+|--|<<|[-+*/%&|^<>=!]=|&&|\|\||[^\s\w])",
    re.DOTALL | re.MULTILINE,
)
_ARITHMETIC = {"+", "-", "*", "/", "%", "|"}
_TWO_OPERANDS = _ARITHMETIC | {
    "<",
    "<=",
    ">",
    ">=",
    "==",
    "!=",
    "&&",
    "||",
    "&",
    "+=",
    "-=",
    "*=",
    "/=",
}
# What a number or an array passes through on its way.
_PASSED = {"bounded", "copy_of", "flush_below", "magnitude", "settle", "square_root"}
_OPEN, _CLOSE = "([{", ")]}"
# What ends an operand of `&&` or `||`, and a condition in front of `?`.
_ENDS = {",", ";", "=", "?", ":", "return", "&&", "||", "{", "}"}
_NO_STATEMENTS = {
    "return", "using", "typedef", "template", "class", "struct", "enum", "const", "constexpr", "static",
    "auto", "for", "if", "while", "do", "switch", "case", "default", "else", "break", "continue", "throw",
    "try", "catch", "public", "private", "protected", "namespace", "extern", "inline", "friend", "goto",
    "static_assert", "explicit", "operator", "virtual", "void", "bool", "int", "double", "float", "char",
}  # fmt: skip


class _Finder:
    """Collects the changes of one source."""

    def __init__(self, text: str) -> None:
        self.text = text
        matches = [m for m in _TOKEN.finditer(text) if m.lastgroup != "skipped"]
        self.tokens = [m[0] for m in matches]
        self.kinds = [m.lastgroup for m in matches]
        self.spans = [m.span() for m in matches]
        self.partner = self._partners()
        self.found: list[Change] = []
        for i, token in enumerate(self.tokens):
            if self.kinds[i] == "number":
                self._instead("constant", i, i, other_number(token))
            elif self.kinds[i] == "name":
                self._name(i, token)
            elif self.kinds[i] == "sign":
                self._sign(i, token)
            if token in (";", "{", "}") or (token == ":" and self._ends_label(i)):
                self._statement(i + 1)

    def _partners(self) -> dict[int, int]:
        partner, open_ones = {}, []
        for i, token in enumerate(self.tokens):
            if token in _OPEN:
                open_ones.append(i)
            elif token in _CLOSE:
                partner[i] = open_ones.pop()
                partner[partner[i]] = i
        return partner

    def _instead(self, kind: str, first: int, last: int, new: str) -> None:
        """Put other text in the place of some tokens."""
        self.found.append(Change(kind, self.spans[first][0], self.spans[last][1], new))

    def _end(self, i: int, way: int, beyond: set[str] | None = None) -> int:
        """Return the last token of the operand that begins beside token `i`, going one way.

        It may reach beyond arithmetic, or beyond these operators alone.
        """
        i += way
        while 0 <= i < len(self.tokens) and self.tokens[i] not in _ENDS:
            if self.tokens[i] in (_OPEN if way < 0 else _CLOSE):
                break
            if beyond is not None and self._joins(i) and self.tokens[i] not in beyond:
                break
            i = self.partner.get(i, i) + way
        return i - way

    def _joins(self, i: int) -> bool:
        """Whether a token is an operator between two operands."""
        start, stop = self.spans[i]
        spaces = self.text[start - 1].isspace() and self.text[stop].isspace()
        return self.tokens[i] in _TWO_OPERANDS and spaces

    def _name(self, i: int, token: str) -> None:
        if token in ("if", "while") and self.tokens[i + 1] == "(":
            stop = self.partner[i + 1]
            if not {";", "="} & {*self.tokens[i + 2 : stop]}:
                self._instead("never", i + 2, stop - 1, "false")
                if token == "if":
                    self._instead("always", i + 2, stop - 1, "true")
        elif token == "return" and self.tokens[i + 1] not in (";", "{", "true", "false"):
            self._instead("result", i + 1, self._statement_end(i), "{}")
        elif token in ("true", "false"):
            self._instead("constant", i, i, "false" if token == "true" else "true")
        elif token in ("break", "continue"):
            self._instead("loop", i, i, "continue" if token == "break" else "break")
        elif token in ("min", "max", "any_of", "all_of"):
            self._instead("function", i, i, SWAPPED[token])
        elif token in _PASSED and self.tokens[i + 1] == "(" and self._is_called(i):
            comma = i + 2
            while self.tokens[comma] not in (",", ")"):
                comma = self.partner.get(comma, comma) + 1
            argument = self._text(i + 2, comma - 1)
            self._instead("call dropped", i, self.partner[i + 1], f"({argument})")

    def _is_called(self, i: int) -> bool:
        return self.tokens[i - 1] == "return" or self.kinds[i - 1] != "name"

    def _sign(self, i: int, token: str) -> None:
        if self._joins(i) and "text" not in self.kinds[i - 1 : i + 2]:
            self._instead("operator", i, i, SWAPPED.get(token, "*"))
            if token in _ARITHMETIC:
                last = self._end(i, 1, {"*", "/", "%"} if token in "+-" else set())
                self._instead("operand dropped", i, last, "")
        if token in ("&&", "||") and self._joins(i):
            first, last = self._end(i, -1), self._end(i, 1)
            self._instead("operand dropped", first, last, self._text(i + 1, last))
            self._instead("operand dropped", first, last, self._text(first, i - 1))
        elif token == "?":
            first = self._condition_start(i)
            self._instead("never", first, i - 1, "false")
            self._instead("always", first, i - 1, "true")
        elif token in ("-", "!") and self._is_unary(i):
            self._instead("sign", i, i, "")
        elif token in ("++", "--") and self.tokens[i + 2 : i + 3] != [")"]:
            # That of a loop is left: it would never end.
            self._instead("operator", i, i, SWAPPED[token])

    def _is_unary(self, i: int) -> bool:
        start, stop = self.spans[i]
        before = self.text[start - 1].isspace() or self.tokens[i - 1] in _OPEN
        return before and not self.text[stop].isspace()

    def _condition_start(self, i: int) -> int:
        first = self._end(i, -1)
        while self.tokens[first - 1] in ("&&", "||"):
            first = self._end(first - 1, -1)
        return first

    def _text(self, first: int, last: int) -> str:
        return self.text[self.spans[first][0] : self.spans[last][1]]

    def _statement_end(self, i: int) -> int:
        """Return the token in front of the `;` that ends the statement with token `i`."""
        while i < len(self.tokens) and self.tokens[i] not in (";", *_CLOSE):
            i = self.partner.get(i, i) + 1
        return i - 1

    def _ends_label(self, i: int) -> bool:
        while i > 0 and self.tokens[i - 1] not in (";", "{", "}"):
            i -= 1
        return self.tokens[i] in ("case", "default")

    def _statement(self, first: int) -> None:
        """Drop the statement that begins with this token, where it is a call, assignment or guard."""
        head = self.tokens[first : first + 2]
        if head in (["for", "("], ["while", "("], ["if", "constexpr"]):
            first = self.partner[first + 1 + (head[0] == "if")] + 1
        if first >= len(self.tokens):
            return
        last = self._statement_end(first)
        if last + 1 >= len(self.tokens) or self.tokens[last + 1] != ";" or last < first:
            return
        if self._acts(first, last) or self._guards(first, last):
            self._instead("statement dropped", first, last, "")

    def _acts(self, first: int, last: int) -> bool:
        """Whether the statement is a call or an assignment, and no declaration."""
        names = [self.kinds[i] == "name" for i in range(first, last + 1)]
        if self.tokens[first] in _NO_STATEMENTS or not (names[0] or self.tokens[first] in "(*"):
            return False
        at = first
        while at < last and self.tokens[at] not in (*_OPEN, "="):
            if names[at - first] and names[at - first + 1]:
                return False  # a type and a name
            if self.tokens[at] in "<*&" and at > first and names[at - first - 1]:
                return False
            at += 1
        return last > first

    def _guards(self, first: int, last: int) -> bool:
        """Whether the statement declares what nobody mentions again, and so acts by being there."""
        at = last
        if self.tokens[at] == ")":
            at = self.partner[at] - 1
        if at <= first or self.kinds[at] != "name" or self.kinds[at - 1] not in ("name", "sign"):
            return False
        if self.tokens[first] != "const" or "=" in self.tokens[first:last]:
            return False
        depth = 0
        for token in self.tokens[last + 1 :]:
            depth += (token == "{") - (token == "}")
            if depth < 0 or token == self.tokens[at]:
                return depth < 0
        return False


def changes(text: str) -> Iterator[Change]:
    """Yield the changes of a source."""
    yield from _Finder(text).found
