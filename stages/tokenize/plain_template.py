"""Tells from a template's source whether it only inserts the texts of messages, so that one rendering stands for many.

It follows where texts go: into what is written, added to other texts, with white space taken off their ends, and no
further. No test may look into a text, but for whether there is one. What it does not know it takes for looking.
"""

from collections.abc import Iterable
from typing import Literal

from jinja2 import nodes

Kind = Literal["messages", "message", "content"] | None  # None = the same for all conversations of the same roles
CONSTANT_TESTS = {"string", "defined", "undefined", "none", "mapping", "iterable", "sequence", "number", "boolean"}
NO_TEXT = (nodes.Const, nodes.TemplateData, nodes.Break, nodes.Continue)


class LooksIntoTexts(Exception):
    """The template may write other things around a text than around another text."""


def is_plain(template: nodes.Template) -> bool:
    """Whether the template writes, for messages with role and text and nothing else, the same around any texts that are
    not blank, and of each text either all or all but the white space at its ends."""
    flow = _Flow()
    try:
        while flow.changed:
            flow.changed = False
            flow.run(template.body)
    except LooksIntoTexts:
        return False
    return True


class _Flow:
    """What each variable may hold; grows until a pass over the template changes nothing."""

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {"messages": "messages"}
        self.changed = True

    def run(self, statements: Iterable[nodes.Node]) -> None:
        for statement in statements:
            self._statement(statement)

    def _statement(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Output):
            for written in node.nodes:
                self._only(written, None, "content")
        elif isinstance(node, nodes.If):
            self._kind(node.test)
            self.run([*node.body, *node.elif_, *node.else_])
        elif isinstance(node, nodes.For):
            self._loop(node)
        elif isinstance(node, nodes.Assign):
            self._assign(node.target, self._kind(node.node))
        elif isinstance(node, nodes.Macro):
            self._macro(node)
        elif isinstance(node, nodes.CallBlock) and isinstance(node.call.node, nodes.ExtensionAttribute):
            self.run(node.body)  # {% generation %}
        elif not isinstance(node, NO_TEXT):
            raise LooksIntoTexts

    def _loop(self, node: nodes.For) -> None:
        kind = self._only(node.iter, None, "messages")
        if node.recursive:
            raise LooksIntoTexts
        self._assign(node.target, "message" if kind == "messages" else None)
        if node.test is not None:
            self._kind(node.test)
        self.run([*node.body, *node.else_])

    def _macro(self, node: nodes.Macro) -> None:
        """One that writes no text, as whoever calls it may look into what it writes."""
        written = [part for output in node.find_all(nodes.Output) for part in output.nodes]
        for part in [*node.defaults, *written]:
            self._only(part, None)
        self.run(node.body)

    def _assign(self, target: nodes.Node, kind: Kind) -> None:
        if isinstance(target, nodes.Name):
            name = target.name
        elif isinstance(target, nodes.NSRef):
            name = f"{target.name}.{target.attr}"
        elif kind is None:
            return  # several names at once, and none of them gets a text
        else:
            raise LooksIntoTexts
        before = self.kinds.get(name)
        if kind == before or (kind is None and before == "content"):
            return
        if before is not None:
            raise LooksIntoTexts
        self.kinds[name] = kind
        self.changed = True

    def _only(self, node: nodes.Node, *allowed: Kind) -> Kind:
        kind = self._kind(node)
        if kind not in allowed:
            raise LooksIntoTexts
        return kind

    def _kind(self, node: nodes.Node) -> Kind:
        """What an expression gives. Raises LooksIntoTexts where that hangs on what a text says."""
        if isinstance(node, nodes.Name):
            return self._named(node.name)
        if isinstance(node, (nodes.Getattr, nodes.Getitem)):
            return self._member(node)
        if isinstance(node, (nodes.And, nodes.Or, nodes.CondExpr, nodes.Not)):
            return self._choice(node)
        if isinstance(node, nodes.Filter):
            return self._filter(node)
        if isinstance(node, nodes.Call):
            return self._call(node)
        return self._made_of_parts(node)

    def _made_of_parts(self, node: nodes.Node) -> Kind:
        """Texts added to one another; of all else that has parts, what no text is in."""
        if isinstance(node, nodes.Test) and node.name in CONSTANT_TESTS:
            self._kind(node.node)
        elif not isinstance(node, nodes.Compare) or not self._asks_for_key(node):
            allowed: tuple[Kind, ...] = (None, "content") if isinstance(node, (nodes.Add, nodes.Concat)) else (None,)
            if "content" in [self._only(child, *allowed) for child in node.iter_child_nodes()]:
                return "content"
        return None

    def _named(self, name: str) -> Kind:
        """What a variable holds. A loop, or a namespace with a text in it, may not go by another name."""
        if name == "loop" or any(kind and held.startswith(f"{name}.") for held, kind in self.kinds.items()):
            raise LooksIntoTexts
        return self.kinds.get(name)

    def _member(self, node: nodes.Getattr | nodes.Getitem) -> Kind:
        key = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
        if key in ("previtem", "nextitem", "changed"):
            raise LooksIntoTexts
        if isinstance(node.node, nodes.Name) and isinstance(key, str):
            if held := self.kinds.get(f"{node.node.name}.{key}"):
                return held
            if node.node.name == "loop":
                return None
        kind = self._kind(node.node)
        if kind is None:
            if isinstance(node, nodes.Getitem):
                self._only(node.arg, None)
            return None
        if kind == "messages" and isinstance(node, nodes.Getitem):
            self._only(node.arg, None)
            return "messages" if isinstance(node.arg, nodes.Slice) else "message"
        if kind == "message" and isinstance(key, str) and not hasattr(dict, key):
            return "content" if key == "content" else None
        raise LooksIntoTexts

    def _choice(self, node: nodes.Node) -> Kind:
        """A text that is not blank is true, and so are messages: what is chosen hangs on no text."""
        if isinstance(node, nodes.Not):
            self._kind(node.node)
            return None
        if isinstance(node, nodes.CondExpr):
            self._kind(node.test)
            kinds = [self._kind(node.expr1), self._kind(node.expr2) if node.expr2 is not None else None]
        elif isinstance(node, nodes.And):
            self._kind(node.left)
            kinds = [self._kind(node.right), None]
        else:
            kinds = [self._kind(side) for side in node.iter_child_nodes()]
        if not set(kinds) <= {None, "content"}:
            raise LooksIntoTexts
        return "content" if "content" in kinds else None

    def _filter(self, node: nodes.Filter) -> Kind:
        kind = self._kind(node.node) if node.node is not None else None
        for child in [*node.args, *node.kwargs]:
            self._only(child, None)
        if kind is None and node.node is not None:
            return None
        if kind == "content" and node.name in ("trim", "string") and not node.args and not node.kwargs:
            return "content"
        if kind == "messages" and node.name in ("length", "count"):
            return None
        if kind == "messages" and node.name in ("first", "last"):
            return "message"
        raise LooksIntoTexts

    def _call(self, node: nodes.Call) -> Kind:
        given = [*node.args, *node.kwargs, *filter(None, (node.dyn_args, node.dyn_kwargs))]
        if isinstance(node.node, nodes.Getattr) and node.node.attr == "strip" and not given:
            return self._only(node.node.node, None, "content")
        for child in [node.node, *given]:
            self._only(child, None)
        return None

    def _asks_for_key(self, node: nodes.Compare) -> bool:
        """`'tool_calls' in message`"""
        return (
            isinstance(node.expr, nodes.Const)
            and len(node.ops) == 1
            and node.ops[0].op in ("in", "notin")
            and self._kind(node.ops[0].expr) == "message"
        )
