r"""
Handlebars templates as a tree: what handlebars.js 4.7 parses, parsed the same way, white space control included.

Read and refused:

    {{name}} {{{name}}} {{&name}}           all the same here, for nothing is escaped
    {{a.b}} {{a/b}} {{../a}} {{this.a}} {{a.[b c]}} {{@index}} {{@root.a}}
    {{#if a}} … {{else if b}} … {{else}} … {{/if}}, {{^a}} … {{/a}}, {{{{raw}}}} … {{{{/raw}}}}
    {{> name context key=value}}, {{#> name}} … {{/name}}, {{#*inline "name"}} … {{/inline}}
    {{! comment }} {{!-- comment --}} {{~ stripped ~}} \{{literally}} (helper a key="b") as |item key|
    an unknown helper, a decorator other than inline, anything nested more than NESTING_MAX deep: TemplateError

Bounded: at most TAGS_MAX tags; every pattern is anchored where it is tried and reads on without going back, so that
time grows with the text's length; recursion ends at NESTING_MAX.

Next: domain/handlebars.py renders the tree. Compared with handlebars.js itself by tests/unit/domain/test_handlebars.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

TAGS_MAX: Final = 20_000
"""Tags of a template: parsed in a second or two at worst."""

NESTING_MAX: Final = 60
"""Blocks within blocks, and expressions within expressions."""


class TemplateError(ValueError):
    """The text is no template, or it asks for more than it may; the text says what and where."""


class Undefined:
    """The type of UNDEFINED, which is what a path gives that leads nowhere; JSON's null is None."""

    def __repr__(self) -> str:
        """For test output."""
        return "undefined"


UNDEFINED: Final = Undefined()


@dataclass(slots=True)
class Path:
    """`../a.b` has depth 1 and the parts a and b; `@` at its front makes it a path into the frame."""

    parts: tuple[str, ...]
    original: str
    depth: int = 0
    is_data: bool = False
    is_scoped: bool = False


@dataclass(slots=True)
class Literal:
    """A text, number, boolean, null or undefined."""

    value: Any


@dataclass(slots=True)
class Sexpr:
    """A helper's name and arguments; also the head of every statement that has arguments."""

    path: Path
    params: tuple[Expression, ...]
    hash: tuple[tuple[str, Expression], ...]
    block_params: tuple[str, ...] = ()

    @property
    def is_call(self) -> bool:
        """It has arguments."""
        return bool(self.params or self.hash)


Expression = Path | Literal | Sexpr


@dataclass(slots=True)
class Strip:
    """Whether white space goes before (`{{~`) and behind (`~}}`) a tag."""

    open: bool = False
    close: bool = False


@dataclass(slots=True)
class Content:
    """Text; `value` is what white space control leaves of `original`."""

    original: str
    value: str
    left_stripped: bool = False
    right_stripped: bool = False


@dataclass(slots=True)
class Comment:
    """Nothing, but it may be alone on its line."""

    strip: Strip


@dataclass(slots=True)
class Mustache:
    """`{{…}}`."""

    head: Sexpr
    strip: Strip
    at: int


@dataclass(slots=True)
class Partial:
    """`{{> name}}`; a name that is an expression is looked up as one."""

    name: str | Sexpr
    context: Expression | None
    hash: tuple[tuple[str, Expression], ...]
    strip: Strip
    at: int
    indent: str = ""


@dataclass(slots=True)
class Block:
    """`{{#…}}…{{/…}}`; either of the programs may be missing. `kind`: block, inline (a decorator) or partial."""

    kind: str
    head: Sexpr
    name: str | Sexpr
    program: Program | None
    inverse: Program | None
    open_strip: Strip
    inverse_strip: Strip
    close_strip: Strip
    at: int


Statement = Content | Comment | Mustache | Partial | Block


@dataclass(slots=True)
class Program:
    """A sequence of statements; `is_chained`: it is one `{{else if}}`."""

    body: list[Statement] = field(default_factory=list)
    is_chained: bool = False
    block_params: tuple[str, ...] = ()


HELPERS: Final = frozenset({"if", "unless", "each", "with", "lookup", "log"})
"""The built-in ones, which are all that there are."""

_BLOCK_HELPERS: Final = frozenset({"if", "unless", "each", "with"})

# JavaScript's \s, which is not quite Python's.
_S: Final = "\\t\\n\\v\\f\\r \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff"
_AHEAD: Final = rf"(?=[=~}}{_S}/.)|])"
_LITERAL_AHEAD: Final = rf"(?=[~}}{_S})])"
_ID: Final = rf"""[^{_S}!"#%-,./;->@\[-^`{{-~]+{_AHEAD}"""

_OPENINGS: Final = re.compile(
    rf"""
    (?P<raw>\{{\{{\{{\{{)
    | (?P<partial>\{{\{{~?>)
    | (?P<partial_block>\{{\{{~?\#>)
    | (?P<block>\{{\{{~?\#\*?)
    | (?P<end>\{{\{{~?/)
    | (?P<inverse>\{{\{{~?\^[{_S}]*~?\}}\}} | \{{\{{~?[{_S}]*else[{_S}]*~?\}}\}})
    | (?P<open_inverse>\{{\{{~?\^)
    | (?P<chain>\{{\{{~?[{_S}]*else\b)
    | (?P<unescaped>\{{\{{~?\{{)
    | (?P<plain>\{{\{{~?&)
    | (?P<long_comment>\{{\{{~?!--)
    | (?P<comment>\{{\{{~?!)
    | (?P<mustache>\{{\{{~?\*?)
    """,
    re.VERBOSE | re.ASCII,
)
"""In the order of handlebars.l: the first that fits is taken."""

_TOKENS: Final = re.compile(
    rf"""
    (?P<sopen>\()
    | (?P<sclose>\))
    | (?P<rawclose>\}}\}}\}}\}})
    | (?P<tag>\{{\{{)
    | (?P<equals>=)
    | (?P<id>\.\. | \.{_AHEAD})
    | (?P<sep>[/.])
    | (?P<unescaped>\}}~?\}}\}})
    | (?P<close>~?\}}\}})
    | (?P<text>"(?:\\"|[^"])*" | '(?:\\'|[^'])*')
    | (?P<data>@)
    | (?P<boolean>(?:true|false){_LITERAL_AHEAD})
    | (?P<undefined>undefined{_LITERAL_AHEAD})
    | (?P<null>null{_LITERAL_AHEAD})
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?{_LITERAL_AHEAD})
    | (?P<params>as[{_S}]+\|)
    | (?P<bar>\|)
    | (?P<name>{_ID})
    | (?P<segment>\[(?:\\\]|[^\]])*\])
    """,
    re.VERBOSE | re.ASCII,
)
_SPACE: Final = re.compile(rf"[{_S}]*")
_RAW_END: Final = re.compile(rf"\{{\{{\{{\{{/({_ID})\}}\}}\}}\}}")
_EMULATED_END: Final = re.compile(r"\\{0,2}\{\{")
_COMMENT_END: Final = re.compile(r"--~?\}\}")


_SIMPLE: Final = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*)\}\}(?!\})", re.ASCII)
"""Most tags of most templates: a path without anything else, which needs no tokens."""
_WORDS: Final = re.compile(r"(?:^|\.)(?:else|this|true|false|null|undefined)(?:\.|$)")


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str) -> Program:
    """
    Parse a template.

    Raises:
        TemplateError: As the module says.
    """
    if "\0" in text:
        raise TemplateError("NUL")
    parser = _Parser(text)
    program, end = parser.program(0)
    if end is not None:
        parser.fail(end.at, "a tag that ends or splits a block, where none is open")
    _control(program, is_root=True)
    return program


class _Parser:
    """Reads statements from the text; tags are cut into tokens as they come."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._tags = 0

    def fail(self, at: int, what: str) -> NoReturn:
        """Refuse the template."""
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        raise TemplateError(f"line {line}, column {column}: {what}")

    def program(self, depth: int) -> tuple[Program, _Token | None]:
        """Read statements up to a tag that belongs to the block around them, or the end (None)."""
        if depth > NESTING_MAX:
            self.fail(self._at, f"blocks nested more than {NESTING_MAX} deep")
        program = Program()
        while True:
            program.body += self._content()
            if self._at >= len(self._text):
                return program, None
            self._tags += 1
            if self._tags > TAGS_MAX:
                self.fail(self._at, f"more than {TAGS_MAX} tags")
            simple = _SIMPLE.match(self._text, self._at)
            if simple and simple[1] not in HELPERS and not _WORDS.search(simple[1]):
                path = Path(tuple(simple[1].split(".")), simple[1])
                program.body.append(Mustache(Sexpr(path, (), ()), Strip(), self._at))
                self._at = simple.end()
                continue
            match = _OPENINGS.match(self._text, self._at)
            if match is None or match.lastgroup is None:  # pragma: no cover (every {{ is an opening)
                self.fail(self._at, "no tag")
            tag = _Token(match.lastgroup, match[0], self._at)
            if tag.kind in {"end", "inverse", "chain"}:
                self._at = match.end()
                return program, tag
            program.body.append(self._statement(tag, match.end(), depth))

    def _content(self) -> list[Statement]:
        r"""Read text up to the next tag; `\{{` makes one text, `\\{{` is a backslash before a tag."""
        found: list[Statement] = []
        text = self._text
        while True:
            at = text.find("{{", self._at)
            if at < 0:
                piece, self._at = text[self._at :], len(text)
                return [*found, Content(piece, piece)] if piece else found
            piece = text[self._at : at]
            escaped = piece.endswith("\\") and not piece.endswith("\\\\")
            piece = piece.removesuffix("\\")
            if piece:
                found.append(Content(piece, piece))
            self._at = at
            if not escaped:
                return found
            end = _EMULATED_END.search(text, at + 2)
            self._at = end.start() if end else len(text)
            piece = text[at : self._at]
            found.append(Content(piece, piece))

    def _statement(self, tag: _Token, end: int, depth: int) -> Statement:
        kind = tag.kind
        if kind in {"comment", "long_comment"}:
            return self._comment(tag)
        self._at = end
        if kind in {"mustache", "plain", "unescaped"}:
            if tag.text.endswith("*"):
                self.fail(tag.at, "a decorator that is no block")
            head, strip = self._head(tag, "unescaped" if kind == "unescaped" else "close")
            self._check_helper(head, tag.at, is_block=False)
            return Mustache(head, strip, tag.at)
        if kind == "partial":
            return self._partial(tag)
        if kind == "partial_block":
            return self._partial_block(tag, depth)
        if kind == "raw":
            return self._raw(tag)
        return self._block(tag, depth)

    def _comment(self, tag: _Token) -> Comment:
        start = tag.at + (4 if tag.text[2] == "~" else 3)
        if tag.kind == "long_comment":
            match = _COMMENT_END.search(self._text, start)
            end = match.end() if match else -1
        else:
            close = self._text.find("}}", start)
            end = close + 2 if close >= 0 else -1
        if end < 0:
            self.fail(tag.at, "a comment without an end")
        self._at = end
        return Comment(Strip(tag.text[2] == "~", self._text[end - 3] == "~"))

    # Tags with expressions in them

    def _next(self) -> _Token:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        match = _TOKENS.match(self._text, self._at)
        if match is None or match.lastgroup is None:
            self.fail(self._at, "a tag without an end" if self._at >= len(self._text) else "an unexpected character")
        token = _Token(match.lastgroup, match[0], self._at)
        self._at = match.end()
        return token

    def _peek(self) -> _Token:
        at = self._at
        token = self._next()
        self._at = at
        return token

    def _head(self, tag: _Token, close: str, *, named: bool = True) -> tuple[Sexpr, Strip]:
        """Read the rest of a tag: name, arguments, block parameters, close."""
        path = self._path_of(self._operand(0), tag.at) if named else Path((), "")
        params, hash_ = self._arguments(0)
        block_params: list[str] = []
        token = self._next()
        if token.kind == "params" and tag.kind in {"block", "open_inverse", "chain"}:
            while (token := self._next()).kind == "name":
                block_params.append(token.text)
            if token.kind != "bar" or not block_params:
                self.fail(token.at, "block parameters are names between bars")
            token = self._next()
        if token.kind != close:
            self.fail(token.at, f"unexpected {token.text[:40]!a} in a tag")
        strip = Strip(tag.text[2:3] == "~", token.text[-3:-2] == "~")
        return Sexpr(path, params, hash_, tuple(block_params)), strip

    def _arguments(self, depth: int) -> tuple[tuple[Expression, ...], tuple[tuple[str, Expression], ...]]:
        params: list[Expression] = []
        hash_: list[tuple[str, Expression]] = []
        while True:
            token = self._peek()
            if token.kind in {"name", "id", "segment"}:
                at = self._at
                name = self._next()
                if self._peek().kind == "equals":
                    self._next()
                    hash_.append((_segment(name), self._operand(depth)))
                    continue
                self._at = at
            elif token.kind not in {"sopen", "data", "text", "boolean", "undefined", "null", "number"}:
                return tuple(params), tuple(hash_)
            if hash_:
                self.fail(token.at, "an argument behind key=value")
            params.append(self._operand(depth))

    def _operand(self, depth: int) -> Expression:  # noqa: PLR0911 (one for each kind)
        """Read one name, literal or expression in parentheses."""
        token = self._next()
        kind = token.kind
        if kind == "sopen":
            if depth >= NESTING_MAX:
                self.fail(token.at, f"expressions nested more than {NESTING_MAX} deep")
            path = self._path_of(self._operand(depth + 1), token.at)
            params, hash_ = self._arguments(depth + 1)
            close = self._next()
            if close.kind != "sclose":
                self.fail(close.at, "a parenthesis is not closed")
            call = Sexpr(path, params, hash_)
            self._check_helper(call, token.at, is_block=False, is_call=True)
            return call
        if kind in {"id", "name", "segment"}:
            return self._path(token, is_data=False)
        if kind == "data":
            return self._path(self._next(), is_data=True)
        if kind == "text":
            quote = token.text[0]
            return Literal(token.text[1:-1].replace("\\" + quote, quote))
        if kind == "number":
            return Literal(float(token.text) if "." in token.text else int(token.text[:400]))
        if kind == "boolean":
            return Literal(token.text == "true")
        if kind in {"null", "undefined"}:
            return Literal(None if kind == "null" else UNDEFINED)
        return self.fail(token.at, f"unexpected {token.text[:40]!a} in a tag")

    def _path(self, token: _Token, *, is_data: bool) -> Path:
        parts: list[str] = []
        depth, original, is_scoped = 0, "@" if is_data else "", False
        separator = ""
        start = token.at
        while True:
            if token.kind not in {"id", "name", "segment"}:
                self.fail(token.at, f"unexpected {token.text[:40]!a} in a path")
            part = _segment(token)
            original += separator + part
            if token.kind != "segment" and part in {"..", ".", "this"}:
                if parts:
                    self.fail(start, f"invalid path: {original[:60]!a}")
                depth += part == ".."
                is_scoped = True
            else:
                parts.append(part)
            space = _SPACE.match(self._text, self._at)
            match = _TOKENS.match(self._text, space.end() if space else self._at)
            if match is None or match.lastgroup != "sep":
                return Path(tuple(parts), original, depth, is_data, is_scoped)
            separator, self._at = match[0], match.end()
            token = self._next()

    def _path_of(self, operand: Expression, at: int) -> Path:
        """A literal where a name belongs names what it looks like."""
        if isinstance(operand, Literal):
            value = operand.value
            name = "null" if value is None else "undefined" if value is UNDEFINED else js_text(value)
            return Path((name,), name)
        if isinstance(operand, Sexpr):
            self.fail(at, "an expression in parentheses where a name belongs")
        return operand

    def _check_helper(self, head: Sexpr, at: int, *, is_block: bool, is_call: bool = False) -> None:
        """Refuse now what no data could make work."""
        path = head.path
        name = path.parts[0] if len(path.parts) == 1 and not (path.is_data or path.is_scoped or path.depth) else ""
        if name not in HELPERS:
            if head.is_call or is_call:
                self.fail(at, f"there is no helper {path.original[:60]!a}")
            return
        wanted = {"log": None, "lookup": 2}.get(name, 1)
        if wanted is not None and len(head.params) != wanted:
            self.fail(at, f"{name} takes {wanted} argument{'' if wanted == 1 else 's'}")
        if name in _BLOCK_HELPERS and not is_block:
            self.fail(at, f"{name} is a block: {{{{#{name} …}}}} … {{{{/{name}}}}}")

    # Blocks and partials

    def _block(self, tag: _Token, depth: int) -> Block:
        head, strip = self._head(tag, "close")
        is_inline = tag.text.endswith("*")
        if is_inline:
            self._check_inline(head, tag.at)
        else:
            self._check_helper(head, tag.at, is_block=True)
        program, end = self.program(depth + 1)
        program.block_params = head.block_params
        inverse: Program | None = None
        inverse_strip = Strip()
        if end is not None and end.kind in {"inverse", "chain"}:
            if is_inline or (tag.kind == "open_inverse" and end.kind == "chain"):
                self.fail(end.at, "else where none belongs")
            inverse, inverse_strip, end = self._inverse(end, depth + 1)
        close_strip = self._end(end, head.path.original, tag.at)
        _give_close_strip(inverse, close_strip)
        block = Block("inline" if is_inline else "block", head, "", program, inverse, strip, inverse_strip, close_strip,
                      tag.at)  # fmt: skip
        if tag.kind == "open_inverse":
            block.program, block.inverse = inverse, program
        return block

    def _inverse(self, tag: _Token, depth: int) -> tuple[Program, Strip, _Token | None]:
        """Read what follows an else: its program, white space flags, and the tag that ended it."""
        if tag.kind == "inverse":
            program, end = self.program(depth)
            return program, Strip(tag.text[2] == "~", tag.text[-3] == "~"), end
        if depth > NESTING_MAX:
            self.fail(tag.at, f"blocks nested more than {NESTING_MAX} deep")
        head, strip = self._head(tag, "close")
        self._check_helper(head, tag.at, is_block=True)
        program, end = self.program(depth)
        program.block_params = head.block_params
        inverse: Program | None = None
        inverse_strip = close_strip = Strip()
        if end is not None and end.kind in {"inverse", "chain"}:
            inverse, inverse_strip, end = self._inverse(end, depth + 1)
            _give_close_strip(inverse, inverse_strip)
            close_strip = inverse_strip
        block = Block("block", head, "", program, inverse, strip, inverse_strip, close_strip, tag.at)
        return Program([block], is_chained=True), strip, end

    def _end(self, tag: _Token | None, name: str, opened_at: int) -> Strip:
        if tag is None or tag.kind != "end":
            self.fail(opened_at, f"{name[:60]!a} is opened here and never closed")
        head, strip = self._head(tag, "close")
        if head.path.original != name or head.is_call:
            self.fail(tag.at, f"{head.path.original[:60]!a} closes {name[:60]!a}")
        return strip

    def _check_inline(self, head: Sexpr, at: int) -> None:
        if head.path.original != "inline" or head.hash or len(head.params) != 1:
            self.fail(at, 'a decorator other than {{#*inline "name"}}')
        if not isinstance(head.params[0], Literal):
            self.fail(at, "an inline partial's name must be a text")

    def _partial_head(self, tag: _Token) -> tuple[str | Sexpr, Sexpr, Strip]:
        operand = self._operand(0)
        head, strip = self._head(tag, "close", named=False)
        if len(head.params) > 1:
            self.fail(tag.at, "a partial takes one context")
        name = operand if isinstance(operand, Sexpr) else self._path_of(operand, tag.at).original
        return name, head, strip

    def _partial(self, tag: _Token) -> Partial:
        name, head, strip = self._partial_head(tag)
        return Partial(name, head.params[0] if head.params else None, head.hash, strip, tag.at)

    def _partial_block(self, tag: _Token, depth: int) -> Block:
        name, head, strip = self._partial_head(tag)
        if not isinstance(name, str):
            self.fail(tag.at, "a partial with a block must be called by its name")
        program, end = self.program(depth + 1)
        close_strip = self._end(end, name, tag.at)
        return Block("partial", head, name, program, None, strip, Strip(), close_strip, tag.at)

    def _raw(self, tag: _Token) -> Block:
        head, _ = self._head(tag, "rawclose")
        self._check_helper(head, tag.at, is_block=True)
        start, open_count = self._at, 1
        while open_count:
            at = self._text.find("{{{{", self._at)
            if at < 0:
                self.fail(tag.at, "a raw block without an end")
            match = _RAW_END.match(self._text, at)
            if match is None:
                self._at = at + 4
                open_count += self._text[self._at : self._at + 1] != "/"
                continue
            self._at = match.end()
            open_count -= 1
        if match is None or match[1] != head.path.original:
            self.fail(at, "a raw block is closed by another name")
        piece = self._text[start:at]
        program = Program([Content(piece, piece)] if piece else [])
        return Block("block", head, "", program, None, Strip(), Strip(), Strip(), tag.at)


def _segment(token: _Token) -> str:
    r"""Give a path's segment: of `[a \] b]` what is between the brackets."""
    if token.kind != "segment":
        return token.text
    return re.sub(r"\\([\\\]])", r"\1", token.text)[1:-1]


def _give_close_strip(inverse: Program | None, close: Strip) -> None:
    """An `{{else if}}` has no closing tag of its own: it takes the flags of the tag that the grammar gives it."""
    if inverse is not None and inverse.is_chained and isinstance(inverse.body[0], Block):
        inverse.body[0].close_strip = close


def js_text(value: Any) -> str:  # noqa: PLR0911 (one for each type)
    """
    Give a JSON value as JavaScript writes it into a text; nothing for null and undefined.

    Whole numbers keep all their digits, where JavaScript has 53 bits of them.
    """
    if isinstance(value, str):
        return value
    if value is None or value is UNDEFINED:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int_text(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, list):
        return ",".join(map(js_text, value))
    return "[object Object]"


def int_text(value: int) -> str:
    """Give a whole number; str() refuses more digits than 4300."""
    try:
        return str(value)
    except ValueError as exc:
        raise TemplateError("a number of thousands of digits") from exc


_PLAIN_MAX: Final = 1e21
_PLAIN_MIN: Final = 1e-6


def _float_text(value: float) -> str:
    """ECMAScript's Number::toString: shortest digits, exponents from 1e21 and below 1e-6."""
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 (not a number)
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value!r}".partition("e")
    sign, mantissa = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if _PLAIN_MIN <= abs(value) < _PLAIN_MAX:
        if point >= len(digits):
            return sign + digits + "0" * (point - len(digits))
        if point > 0:
            return f"{sign}{digits[:point]}.{digits[point:]}"
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    shown = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{sign}{shown}e{'+' if power > 0 else '-'}{abs(power)}"


# White space control: a tag alone on its line takes the line with it. In the words and the order of handlebars.js's
# whitespace-control.js, for the order decides what a text is that two tags touch.


@dataclass(slots=True)
class _Flags:
    open: bool
    close: bool
    open_standalone: bool = False
    close_standalone: bool = False
    inline_standalone: bool = False


def _control(program: Program, *, is_root: bool) -> None:
    body = program.body
    for i, current in enumerate(body):
        flags = _flags(current)
        if flags is None:
            continue
        previous, following = _is_space_before(body, i, is_root=is_root), _is_space_after(body, i, is_root=is_root)
        if flags.close:
            _omit_right(body, i + 1, every=True)
        if flags.open:
            _omit_left(body, i - 1, every=True)
        if flags.inline_standalone and previous and following:
            _omit_right(body, i + 1)
            if _omit_left(body, i - 1) and isinstance(current, Partial):
                current.indent = _indent(body[i - 1])
        if not isinstance(current, Block):
            continue
        if flags.open_standalone and previous:
            _omit_right((current.program or current.inverse or Program()).body, 0)
            _omit_left(body, i - 1)
        if flags.close_standalone and following:
            _omit_right(body, i + 1)
            last = (current.inverse or current.program or Program()).body
            _omit_left(last, len(last) - 1)


def _flags(node: Statement) -> _Flags | None:
    if isinstance(node, Content):
        return None
    if isinstance(node, Mustache):
        return _Flags(node.strip.open, node.strip.close)
    if isinstance(node, Block):
        return _block_flags(node)
    return _Flags(node.strip.open, node.strip.close, inline_standalone=True)


def _block_flags(block: Block) -> _Flags:  # noqa: C901 (as whitespace-control.js has it)
    for part in (block.program, block.inverse):
        if part is not None:
            _control(part, is_root=False)
    program = block.program or block.inverse or Program()
    inverse = block.inverse if block.program is not None else None
    first = last = inverse
    if inverse is not None and inverse.is_chained:
        first = _program_of(inverse.body[0])
        while last is not None and last.is_chained:
            last = _program_of(last.body[-1])
    first_body = (first or program).body
    flags = _Flags(
        block.open_strip.open,
        block.close_strip.close,
        open_standalone=_is_space_after(program.body, -1),
        close_standalone=_is_space_before(first_body, len(first_body)),
    )
    body = program.body
    if block.open_strip.close:
        _omit_right(body, 0, every=True)
    if first is not None and last is not None:
        if block.inverse_strip.open:
            _omit_left(body, len(body) - 1, every=True)
        if block.inverse_strip.close:
            _omit_right(first.body, 0, every=True)
        if block.close_strip.open:
            _omit_left(last.body, len(last.body) - 1, every=True)
        if _is_space_before(body, len(body)) and _is_space_after(first.body, -1):
            _omit_left(body, len(body) - 1)
            _omit_right(first.body, 0)
    elif block.close_strip.open:
        _omit_left(body, len(body) - 1, every=True)
    return flags


def _program_of(node: Statement) -> Program | None:
    return node.program if isinstance(node, Block) else None


_SPACES: Final = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def _at(body: list[Statement], i: int) -> Statement | None:
    return body[i] if 0 <= i < len(body) else None


def _is_space_before(body: list[Statement], i: int, *, is_root: bool = False) -> bool:
    """Nothing but white space stands between the line's beginning and statement i."""
    previous = _at(body, i - 1)
    if previous is None:
        return is_root
    if not isinstance(previous, Content):
        return False
    rest = previous.original.rstrip(_SPACES)
    has_line_end = "\n" in previous.original[len(rest) :]
    is_whole = _at(body, i - 2) is None and is_root and not rest
    return has_line_end or is_whole


def _is_space_after(body: list[Statement], i: int, *, is_root: bool = False) -> bool:
    """Nothing but white space stands between statement i and the line's end."""
    following = _at(body, i + 1)
    if following is None:
        return is_root
    if not isinstance(following, Content):
        return False
    rest = following.original.lstrip(_SPACES)
    has_line_end = "\n" in following.original[: len(following.original) - len(rest)]
    is_whole = _at(body, i + 2) is None and is_root and not rest
    return has_line_end or is_whole


def _omit_right(body: list[Statement], i: int, *, every: bool = False) -> None:
    """Take white space off the beginning of text i: all of it, or up to and with its line's end."""
    current = _at(body, i)
    if not isinstance(current, Content) or (not every and current.right_stripped):
        return
    value = current.value
    value = value.lstrip(_SPACES) if every else value.lstrip(" \t").removeprefix("\r").removeprefix("\n")
    current.right_stripped = value != current.value
    current.value = value


def _omit_left(body: list[Statement], i: int, *, every: bool = False) -> bool:
    """Take white space off the end of text i: all of it, or what its last line has."""
    current = _at(body, i)
    if not isinstance(current, Content) or (not every and current.left_stripped):
        return False
    value = current.value.rstrip(_SPACES if every else " \t")
    current.left_stripped = value != current.value
    current.value = value
    return current.left_stripped


def _indent(previous: Statement) -> str:
    if not isinstance(previous, Content):  # pragma: no cover (_omit_left changed it)
        return ""
    return previous.original[len(previous.original.rstrip(" \t")) :]
