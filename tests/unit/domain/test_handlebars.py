"""
domain/handlebars.py renders what handlebars.js renders; the tables hold its answers, and where npm is installed
(PARAVION_HANDLEBARS, see the Makefile) they and generated templates are compared with it, all in one process.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from paravion.domain.handlebars import MissingAttribute, RenderingTooLarge, compile_template
from paravion.domain.handlebars_syntax import NESTING_MAX, TAGS_MAX, TemplateError, js_text

FULL_NAME = '{{#* inline "fullName"}}{{first}}{{#if last}} {{last}}{{/if}}{{/inline}}\n'
FRIENDS = {"first": "Ann", "last": "Lee", "friends": [{"first": "Bo"}, {"first": "Cy", "last": "Ng"}]}

RENDERED: dict[str, tuple[str, Any, str]] = {
    "a name": ("Hi {{name}}, {{ name }}!", {"name": "Ann"}, "Hi Ann, Ann!"),
    "triple and ampersand": ("{{{a}}} {{&a}}", {"a": "x"}, "x x"),
    "nested paths": ("{{a.b.c}} {{a/b/c}} {{this.a.b.c}} {{./a.b.c}}", {"a": {"b": {"c": 7}}}, "7 7 7 7"),
    "odd names": ('{{[a b]}} {{"c d"}} {{12}} {{e-f}} {{g:h}} {{Ä}}',
                  {"a b": 1, "c d": 2, "12": 3, "e-f": 4, "g:h": 5, "Ä": 6}, "1 2 3 4 5 6"),
    "names of literals": ("{{true}}{{null}}{{undefined}}", {"true": "T", "null": "N", "undefined": "U"}, "TNU"),
    "values": ("{{i}} {{f}} {{t}} {{n}} {{l}} {{o}} {{z}}",
               {"i": 1, "f": 1.10, "t": False, "n": None, "l": [1, [2, None]], "o": {}, "z": -0.0},
               "1 1.1 false  1,2, [object Object] 0"),
    "large and small": ("{{a}} {{b}} {{c}} {{d}} {{e}}", {"a": 1e21, "b": 1e-7, "c": 1.5e-5, "d": 123456.0, "e": 1e20},
                        "1e+21 1e-7 0.000015 123456 100000000000000000000"),
    "indices and lengths": ("{{l.length}} {{l.[0]}} {{l.[1]}} {{s.length}} {{s.[1]}} [{{l.[2]}}{{l.[01]}}]",
                            {"l": [1, 2], "s": "abc"}, "2 1 2 3 b []"),
    "each of a list": ("{{#each l}}{{@index}}{{#if @first}}F{{/if}}{{#if @last}}L{{/if}}{{this}},{{/each}}",
                       {"l": ["a", "b", None]}, "0Fa,1b,2L,"),
    "each of an object": ("{{#each o}}{{@key}}={{this}};{{/each}}", {"o": {"b": 1, "2": 2, "1": 3, "01": 4}},
                          "1=3;2=2;b=1;01=4;"),
    "each of nothing": ("{{#each a}}x{{else}}none{{/each}}{{#each b}}x{{else}}none{{/each}}", {"b": "text"}, "nonenone"),
    "each with names": ("{{#each a as |v k|}}{{k}}{{v.n}}{{/each}}", {"a": [{"n": "p"}, {"n": "q"}]}, "0p1q"),
    "parents": ("{{#each l}}{{../n}}{{#if x}}{{../n}}{{/if}}{{#with x}}{{../../n}}{{/with}};{{/each}}",
                {"n": "N", "l": [{"x": {"y": 1}}, {}]}, "NNN;N;"),
    "parents of the same value": ("{{#each a}}{{#if this}}[{{this}}{{../b}}]{{/if}}{{/each}}", {"a": [None, 1], "b": "B"},
                                  "[1B]"),
    "frames": ("{{#each x}}{{#each this}}{{@../index}}.{{@index}} {{/each}}{{/each}}{{#with a}}{{@root.b}}{{/with}}",
               {"x": [[1, 2], [3]], "a": {"c": 1}, "b": "R"}, "0.0 0.1 1.0 R"),
    "if, else if, else": ("{{#if a}}1{{else if b}}2{{else}}3{{/if}}{{#if a}}1{{else if a}}2{{else}}3{{/if}}",
                          {"a": 0, "b": {}}, "23"),
    "if of zero": ("{{#if a}}1{{else}}2{{/if}}{{#if a includeZero=true}}1{{else}}2{{/if}}", {"a": 0}, "21"),
    "if of empty": ("{{#if a}}1{{^}}2{{/if}}{{#unless b}}1{{/unless}}{{#unless c}}{{else}}4{{/unless}}",
                    {"a": [], "b": "", "c": "0"}, "214"),
    "with": ("{{#with a as |x|}}{{x.b}}{{b}}{{../c}}{{else}}n{{/with}}{{#with z}}y{{else}}n{{/with}}",
             {"a": {"b": "B"}, "c": "C"}, "BBCn"),
    "sections": ("{{#a}}{{b}}{{/a}}{{^z}}none{{/z}}{{#l}}{{.}}{{else}}e{{/l}}{{#t}}{{u}}{{/t}}{{^f}}f{{/f}}{{#n}}[{{.}}]{{/n}}",
                 {"a": {"b": 1}, "l": [], "t": True, "u": "U", "f": False, "n": 0}, "1noneeUf[0]"),
    "lookup": ("{{lookup l 1}} {{lookup o k}} {{lookup (lookup o 'p') \"q\"}}[{{lookup z 1}}]",
               {"l": [1, 2], "o": {"z": 9, "p": {"q": 8}}, "k": "z"}, "2 9 8[]"),
    "log says nothing": ("a{{log 'x'}}b{{log}}", {}, "ab"),
    "an inline partial": (FULL_NAME + "{{> fullName}}:{{#each friends}} {{> fullName}};{{/each}}", FRIENDS,
                          "\nAnn Lee: Bo; Cy Ng;"),
    "a partial's arguments": ('{{#*inline "p"}}{{a}}{{b}};{{/inline}}{{> p x}}{{> p b="y"}}{{> (lookup . "n") x b=2}}',
                              {"x": {"a": "A"}, "a": "R", "n": "p"}, "A;Ry;A2;"),
    "a partial before its place": ('{{> p}}{{#*inline "p"}}late{{/inline}}', {}, "late"),
    "a partial is known inside": ('{{#if a}}{{#*inline "p"}}2{{/inline}}{{> p}}{{/if}}{{> p}}{{#*inline "p"}}1{{/inline}}',
                                  {"a": 1}, "21"),
    "a partial's lines": ('{{#*inline "p"}}\nA\nB\n{{/inline}}\n<ul>\n  {{> p}}\n</ul>', {}, "<ul>\n  A\n  B\n</ul>"),
    "partial blocks": ('{{#> no}}def{{/no}}{{#*inline "q"}}[{{> @partial-block}}]{{/inline}}{{#> q}}in{{a}}{{/q}}',
                       {"a": 1}, "def[in1]"),
    "a recursive partial": ('{{#*inline "t"}}<{{n}}{{#each c}}{{> t}}{{/each}}>{{/inline}}{{> t}}',
                            {"n": "a", "c": [{"n": "b", "c": [{"n": "d"}]}, {"n": "e"}]}, "<a<b<d>><e>>"),
    "comments": ("a{{! b }}c{{!-- {{d}} --}}e\n  {{! alone }}\nf", {}, "ace\nf"),
    "tilde": ("x  {{~#if a~}}  y  {{~else~}} z {{~/if~}}  w {{~b~}} v", {"a": 1, "b": "B"}, "xywBv"),
    "tags alone on their lines": ("a\n  {{#if a}}\n  yes\n  {{else}}\n  no\n  {{/if}}\nb\n", {"a": 1}, "a\n  yes\nb\n"),
    "a chain on its lines": ("{{#if a}}\n1\n{{else if b}}\n2\n{{else}}\n3\n{{/if}}\n", {"b": 1}, "2\n"),
    "CRLF": ("a\r\n{{#if a}}\r\nb\r\n{{/if}}\r\nc", {"a": 1}, "a\r\nb\r\nc"),
    "backslashes": ("\\{{a}} \\\\{{a}} \\\\\\{{a}} {{a}}", {"a": "v"}, "{{a}} \\v \\\\v v"),
    "raw blocks": ("{{{{if a}}}} {{raw}} {{{{b}}}}{{{{/b}}}} {{{{/if}}}}", {"a": 1}, " {{raw}} {{{{b}}}}{{{{/b}}}} "),
    "texts with quotes": ("{{lookup a \"x'y\"}}{{lookup a 'x\\'y'}}", {"a": {"x'y": "!"}}, "!!"),
    "nothing is missing without strict": ("[{{a}}{{a.b}}{{../c}}{{@d}}]", {}, "[]"),
    "no attributes": ("[{{a.__class__}}{{a.items}}{{s.upper}}{{l.append}}{{constructor}}{{__proto__}}]",
                      {"a": {}, "s": "x", "l": []}, "[]"),
}  # fmt: skip

REFUSED: dict[str, tuple[str, str]] = {
    "an open tag": ("{{a ", "tag without an end"),
    "an open block": ("{{#if a}}", "'if' is opened here and never closed"),
    "a close alone": ("x\n {{/if}}", "line 2, column 2"),
    "another close": ("{{#if a}}{{/each}}", "'each' closes 'if'"),
    "else alone": ("{{else}}", "where none is open"),
    "one brace too many": ("{{a}}}", "unexpected '}}}'"),
    "an unknown helper": ("{{upper a}}", "no helper 'upper'"),
    "an unknown inner helper": ("{{#if (eq a b)}}{{/if}}", "no helper 'eq'"),
    "a path within": ("{{a/../b}}", "invalid path"),
    "a block as a value": ("{{if a}}", "if is a block"),
    "each of what": ("{{#each}}{{/each}}", "each takes 1 argument"),
    "an open comment": ("{{!-- a }}", "comment without an end"),
    "another decorator": ('{{#*outline "a"}}{{/outline}}', "a decorator other than"),
    "a decorator's else": ('{{#*inline "a"}}{{else}}{{/inline}}', "else where none belongs"),
    "NUL": ("\0", "NUL"),
    "too many": ("{{a}}" * (TAGS_MAX + 1), "more than"),
    "too deep": ("{{#if a}}" * (NESTING_MAX + 2) + "{{/if}}" * (NESTING_MAX + 2), "deep"),
    "too deep in itself": ("{{lookup " + "(lookup " * (NESTING_MAX + 2), "deep"),
    "too deep a chain": ("{{#if a}}" + "{{else if a}}" * (NESTING_MAX + 2) + "{{/if}}", "deep"),
}


def render(template: str, data: Any, *, strict: bool = False, characters_max: int = 1_000_000) -> str:
    """Compile and render."""
    return compile_template(template).render(data, strict=strict, characters_max=characters_max)


@pytest.mark.parametrize("key", RENDERED)
def test_template_renders_as_handlebars_js_has_it(key: str) -> None:
    """Each row is what handlebars.js 4.7 gives, see the oracle below."""
    template, data, expected = RENDERED[key]
    assert render(template, data) == expected


@pytest.mark.parametrize("key", REFUSED)
def test_no_template_is_refused_with_its_place(key: str) -> None:
    """What can't be a template is refused when it is read, not when it is sent."""
    template, reason = REFUSED[key]
    with pytest.raises(TemplateError, match=reason.replace("(", r"\(")):
        compile_template(template)


def test_nothing_is_escaped() -> None:
    """SES does not escape HTML; whoever puts user input into a template does it before."""
    assert render("{{a}}{{{a}}}", {"a": "<b a='1'>&\"</b>"}) == "<b a='1'>&\"</b>" * 2


def test_whole_numbers_keep_their_digits() -> None:
    """Where JavaScript would round an id of 64 bits."""
    assert render("{{a}}", {"a": 12345678901234567890}) == "12345678901234567890"


@pytest.mark.parametrize(
    ("template", "name"),
    [("{{a}}", "a"), ("{{b.c}}", "b.c"), ("{{n.c}}", "n.c"), ("{{#each l}}{{x}}{{/each}}", "x"), ("{{@index}}", "@index"),
     ("{{../a}}", "../a"), ("{{#if b}}{{c}}{{/if}}", "c"), ("{{#with b}}{{d}}{{/with}}", "d")],
)  # fmt: skip
def test_strict_missing_attribute_is_named(template: str, name: str) -> None:
    """SES's Rendering Failure names the attribute."""
    with pytest.raises(MissingAttribute) as caught:
        render(template, {"b": {"x": 1}, "n": None, "l": [1]}, strict=True)
    assert caught.value.name == name
    assert str(caught.value) == f"Attribute '{name}' is not present in the rendering data."


def test_strict_lets_conditions_ask_for_what_is_missing() -> None:
    """A template may look whether something is there; null is there."""
    template = "{{#if a}}1{{else}}2{{/if}}{{#each a}}x{{/each}}{{#with a}}x{{/with}}{{^a}}3{{/a}}{{#unless a}}4{{/unless}}{{n}}"
    assert render(template, {"n": None}, strict=True) == "234"


@pytest.mark.parametrize(
    "template",
    ["{{#each a}}{{#each ../a}}{{#each ../../a}}{{#each ../../../a}}x{{/each}}{{/each}}{{/each}}{{/each}}",
     "{{#each a}}" + "y" * 20_000 + "{{/each}}",
     '{{#*inline "p"}}{{> p}}{{/inline}}{{> p}}',
     '{{#*inline "p"}}{{> p}}{{> p}}{{/inline}}{{> p}}',
     '{{#*inline "p"}}\nx\n  {{> p}}\n{{/inline}}\n{{> p}}\n'],
)  # fmt: skip
def test_rendering_ends_at_its_bounds(template: str) -> None:
    """A template can neither run for ever nor fill the memory nor the stack."""
    with pytest.raises(RenderingTooLarge):
        render(template, {"a": list(range(100))})


@pytest.mark.parametrize("text", ["{{" * 50_000, "{{!" * 50_000, "\\{{" * 50_000, "{{[" + "\\]" * 50_000, '{{"' + '\\"' * 50_000,
                                  "{{a " + "b." * 50_000, "{{{{if a}}}}" + "{{{{" * 50_000, " \n" * 50_000 + "{{#if a}}"])  # fmt: skip
def test_hostile_text_is_read_in_one_pass(text: str) -> None:
    """A hundred thousand characters of the worst are refused, not pondered."""
    with contextlib.suppress(TemplateError):
        compile_template(text)


@pytest.mark.parametrize(
    ("template", "is_simple"),
    [("a {{b}} {{{c.d}}} {{! e }}", True), ("{{#if a}}{{/if}}", False), ("{{lookup a 1}}", False), ("{{> a}}", False),
     ("{{@root}}", False), ("{{../a}}", False), ('{{#*inline "a"}}{{/inline}}', False), ("{{this}}", False)],
)  # fmt: skip
def test_inline_templates_may_only_substitute(template: str, is_simple: bool) -> None:
    """SES: inline TemplateContent with more in it is refused."""
    assert compile_template(template).is_simple is is_simple


def test_template_renders_again_as_before() -> None:
    """Rendering leaves no trace in the parsed template."""
    template = compile_template(FULL_NAME + "{{> fullName}}{{#each friends as |f|}}{{f.first}}{{/each}}")
    first = [template.render(FRIENDS, strict=True, characters_max=999) for _ in range(2)]
    assert first == ["\nAnn LeeBoCy", "\nAnn LeeBoCy"]


# The oracle: handlebars.js


def oracle(cases: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Ask handlebars.js for all cases in one process; skips where it is not installed."""
    folder = os.environ.get("PARAVION_HANDLEBARS", "")
    if not folder or not (Path(folder) / "node_modules" / "handlebars").is_dir():
        pytest.skip("handlebars.js is not installed (PARAVION_HANDLEBARS)")
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run(
        ["node", "render-for-paravion.mjs"],
        cwd=folder,
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def ours(case: dict[str, Any]) -> dict[str, str]:
    """Render a case as the oracle answers."""
    try:
        return {"text": render(case["template"], case["data"], strict=case["strict"])}
    except TemplateError as exc:
        return {"error": str(exc)}


def test_tables_are_what_handlebars_js_gives() -> None:
    """The tables above hold no opinions of ours."""
    cases = [{"template": row[0], "data": row[1], "strict": False} for row in RENDERED.values()]
    cases += [{"template": row[0], "data": {}, "strict": False} for key, row in REFUSED.items() if "too " not in key]
    answers = oracle(cases)
    assert [answer.get("text") for answer in answers[: len(RENDERED)]] == [row[2] for row in RENDERED.values()]
    # NUL we refuse by ourselves: it can be in no mail.
    assert [case["template"] for case, answer in zip(cases[len(RENDERED) :], answers[len(RENDERED) :], strict=True)
            if "error" not in answer] == []  # fmt: skip


NAMES = ("a", "b", "c.d", "this", ".", "../a", "../../b", "@index", "@key", "@first", "@root.a", "l", "l.length", "o",
         "zz", "c.zz", "x", "s", "t")  # fmt: skip
SPACES = ("", "", " ", "\n", " \n", "\n  ", "  ", "\r\n", "text", "x\n", "\\", "\t")
DATA = {"a": "A", "b": 2, "c": {"d": "D", "l": [1, 2]}, "l": [{"a": "i", "c": {"d": 1}}, {"l": ["p", "q"]}, None, 0, "s"],
        "o": {"z": 1, "2": {"a": "two"}, "1": [3]}, "t": True, "s": "str", "f": 0.5}  # fmt: skip


def a_template(draw: random.Random, depth: int) -> str:
    """Make a template of what the language has, tags among all kinds of white space."""
    return "".join(
        draw.choice(SPACES) + a_statement(draw, depth) + draw.choice(SPACES) for _ in range(draw.randint(1, 3))
    )


def a_statement(draw: random.Random, depth: int) -> str:  # noqa: PLR0911
    """Make one statement."""
    name, inner = draw.choice(NAMES), lambda: a_template(draw, depth - 1)

    def tag(text: str) -> str:
        return "{{" + draw.choice(("", "", "", "~")) + text + draw.choice(("", "", "", "~")) + "}}"

    kind = draw.randrange(12) if depth else draw.randrange(4)
    if kind < 2:
        return tag(name)
    if kind == 2:
        return draw.choice(
            (tag("! note "), tag("!-- }} --"), "{{{ a }}}", tag("lookup o '2'"), tag("> p"), tag("> p l"))
        )
    if kind == 3:
        return tag("#if a") + "y" + tag("/if")
    if kind < 6:
        middle = draw.choice(("", tag("else") + inner(), tag("else if " + name) + inner(), tag("^") + inner(),
                              tag("else if zz") + inner() + tag("else if b") + inner() + tag("else") + inner()))  # fmt: skip
        helper = draw.choice(("if", "unless", "with", "each"))
        return tag(f"#{helper} {name}") + inner() + middle + tag(f"/{helper}")
    if kind == 6:
        return tag(f"#each {name} as |x y|") + inner() + tag("y") + tag("/each")
    if kind == 7:
        path = draw.choice(("a", "l", "o", "zz", "t", "c.d"))
        return tag(draw.choice("#^") + path) + inner() + draw.choice(("", tag("else") + inner())) + tag("/" + path)
    if kind == 8:
        return tag('#*inline "p"') + a_template(draw, 0).replace("> p l", "a").replace("> p", "a") + tag("/inline")
    if kind == 9:
        return tag("#> p") + inner() + tag("/p")
    if kind == 10:
        return (
            tag('#*inline "q"')
            + "["
            + tag("> @partial-block")
            + "]"
            + tag("/inline")
            + tag("#> q")
            + inner()
            + tag("/q")
        )
    return tag(f"#with {name} as |x|") + inner() + tag("/with")


def test_generated_templates_render_as_handlebars_js_renders_them() -> None:
    """Two thousand templates of all statements, nested, among all kinds of white space; the seed is fixed."""
    draw = random.Random(6)
    prefix = '{{#*inline "p"}}({{a}}){{/inline}}'
    cases = [{"template": prefix + a_template(draw, n % 4), "data": DATA, "strict": False} for n in range(2000)]
    different = []
    for case, theirs in zip(cases, oracle(cases), strict=True):
        mine = ours(case)
        if mine.get("text") != theirs.get("text"):
            different.append((case["template"], mine, theirs))
    assert different == []


def test_numbers_are_written_as_javascript_writes_them() -> None:
    """ECMAScript's Number::toString."""
    draw = random.Random(6)
    numbers = [draw.uniform(-1, 1) * 10.0 ** draw.randint(-30, 30) for _ in range(500)]
    numbers += [0.1, 1e21, 123456789012345680000.0, 1e-6, 9.99e-7, 5e-324, 1.7976931348623157e308, 100.0, -1.5]
    answers = oracle([{"template": "{{a}}", "data": {"a": number}, "strict": False} for number in numbers])
    assert [js_text(number) for number in numbers] == [answer["text"] for answer in answers]
