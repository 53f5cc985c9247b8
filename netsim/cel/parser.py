"""Tokens to a tree: operator precedence (Pratt), and the macros, which are calls in writing only."""

from __future__ import annotations

from netsim.cel.ast import Call, ListNode, Literal, Macro, MapNode, Name, Node, Select, children
from netsim.cel.errors import CompileError, Issue
from netsim.cel.lexer import RESERVED, Token, syntax, tokens

BINARY = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "in": 3, "+": 4, "-": 4, "*": 5, "/": 5,
    "%": 5,
}  # fmt: skip
_WORDS = {"true": ("bool", True), "false": ("bool", False), "null": ("null", None)}
_LOGIC = 2
"""The rank up to which operators are && and ||."""
_DEEPEST = 120
_MACROS = {
    ("all", 2): 1, ("exists", 2): 1, ("exists_one", 2): 1, ("existsOne", 2): 1, ("map", 2): 1, ("map", 3): 1,
    ("filter", 2): 1, ("sortBy", 2): 1, ("optMap", 2): 1, ("optFlatMap", 2): 1, ("all", 3): 2, ("exists", 3): 2,
    ("existsOne", 3): 2, ("transformList", 3): 2, ("transformList", 4): 2, ("transformMap", 3): 2,
    ("transformMap", 4): 2, ("transformMapEntry", 3): 2, ("transformMapEntry", 4): 2,
}  # fmt: skip
"""(name, number of arguments) of a macro -> how many of these are variables."""


def parse(text: str) -> Node:
    """The tree of an expression; raises CompileError."""
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokens(text))
        self._next = 0
        self._depth = 0

    def whole(self) -> Node:
        found = self._expression()
        if self._peek().kind != "end":
            raise self._unexpected(self._peek())
        if _is_deep(found):
            raise syntax(self._text, found.at, "expression recursion limit exceeded")
        return found

    # --- tokens

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _accept(self, mark: str) -> Token | None:
        return self._take() if self._peek().kind == "mark" and self._peek().value == mark else None

    def _expect(self, mark: str) -> Token:
        found = self._accept(mark)
        if found is None:
            raise self._unexpected(self._peek(), f" expecting '{mark}'")
        return found

    def _unexpected(self, token: Token, expected: str = "") -> CompileError:
        return syntax(self._text, token.at, f"mismatched input '{token.value}'{expected}")

    def _name(self) -> Token:
        token = self._take()
        if token.kind != "name":
            raise self._unexpected(token, " expecting IDENTIFIER")
        return token

    # --- operators

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise syntax(self._text, self._peek().at, "expression recursion limit exceeded")
        condition = self._binary(1)
        mark = self._accept("?")
        if mark is not None:
            then = self._binary(1)
            self._expect(":")
            condition = Call(mark.at, "_?_:_", None, [condition, then, self._expression()])
        self._depth -= 1
        return condition

    def _binary(self, least: int) -> Node:
        left = self._unary()
        while True:
            token = self._peek()
            rank = BINARY.get(token.text, 0)
            if rank < least:
                return left
            left = self._chain(left, token.text, rank) if rank <= _LOGIC else self._pair(left, rank)

    def _pair(self, left: Node, rank: int) -> Node:
        token = self._take()
        function = "@in" if token.value == "in" else f"_{token.value}_"
        return Call(token.at, function, None, [left, self._binary(rank + 1)])

    def _chain(self, left: Node, mark: str, rank: int) -> Node:
        """a && b && c …: as flat a tree as can be, for there may be hundreds."""
        terms, places = [left], []
        while (found := self._accept(mark)) is not None:
            places.append(found.at)
            terms.append(self._binary(rank + 1))
        return _balanced(f"_{mark}_", terms, places)

    def _unary(self) -> Node:
        token = self._peek()
        if token.kind != "mark" or token.value not in "!-":
            return self._member(self._primary())
        self._take()
        follower = self._peek()
        if token.value == "-" and follower.kind in ("int", "double"):
            self._take()
            return self._member(self._literal(Token(follower.kind, -follower.value, token.at)))
        self._depth += 1
        if self._depth > _DEEPEST:
            raise syntax(self._text, token.at, "expression recursion limit exceeded")
        operand = self._unary()
        self._depth -= 1
        return Call(token.at, "!_" if token.value == "!" else "-_", None, [operand])

    # --- operands

    def _primary(self) -> Node:
        token = self._take()
        if token.kind in ("int", "uint", "double", "string", "bytes"):
            return self._literal(token)
        if token.kind == "name":
            return self._identifier(token)
        if token.text == "(":
            inside = self._expression()
            self._expect(")")
            return inside
        if token.text == "[":
            return self._list(token)
        if token.text == "{":
            return self._map(token)
        if token.text == "." and self._peek().kind == "name":
            return self._identifier(self._take())
        raise self._unexpected(token)

    def _literal(self, token: Token) -> Literal:
        if token.kind == "int" and token.value > 2**63 - 1:
            raise CompileError(self._text, [Issue(token.at, "invalid int literal")])
        return Literal(token.at, token.kind, token.value)

    def _identifier(self, token: Token) -> Node:
        name = str(token.value)
        if name in _WORDS:
            return Literal(token.at, *_WORDS[name])
        if name == "in":
            raise self._unexpected(token)
        if name in RESERVED:
            raise CompileError(self._text, [Issue(token.at, f"reserved identifier: {name}")])
        mark = self._accept("(")
        if mark is None:
            return Name(token.at, name)
        arguments = self._arguments(")")
        return self._has(mark, arguments) if name == "has" else Call(mark.at, name, None, arguments)

    def _has(self, mark: Token, arguments: list[Node]) -> Node:
        field = arguments[0] if len(arguments) == 1 else None
        if not isinstance(field, Select) or field.test:
            raise CompileError(self._text, [Issue(mark.at, "invalid argument to has() macro")])
        return Select(mark.at, field.operand, field.field, field.optional, True)

    def _arguments(self, end: str) -> list[Node]:
        found: list[Node] = []
        while self._accept(end) is None:
            if found:
                self._expect(",")
                if end != ")" and self._accept(end) is not None:
                    break
            found.append(self._expression())
        return found

    def _list(self, start: Token) -> Node:
        items: list[Node] = []
        optional: set[int] = set()
        while self._accept("]") is None:
            if items:
                self._expect(",")
                if self._accept("]") is not None:
                    break
            if self._accept("?") is not None:
                optional.add(len(items))
            items.append(self._expression())
        return ListNode(start.at, items, frozenset(optional))

    def _map(self, start: Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        optional: set[int] = set()
        while self._accept("}") is None:
            if entries:
                self._expect(",")
                if self._accept("}") is not None:
                    break
            if self._accept("?") is not None:
                optional.add(len(entries))
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression()))
        return MapNode(start.at, entries, frozenset(optional))

    # --- what follows an operand

    def _member(self, operand: Node) -> Node:
        while True:
            token = self._peek()
            if token.kind != "mark" or token.value not in (".", "["):
                return operand
            self._take()
            operand = self._index(operand, token) if token.value == "[" else self._field(operand, token)

    def _index(self, operand: Node, mark: Token) -> Node:
        function = "_[?_]" if self._accept("?") is not None else "_[_]"
        key = self._expression()
        self._expect("]")
        return Call(mark.at, function, None, [operand, key])

    def _field(self, operand: Node, mark: Token) -> Node:
        optional = self._accept("?") is not None
        name = self._name()
        call = None if optional else self._accept("(")
        if call is None:
            return Select(mark.at, operand, str(name.value), optional)
        return self._method(operand, str(name.value), call)

    def _method(self, operand: Node, name: str, mark: Token) -> Node:
        arguments = self._arguments(")")
        count = _MACROS.get((name, len(arguments)))
        if count is None:
            return Call(mark.at, name, operand, arguments)
        variables = [self._variable(argument) for argument in arguments[:count]]
        if len(set(variables)) < count:
            raise CompileError(self._text, [Issue(arguments[1].at, "duplicate iteration variable")])
        name = "exists_one" if name == "existsOne" else name
        return Macro(mark.at, name, operand, tuple(variables), arguments[count:])

    def _variable(self, argument: Node) -> str:
        if not isinstance(argument, Name):
            raise CompileError(self._text, [Issue(argument.at, "argument must be a simple name")])
        return argument.name


def _balanced(function: str, terms: list[Node], places: list[int]) -> Node:
    """The terms joined two by two."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    left = _balanced(function, terms[:middle], places[: middle - 1])
    right = _balanced(function, terms[middle:], places[middle:])
    return Call(places[middle - 1], function, None, [left, right])


def _is_deep(node: Node) -> bool:
    """Whether the tree is too deep to be walked down: long chains of other operators, fields or calls."""
    level = [node]
    for _ in range(_DEEPEST):
        level = [below for each in level for below in children(each)]
        if not level:
            return False
    return True
