"""The rote changes of a Python source.

Changes are found in the syntax tree, so strings, comments and annotations are left alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from rote import SWAPPED, Change, other_number

COPIES = {"abs", "copy", "deepcopy", "dict", "list", "sorted", "tuple"}


class _Finder:
    """Collects the changes of one source. Positions of `ast` count bytes, so the text is bytes."""

    def __init__(self, text: str) -> None:
        self.data = text.encode()
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.found: list[Change] = []
        self._visit(ast.parse(text))

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self.starts[node.lineno - 1] + node.col_offset

    def _stop(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, start: int, stop: int) -> str:
        return self.data[start:stop].decode()

    def _whole(self, node: ast.expr | ast.stmt) -> str:
        return self._text(self._start(node), self._stop(node))

    def _change(self, kind: str, start: int, stop: int, new: str) -> None:
        # From bytes to characters.
        begin = len(self._text(0, start))
        self.found.append(Change(kind, begin, begin + len(self._text(start, stop)), new))

    def _instead(self, kind: str, node: ast.expr | ast.stmt, new: str) -> None:
        self._change(kind, self._start(node), self._stop(node), new)

    def _between(self, kind: str, left: ast.expr, right: ast.expr) -> None:
        """Swap the operator between two operands."""
        start, stop = self._stop(left), self._start(right)
        # Parentheses may stand around an operand.
        match = re.search(r"[^\s()#]+(\s+(in|not)\b)?", self._text(start, stop))
        if match and match[0] in SWAPPED:
            at = start + match.start()  # operators are ASCII
            self._change(kind, at, at + len(match[0]), SWAPPED[match[0]])

    def _visit(self, node: ast.AST) -> None:
        getattr(self, f"_{type(node).__name__}", lambda _: None)(node)
        for field, child in ast.iter_fields(node):
            if field in ("annotation", "returns", "format_spec"):
                continue
            for one in child if isinstance(child, list) else [child]:
                if isinstance(one, ast.AST) and not isinstance(one, ast.JoinedStr):
                    self._visit(one)

    # Conditions and operators

    def _condition(self, test: ast.expr) -> None:
        self._instead("never", test, "False")
        self._instead("always", test, "True")

    def _If(self, node: ast.If | ast.IfExp) -> None:
        self._condition(node.test)

    _IfExp = _If

    def _While(self, node: ast.While) -> None:
        self._instead("never", node.test, "False")

    def _comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._condition(test)

    def _Compare(self, node: ast.Compare) -> None:
        for left, right in zip([node.left, *node.comparators], node.comparators, strict=False):
            self._between("operator", left, right)

    def _BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between("operator", left, right)
        for value in node.values:
            rest = [f"({self._whole(v)})" for v in node.values if v is not value]
            word = " and " if isinstance(node.op, ast.And) else " or "
            self._instead("operand dropped", node, f"({word.join(rest)})")

    def _BinOp(self, node: ast.BinOp) -> None:
        joins_text = '"' in self._whole(node)
        if not joins_text and not isinstance(node.op, ast.BitOr):  # which joins types
            self._between("operator", node.left, node.right)
            self._instead("operand dropped", node, f"({self._whole(node.left)})")

    def _UnaryOp(self, node: ast.UnaryOp) -> None:
        self._instead("sign", node, f"({self._whole(node.operand)})")

    def _Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._instead("constant", node, str(not node.value))
        elif isinstance(node.value, int | float):
            self._instead("constant", node, other_number(self._whole(node)))

    # Calls

    def _Call(self, node: ast.Call) -> None:
        name = node.func
        called = name.id if isinstance(name, ast.Name) else getattr(name, "attr", "")
        if called in SWAPPED:
            stop = self._stop(name)
            self._change("function", stop - len(called), stop, SWAPPED[called])
        if called in COPIES:
            if isinstance(name, ast.Attribute) and called == "copy":
                self._instead("copy dropped", node, self._whole(name.value))
            elif len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
                self._instead("copy dropped", node, f"({self._whole(node.args[0])})")
        for keyword in node.keywords:
            if keyword.arg:
                start = self.starts[keyword.lineno - 1] + keyword.col_offset
                stop = self._stop(keyword.value)
                # The comma goes with it: `f(*, a)` takes none in front of it.
                match = re.match(rb"\s*,\s*", self.data[stop:])
                self._change("argument dropped", start, stop + (match.end() if match else 0), "")

    # Statements

    def _Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self._instead("statement dropped", node, "pass")

    def _Assign(self, node: ast.Assign) -> None:
        # Without its value a plain name is an error at its first use.
        if not all(isinstance(target, ast.Name) for target in node.targets):
            self._instead("statement dropped", node, "pass")

    def _AugAssign(self, node: ast.AugAssign) -> None:
        self._instead("statement dropped", node, "pass")
        self._between("operator", node.target, node.value)

    def _Delete(self, node: ast.Delete) -> None:
        self._instead("statement dropped", node, "pass")

    def _With(self, node: ast.With) -> None:
        if not any(item.optional_vars for item in node.items):
            start, stop = self._start(node), self._stop(node.items[-1].context_expr)
            self._change("with dropped", start, stop, "if True")

    def _Return(self, node: ast.Return) -> None:
        if node.value is not None and self._whole(node.value) not in ("None", "True", "False"):
            self._instead("result", node.value, "None")

    def _Break(self, node: ast.Break) -> None:
        self._instead("loop", node, "continue")

    def _Continue(self, node: ast.Continue) -> None:
        self._instead("loop", node, "break")

    def _ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self._instead("exception", node.type, "ZeroDivisionError")


def changes(text: str) -> Iterator[Change]:
    """Yield the changes of a source."""
    yield from _Finder(text).found
