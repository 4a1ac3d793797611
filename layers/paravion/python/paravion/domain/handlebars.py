"""
Handlebars: a template and its data make a text, as handlebars.js 4.7 with `noEscape` makes it.

SES's templates are Handlebars without HTML escaping. This engine is our own: the ones that there are for Python
escape, compile a template into Python code, or know no bound (docs/decisions.md). It never asks a value for an
attribute: data is what JSON has, a name finds an object's own member, a list's element or a length, and nothing else.

Bounded, for a template belongs to whoever wrote it: STEPS_MAX statements, DEPTH_MAX programs within programs, and as
many characters as the caller allows. A template is parsed once and rendered often; rendering changes nothing in it.

`strict` is SES's: a `{{name}}` that the data does not have is an error. What is asked by if, unless, each, with and
sections, or given to a partial, may be missing.

Differs from handlebars.js: whole numbers keep all their digits; there are no helpers but the built-in ones, and an
unknown one is refused when the template is read; `log` writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from paravion.domain.handlebars_syntax import (
    HELPERS,
    UNDEFINED,
    Block,
    Comment,
    Content,
    Expression,
    Literal,
    Mustache,
    Partial,
    Path,
    Program,
    Sexpr,
    TemplateError,
    js_text,
    parse,
)

STEPS_MAX: Final = 250_000
"""Statements of one rendering: less than a second."""

DEPTH_MAX: Final = 60
"""Programs within programs: blocks, and partials that call partials."""

_INDEX_MAX: Final = 2**32 - 1
_INDEX_DIGITS: Final = 10

_NO_CONTEXT: Final[dict[str, Any]] = {}
"""handlebars.js's nullContext: what a helper has for `this` where the context is null."""


class MissingAttribute(TemplateError):
    """The data lacks what a template shows; `name` is the path as it stands there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Attribute '{ascii(name)[1:-1][:100]}' is not present in the rendering data.")
        self.name = name


class RenderingTooLarge(TemplateError):
    """The rendering goes beyond its bounds."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was parsed."""

    program: Program

    def render(self, data: Any, *, strict: bool, characters_max: int) -> str:
        """
        Render it.

        Args:
            data: As json.loads gives it.
            strict: See the module.
            characters_max: Of the result.

        Raises:
            MissingAttribute: With `strict`.
            RenderingTooLarge: Beyond a bound.
            TemplateError: A partial that is not there.
        """
        run = _Run(strict, characters_max)
        frame = {"root": data}
        _run_program(run, _Closure(self.program, frame, (), ()), data, frame, ())
        return "".join(run.out)

    @property
    def is_simple(self) -> bool:
        """It substitutes and does nothing else: text, comments, and names without arguments."""
        return all(
            isinstance(node, Content | Comment)
            or (
                isinstance(node, Mustache)
                and not (node.head.is_call or node.head.path.depth or node.head.path.is_data)
                and bool(node.head.path.parts)
                and node.head.path.original not in HELPERS
            )
            for node in self.program.body
        )


def compile_template(text: str) -> Template:
    """Parse a template. Raises TemplateError as domain/handlebars_syntax.py."""
    return Template(parse(text))


_Frame = dict[str, Any]
"""`@` names: root, index, key, first, last, and the frame around it."""

_Frames = tuple[Any, ...]


@dataclass(slots=True)
class _Run:
    """One rendering: what it may still do, what it wrote, and the partials that are known where it is."""

    strict: bool
    characters: int
    steps: int = STEPS_MAX
    depth: int = 0
    out: list[str] = field(default_factory=list)
    partials: Mapping[str, _Callee] = field(default_factory=dict)

    def write(self, text: str) -> None:
        self.characters -= len(text)
        if self.characters < 0:
            raise RenderingTooLarge("The rendered template is too large.")
        self.out.append(text)

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise RenderingTooLarge("The template takes too many steps to render.")


@dataclass(slots=True)
class _Closure:
    """
    A program and what was around it where it was met.

    Attributes:
        contexts: The one around it first.
        block_params: Values of the blocks' named parameters, the innermost first, by name.
    """

    program: Program
    frame: _Frame
    contexts: _Frames
    block_params: tuple[Mapping[str, Any], ...]


_Callee = Callable[[Any, _Frame], None]


def _differ(one: Any, other: Any) -> bool:
    """JavaScript's `!=`, of JSON's values: objects and lists by identity."""
    if isinstance(one, dict | list) or isinstance(other, dict | list):
        return one is not other
    if one is None or one is UNDEFINED or other is None or other is UNDEFINED:
        return (one is None or one is UNDEFINED) != (other is None or other is UNDEFINED)
    if isinstance(one, str) and isinstance(other, str):
        return one != other
    return _number(one) != _number(other)


def _number(value: Any) -> float:
    if not isinstance(value, str):
        return float(value) if abs(value) < _INDEX_MAX else float("inf")
    try:
        return float(value.strip() or "0")
    except ValueError:
        return float("nan")


def _run_program(  # noqa: C901 (one branch for each statement)
    run: _Run, closure: _Closure, context: Any, frame: _Frame, given: tuple[Mapping[str, Any], ...]
) -> None:
    """Run a program with a context, which joins those around it unless it is the same."""
    run.depth += 1
    if run.depth > DEPTH_MAX:
        raise RenderingTooLarge(f"The template nests more than {DEPTH_MAX} deep.")
    contexts = closure.contexts
    around = contexts[0] if contexts else UNDEFINED
    if _differ(context, around) and not (context is _NO_CONTEXT and around is None):
        contexts = (context, *contexts)
    elif not contexts:
        contexts = (context,)
    scope = _Scope(run, frame, contexts, (*given, *closure.block_params), context)
    known = run.partials
    inline = [node for node in closure.program.body if isinstance(node, Block) and node.kind == "inline"]
    if inline:
        # Known in the whole program, wherever in it they stand, and in all that it calls.
        run.partials = {**known, **{_inline_name(node): _inline(run, node, closure, frame) for node in inline}}
    for node in closure.program.body:
        run.step()
        if isinstance(node, Content):
            if node.value:
                run.write(node.value)
        elif isinstance(node, Mustache):
            run.write(js_text(scope.shown(node.head)))
        elif isinstance(node, Partial):
            _partial(scope, node)
        elif isinstance(node, Block) and node.kind != "inline":
            _partial_block(scope, node) if node.kind == "partial" else _block(scope, node)
    run.partials = known
    run.depth -= 1


def _inline_name(block: Block) -> str:
    literal = block.head.params[0]
    return js_text(literal.value) if isinstance(literal, Literal) else ""


def _inline(run: _Run, block: Block, around: _Closure, frame: _Frame) -> _Callee:
    inside = _Closure(block.program or Program(), frame, around.contexts, around.block_params)

    def call(context: Any, own: _Frame) -> None:
        _run_program(run, inside, context, own, ({},))

    return call


@dataclass(slots=True)
class _Scope:
    """Where a running program is."""

    run: _Run
    frame: _Frame
    contexts: _Frames
    block_params: tuple[Mapping[str, Any], ...]
    context: Any

    def closure(self, program: Program | None) -> _Closure:
        return _Closure(program or _EMPTY, self.frame, self.contexts, self.block_params)

    def shown(self, head: Sexpr) -> Any:
        """Evaluate what stands in `{{…}}`."""
        if _helper_of(head):
            return self.helper_value(head)
        return self.look_up(head.path, strict=self.run.strict)

    def helper_value(self, call: Sexpr) -> Any:
        """Call a helper that gives a value."""
        values = [self.value(param) for param in call.params]
        if call.path.parts[0] == "log":
            return UNDEFINED
        return _member(values[0], values[1]) if _is_true(values[0]) else values[0]

    def value(self, expression: Expression) -> Any:
        """Evaluate an argument."""
        self.run.step()
        if isinstance(expression, Literal):
            return expression.value
        if isinstance(expression, Path):
            return self.look_up(expression, strict=False)
        return self.helper_value(expression)

    def look_up(self, path: Path, *, strict: bool) -> Any:  # noqa: C901 (frame, block parameters and contexts)
        """
        Follow a path; UNDEFINED where it leads nowhere.

        Raises:
            MissingAttribute: With `strict`, where it leads nowhere.
        """
        parts = path.parts
        if path.is_data:
            value: Any = self.frame
            for _ in range(path.depth):
                value = value.get("_parent", {})
        else:
            if parts and not path.depth and not path.is_scoped:
                for names in self.block_params:
                    if parts[0] in names:
                        value = names[parts[0]]
                        for part in parts[1:]:
                            value = _member(value, part)
                        return value
            value = self.contexts[path.depth] if path.depth < len(self.contexts) else UNDEFINED
            if not path.depth:
                value = self.context
        for part in parts:
            value = _member(value, part, missing=_MISSING)
            if value is _MISSING:
                if strict:
                    raise MissingAttribute(path.original)
                return UNDEFINED
        return value


_EMPTY: Final = Program()
_MISSING: Final = object()


def _member(value: Any, name: Any, missing: Any = UNDEFINED) -> Any:
    """Give what an object has under a name, or a list or text at an index or as its length; else `missing`."""
    if isinstance(value, dict):
        return value.get(js_text(name), missing) if not isinstance(name, str) else value.get(name, missing)
    if isinstance(value, list | str):
        if name == "length":
            return len(value)
        index = _index(js_text(name))
        if 0 <= index < len(value):
            return value[index]
    return missing


def _index(text: str) -> int:
    """Give a list's index by its name, -1 if it names none."""
    if not (text.isascii() and text.isdigit()) or len(text) > _INDEX_DIGITS or (text[0] == "0" and text != "0"):
        return -1
    number = int(text)
    return number if number < _INDEX_MAX else -1


def _is_true(value: Any) -> bool:
    """JavaScript's truth: empty objects and lists are true."""
    return isinstance(value, dict | list) or bool(value) if value is not UNDEFINED else False


def _is_empty(value: Any) -> bool:
    """Handlebars' emptiness: false, null, undefined, "", [] - and 0 is not empty."""
    if isinstance(value, list):
        return not value
    return not _is_true(value) and not (isinstance(value, int | float) and not isinstance(value, bool) and value == 0)


def _helper_of(head: Sexpr) -> str:
    """Give the built-in helper that a head calls, or ""."""
    path = head.path
    simple = len(path.parts) == 1 and not (path.depth or path.is_scoped or path.is_data)
    return path.parts[0] if simple and path.parts[0] in HELPERS else ""


def _block(scope: _Scope, block: Block) -> None:
    helper = _helper_of(block.head)
    if helper in {"lookup", "log"}:
        scope.run.write(js_text(scope.helper_value(block.head)))
        return
    # What handlebars.js binds to `this` of a helper.
    this = _NO_CONTEXT if scope.context is None or scope.context is UNDEFINED else scope.context
    program, inverse = block.program, block.inverse
    if not helper:
        _section(scope, block, scope.look_up(block.head.path, strict=False), this)
        return
    value = scope.value(block.head.params[0])
    if helper in {"if", "unless"}:
        given = {name: scope.value(item) for name, item in block.head.hash}
        is_false = _is_empty(value) or (not _is_true(given.get("includeZero", UNDEFINED)) and not _is_true(value))
        chosen = inverse if is_false == (helper == "if") else program
        _run(scope, chosen, this, scope.frame)
    elif helper == "with":
        if _is_empty(value):
            _run(scope, inverse, this, scope.frame)
        else:
            _run(scope, program, value, scope.frame, _named(program, value))
    else:
        _each(scope, block, value, this)


def _run(
    scope: _Scope, program: Program | None, context: Any, frame: _Frame, named: Mapping[str, Any] | None = None
) -> None:
    if program is not None:
        _run_program(scope.run, scope.closure(program), context, frame, (named or {},))


def _named(program: Program | None, *values: Any) -> dict[str, Any]:
    """Give a block's parameters their values."""
    names = program.block_params if program else ()
    return {name: values[n] if n < len(values) else UNDEFINED for n, name in enumerate(names)}


def _section(scope: _Scope, block: Block, value: Any, this: Any) -> None:
    """`{{#name}}`: what it does depends on what name is."""
    if value is True:
        _run(scope, block.program, this, scope.frame)
    elif value is False or value is None or value is UNDEFINED:
        _run(scope, block.inverse, this, scope.frame)
    elif isinstance(value, list):
        if value:
            _each(scope, block, value, this)
        else:
            _run(scope, block.inverse, this, scope.frame)
    else:
        _run(scope, block.program, value, scope.frame)


def _each(scope: _Scope, block: Block, value: Any, this: Any) -> None:
    items: list[tuple[Any, Any]] = []
    if isinstance(value, list):
        items = list(enumerate(value))
    elif isinstance(value, dict):
        items = sorted(value.items(), key=_key_order)
    if not items:
        _run(scope, block.inverse, this, scope.frame)
        return
    frame: _Frame = {**scope.frame, "_parent": scope.frame}
    for number, (key, item) in enumerate(items):
        frame |= {"key": key, "index": number, "first": number == 0, "last": number == len(items) - 1}
        _run(scope, block.program, item, frame, _named(block.program, item, key))


def _key_order(item: tuple[str, Any]) -> tuple[bool, int]:
    """JavaScript's order of an object's members: numbers first, by size, then the others as they came."""
    index = _index(item[0])
    return index < 0, index


def _partial(scope: _Scope, node: Partial) -> None:
    name = node.name if isinstance(node.name, str) else js_text(scope.value(node.name))
    context = _partial_context(scope, node.context, node.hash)
    run = scope.run
    if not node.indent:
        _callee(scope, name)(context, scope.frame)
        return
    out, run.out = run.out, []
    _callee(scope, name)(context, scope.frame)
    lines, run.out = "".join(run.out).split("\n"), out
    last = len(lines) - 1
    for number, line in enumerate(lines):
        if number < last or line:
            run.characters -= len(node.indent)
            out.append(node.indent + line)
        if number < last:
            out.append("\n")
    run.write("")


def _partial_context(scope: _Scope, given: Expression | None, pairs: tuple[tuple[str, Expression], ...]) -> Any:
    context = scope.context if given is None else scope.value(given)
    if pairs:
        own = dict(context) if isinstance(context, dict) else {}
        if isinstance(context, list | str):
            own = {str(number): item for number, item in enumerate(context)}
        context = own | {name: scope.value(item) for name, item in pairs}
    return context


def _callee(scope: _Scope, name: str) -> _Callee:
    found: _Callee | None
    found = scope.frame.get("partial-block") if name == "@partial-block" else scope.run.partials.get(name)
    if found is None:
        raise TemplateError(f"The partial {ascii(name)[1:-1][:100]} could not be found")
    return found


def _partial_block(scope: _Scope, block: Block) -> None:
    """`{{#> name}}…{{/name}}`: what is inside is @partial-block to the partial, or stands in for one missing."""
    context = _partial_context(scope, block.head.params[0] if block.head.params else None, block.head.hash)
    outer = scope.frame.get("partial-block")
    inside = scope.closure(block.program)

    def call(own_context: Any, frame: _Frame) -> None:
        own = {**frame, "_parent": frame, "partial-block": outer}
        _run_program(scope.run, inside, own_context, own, ({},))

    frame = {**scope.frame, "_parent": scope.frame, "partial-block": call}
    named = scope.frame.get("partial-block") if block.name == "@partial-block" else None
    callee = named or scope.run.partials.get(str(block.name), call)
    callee(context, frame)
