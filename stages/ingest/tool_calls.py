"""Tools on offer and calls of them, in whichever form, as JSON in OpenAI's form."""

import ast
import json
import re
import warnings
from collections.abc import Sequence
from typing import Any

from stages.ingest.stage import Repair
from stages.ingest.unusable import Unusable
from stages.raw_files.json_repairs import MAX_PYTHON_CHARS, python_value, without_numpy
from stages.raw_files.repair_names import PYTHON_READ

CALL_START = re.compile(r"\s*+\[?\s*+[A-Za-z_][\w.]*+\(")


def parsed(value: object, reason: str, field: str, noted: list[Repair] | None = None) -> object:
    """A value that tables often hold as JSON text; where a place to note repairs is given, also as Python writes it."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except (ValueError, RecursionError):
        if noted is None:
            raise Unusable(reason, field, value) from None
    for text in (value.strip(), without_numpy(value.strip())):
        try:
            read = python_value(text)
        except ValueError:
            continue
        noted.append(PYTHON_READ)
        return read
    raise Unusable(reason, field, value)


def tool_calls_of(value: object, where: str) -> list[dict[str, Any]]:
    """Tool calls in OpenAI form with `arguments` as an object, from a call or a list of calls, or the JSON text of it."""
    given = _python_calls(value) or parsed(value, "invalid_tool_call", where)
    calls = given if isinstance(given, list) else [given]
    return [_tool_call(call, where) for call in calls]


def _python_calls(value: object) -> list[dict[str, Any]]:
    """Calls as Python writes them, one a line or in a list, each argument with its name; nothing for any other value."""
    if not isinstance(value, str) or len(value) > MAX_PYTHON_CHARS or not CALL_START.match(value):
        return []
    try:
        with warnings.catch_warnings(action="ignore"):  # of backslashes that escape nothing
            statements = ast.parse(value.strip()).body
        return [_python_call(node) for statement in statements for node in _elements(statement)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _elements(statement: ast.stmt) -> Sequence[ast.AST]:
    match statement:
        case ast.Expr(value=ast.List(elts=calls)):
            return calls
        case ast.Expr(value=call):
            return [call]
    return [statement]


def _python_call(node: ast.AST) -> dict[str, Any]:
    match node:
        case ast.Call(args=[], keywords=named) if all(one.arg for one in named):
            arguments = {one.arg: python_value(ast.unparse(one.value)) for one in named}
            return {"name": ast.unparse(node.func), "arguments": arguments}
    raise ValueError("no call whose arguments have names")


def _tool_call(call: object, where: str) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Unusable("invalid_tool_call", where, call)
    arguments = function.get("arguments", function.get("parameters", function.get("input", function.get("args"))))
    arguments = parsed(arguments, "invalid_tool_call", where)
    if not isinstance(arguments, dict | None):
        raise Unusable("invalid_tool_call", where, arguments)
    identity = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
    return {**identity, "type": "function", "function": {"name": function["name"], "arguments": arguments or {}}}


def calls_in(answer: object, tools: str, where: str) -> str | None:
    """The tool calls that an answer consists of, as a JSON array; None for another answer. Calls are objects, alone or in
    a list, perhaps as JSON text, that each name a tool on offer. Raises Unusable for an empty list."""
    try:
        given = json.loads(answer) if isinstance(answer, str) and answer.lstrip()[:1] in ("[", "{") else answer
    except (ValueError, RecursionError):
        return None
    if given == []:
        raise Unusable("empty_answer", where, answer)
    calls = given if isinstance(given, list) else [given]
    names = [tool["function"].get("name") for tool in json.loads(tools) if isinstance(tool["function"], dict)]
    are_calls = all(isinstance(call, dict) and call.get("name") in names and len(call) > 1 for call in calls)
    return dumped(tool_calls_of(calls, where)) if are_calls else None


def tools_text(value: object, where: str) -> str | None:
    """The tools on offer as a JSON array in OpenAI form; None where there are none."""
    given = parsed(value, "invalid_tools", where)
    if given is None or given == []:
        return None
    if isinstance(given, dict):
        given = [given]
    if not isinstance(given, list):
        raise Unusable("invalid_tools", where, given)
    given = [one for tool in given for one in _declared(parsed(tool, "invalid_tools", where))]
    if not all(isinstance(tool, dict) for tool in given):
        raise Unusable("invalid_tools", where, given)
    return dumped([tool if "function" in tool else {"type": "function", "function": _flat(tool)} for tool in given])


def _flat(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool in the form of the Responses API, without what only says that it is one."""
    return {name: value for name, value in tool.items() if (name, value) != ("type", "function")}


def _declared(tool: object) -> list[Any]:
    """The tools of one entry: Gemini's form declares several in each."""
    declared = tool.get("functionDeclarations") if isinstance(tool, dict) else None
    return declared if isinstance(declared, list) else [tool]


def dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
