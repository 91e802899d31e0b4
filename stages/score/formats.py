"""What form an answer has, what form its question asks for, and which kind of task the two are (expressions).

Columns they read: `prompt`, `answers`, `ending`, `task`, `is_document`, `is_call` (the last answer only calls a tool),
`is_single`, `has_numbers` (question and answer), `asks_for_code`, `has_code`, `ended`, `ended_lines` and `items`.
"""

import polars as pl

from stages.score.cues import read_by
from stages.score.phrases import EDGE
from stages.texts.conversation_text import read_where

TASKS = ("chat", "code", "math", "extraction", "other")

_ITEM = r"(?m)^[ \t]*(?:[-*+•·‣]|\d{1,3}[.)、]|\(\d{1,3}\)|[a-zA-Z][.)])[ \t]*\S"
_LINE = r"(?m)^.*\S"
_FENCE = "```"
CODE_LINE = (
    r"(?m)^[ \t]*(?:def [A-Za-z0-9_]+\(|class [A-Za-z0-9_]+[:({]|import [[A-Za-z0-9_].]+;?$|from [[A-Za-z0-9_].]+ import |#include ?[<\"]|public (?:static|class|void) |"
    r"function [A-Za-z0-9_]*\(|(?:SELECT|select) .+ (?:FROM|from) |INSERT INTO |CREATE TABLE |<!DOCTYPE |<html|<(?:div|body|script|table|ul|"
    r"form)[ >]|(?:var|let|const) [A-Za-z0-9_]+ ?= ?|print\(|println!?\(|console\.log\(|System\.out\.|for ?\(.*\) ?\{|if ?\(.*\) ?\{|return [A-Za-z0-9_]+;|"
    r"#!/|[A-Za-z0-9_]+ = [A-Za-z0-9_]+\(.*\)$|elif .*:$|func [A-Za-z0-9_]+\()"
)
ASKS_FOR_CODE = (
    rf"(?i){EDGE}(?:write|create|implement|generate|construct|develop|design|code|build|make|give|provide|debug|fix|refactor|optimi[sz]e|edit|"
    rf"rewrite|modify|convert|complete)[^.\n]{{0,60}}{EDGE}(?:(?:python|java|javascript|typescript|c\+\+|sql|html|css|php|ruby|rust|bash|shell|"
    rf"regex|regular expression|jquery|react|matlab|golang|pandas|swift|kotlin){EDGE}|c#|code snippet|source code|function (?:that|to|which|in|"
    rf"called|named)|(?:sql|database) query|shell script|unit tests?{EDGE}|(?:program|script) (?:that|to|which|in) )"
)
# A poem about SQL is none of it.
_ASKS_FOR_WRITING = rf"(?i)^(?:please )?(?:write|create|generate|compose|make)(?: me)? (?:an? )?(?:[a-z]+ ){{0,2}}(?:poem|haiku|song|story|joke|essay|article|slogan|limerick){EDGE}"
_DO_SUMS = (
    rf"(?i){EDGE}(?:calculate|compute|solve|evaluate|simplify|integrate|differentiate|factor(?:ize)?|how (?:many|much|far|long|old)|what is the (?:sum|"
    rf"product|average|mean|median|area|volume|perimeter|total|value|square root|probability|difference|result)|find the (?:sum|product|average|mean|"
    rf"median|area|volume|perimeter|square root|value|probability|greatest common|least common)|percent(?:age)?|equation|add|subtract|multiply|"
    rf"divide|square root|convert){EDGE}|计算|求解|方程"
    r"|what(?: is|['’]s) \(?-?[0-9][0-9.,]*(?: ?[+*×÷^] ?| [-/x] | (?:plus|minus|times|divided by) )\(?-?[0-9]"
)
_EQUATION = r"\d[ \t]*[-+*/×÷^][ \t]*\(?\$?\d[^\n=]{0,60}=|####\s*-?\d|<<[^<>\n]{3,60}=|\\boxed\{|\\frac\{"
_SIGNS_OF_EQUATION = ["=", "####", "\\boxed{", "\\frac{"]  # one of them is in every _EQUATION
_TAKES_FROM_TEXT = (
    rf"(?i){EDGE}(?:extract|summari[sz]e|classify|categori[sz]e|identify|detect|find all|list all|label|tag|name the entit|what is the sentiment|"
    rf"according to|based on the (?:text|passage|paragraph|article|context)|from the (?:text|passage|paragraph|article|context|table)|reading comprehension)"
    r"|提取|摘要|总结|分类|归类|识别"
)
_HAS_TEXT = r"\n|: ?\S[^\n]{20}|[\"“”「]"

# label of the source -> task; labels are lower-case words of any data set (Dolly, FLAN, MT-Bench, Self-Instruct)
LABELS = {
    "code": r"(?i)\bcod(?:e|ing)\b|program|\bsql\b|humaneval",
    "math": r"(?i)math|arithmetic|gsm|algebra|geometry",
    "extraction": r"(?i)extract|closed_?qa|summari|classif|sentiment|\bner\b|reading|\bnli\b|entail",
    "chat": r"(?i)\bchat|open_?qa|general_?qa|brainstorm|creative|writing|role_?play|humanities|conversation",
}

# What a question asks the answer to be, and the forms that then are right.
_MAKE = r"(?:create|make|generate|write|produce|return|output|print|give(?: me)?|respond with|answer with)"
ASKED = {
    "json": rf"(?i){EDGE}(?:(?:in|as|into|to) (?:an? )?(?:valid )?json{EDGE}|{_MAKE} (?:an? |the |only )*(?:valid )?json{EDGE})",
    "table": rf"(?i){EDGE}(?:(?:in|as|into|using) an? (?:markdown |html )?table{EDGE}|in (?:a )?tabular|{_MAKE} an? (?:markdown )?table "
    r"(?:that|which|show|compar|list|map|with|to |for ))",
    "list": rf"(?i){EDGE}(?:(?:in|as|into|using|with|use|make) (?:an? )?(?:bullet(?:ed)?(?:[ -]point)?|numbered) lists?{EDGE}|{_MAKE} an? (?:bullet(?:ed)?(?:[ -]point)?|numbered) list{EDGE}|"
    rf"(?:in|as|into|using|with|use) bullet[ -]?points{EDGE})",
    "one_word": rf"(?i){EDGE}(?:(?:answer|respond|reply|output)[^.\n]{{0,30}} (?:in|with|using|only|by) (?:only |just |exactly )?(?:one|a single|1) word{EDGE}|"
    r"(?:one|single)[- ]word (?:answer|response|reply))",
    "verdict": rf"(?i){EDGE}(?:answer|respond|reply)(?: (?:it|this|the (?:question|following(?: question)?)))?(?: (?:with|using|in|by))?(?: (?:a|an|only|just|simply|either))*"
    rf" [\"“'(]*(?:yes|true)[\"”']*(?: or |/)[\"“']*(?:no|false){EDGE}",
    "number": rf"(?i){EDGE}(?:answer|respond|reply|return|output|give)[^.\n]{{0,20}} (?:only|just) (?:with )?(?:the|an?) (?:final )?(?:number|numeral|integer){EDGE}",
}
FITS = {
    "json": ("json", "code"), "table": ("table", "code"), "list": ("list",), "one_word": ("one_word", "number"),
    "number": ("number",),
}  # fmt: skip


_VERDICT = rf"(?i)^\W*(?:(?:the )?answer(?: is)?:? )?\W*(?:yes|no|true|false){EDGE}|{EDGE}(?:yes|no|true|false)\W*\z"


def asks_for_code() -> pl.Expr:
    prompt = read_by("code", "prompt")
    # The bound on the words between makes the pattern slow, so it reads only what has them at any distance.
    anywhere = prompt.str.contains(ASKS_FOR_CODE.replace("{0,60}", "*"))
    near = read_where(anywhere, prompt)
    return near.str.contains(ASKS_FOR_CODE) & ~near.str.contains(_ASKS_FOR_WRITING)


def has_code() -> pl.Expr:
    return pl.col("answers").str.contains(rf"{_FENCE}|{CODE_LINE}")


def ended() -> pl.Expr:
    """The last answer without white space at its ends."""
    return pl.col("ending").str.strip_chars()


def ended_lines() -> pl.Expr:
    """The same where it has several lines, else empty."""
    return read_where(pl.col("ended").str.contains("\n", literal=True), pl.col("ended"))


def items() -> pl.Expr:
    """How many of its lines begin like an item of a list."""
    return pl.col("ended_lines").str.count_matches(_ITEM)


def answer_format() -> pl.Expr:
    """Name of the form of the last answer; null for a document and for a call of a tool."""
    text, several, items = pl.col("ended"), pl.col("ended_lines"), pl.col("items")
    fenced = read_where(text.str.starts_with(_FENCE), text).str.extract(r"^```\w*\n([\s\S]*)\n```$", 1)
    bare = pl.coalesce(fenced, read_where(text.str.contains(r"^[\[{]"), text))
    code = read_where("has_code", text)  # an expensive pattern reads no more texts than it must
    lines = read_where(items >= 2, several).str.count_matches(_LINE)
    forms = {
        "empty": text == "",
        "number": text.str.contains(r"^[$€£¥]?\s?[-+]?\d[\d,. /]*\s?%?\.?$"),
        "json": bare.str.contains(r"^(?:\{\s*(?:\}|\"[\s\S]*:[\s\S]*\})|\[\s*(?:\]|[\[{\"\d-][\s\S]*\]))$"),
        "code": code.str.contains(rf"{_FENCE}|{CODE_LINE}"),
        "table": _is_table(read_where(several.str.contains("|", literal=True), several)),
        "list": (items >= 2) & (items * 2 >= lines),
        "one_word": text.str.contains(r"^[^\s\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]+$"),
    }
    found = pl.coalesce(*(pl.when(is_form).then(pl.lit(name)) for name, is_form in forms.items()), pl.lit("prose"))
    return pl.when(~pl.col("is_document") & ~pl.col("is_call")).then(found)


def _is_table(text: pl.Expr) -> pl.Expr:
    """Lines with two bars or more, or a drawn line below the first of lines with a bar."""
    drawn = text.str.contains(r"(?m)^[ \t|+:-]*-{3}[ \t|+:-]*$")
    return (text.str.count_matches(r"(?m)^.*\|.*\|.*$") >= 2) | (drawn & (text.str.count_matches(r"(?m)^.*\|.*$") >= 2))


def asked_format() -> pl.Expr:
    """Name of the form that a question of one turn asks for; null where it asks for none."""
    asks = pl.col("is_single") & ~pl.col("asks_for_code")
    asked = {name: read_by(name, "prompt").str.contains(pattern) for name, pattern in ASKED.items()}
    return pl.coalesce(pl.when(asks & is_asked).then(pl.lit(name)) for name, is_asked in asked.items())


def format_mismatch() -> pl.Expr:
    """Whether the answer has none of the forms that fit what was asked for; null where nothing was asked for."""
    checks = [
        pl.when(pl.col("asked_format") == asked).then(~pl.col("answer_format").is_in(list(fitting)))
        for asked, fitting in FITS.items()
    ]
    verdict = read_where((pl.col("asked_format") == "verdict").fill_null(value=False), pl.col("ending"))
    given = pl.when(verdict != "").then(~verdict.str.contains(_VERDICT))
    return pl.coalesce(*checks, given)


def task_type() -> pl.Expr:
    """One of TASKS: by the source's own label where it is telling, else by the words of question and answer."""
    prompt, answers, task = pl.col("prompt"), pl.col("answers"), pl.col("task")
    labelled = [pl.when(task.str.contains(pattern)).then(pl.lit(name)) for name, pattern in LABELS.items()]
    worked_out = read_where(answers.str.contains_any(_SIGNS_OF_EQUATION), answers).str.contains(_EQUATION)
    math = worked_out | read_where("has_numbers", prompt).str.contains(_DO_SUMS)
    extraction = read_where(prompt.str.contains(_HAS_TEXT), prompt).str.contains(_TAKES_FROM_TEXT)
    return (
        pl.when(pl.col("is_document") | pl.col("is_call")).then(pl.lit("other"))
        .otherwise(pl.coalesce(
            *labelled,
            pl.when(pl.col("asks_for_code") | pl.col("has_code")).then(pl.lit("code")),
            pl.when(math).then(pl.lit("math")),
            pl.when(extraction).then(pl.lit("extraction")),
            pl.lit("chat"),
        ))
    )  # fmt: skip
