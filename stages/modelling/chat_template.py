"""Renders conversations with a tokenizer's chat template, the same way for training and for asking the model."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import jinja2
from jinja2 import nodes
from tokenizers import AddedToken, Tokenizer

from stages.errors import ConfigError
from stages.modelling.template_messages import (
    Message,
    Tools,
    as_parts,
    other_forms,
    template_messages,
    template_tools,
)
from stages.modelling.template_messages import (
    RenderError as RenderError,
)
from stages.modelling.template_sandbox import Span, compile_template, generation_blocks

# What a template can raise by itself, or because a message lacks what it counts on.
RENDER_ERRORS = (
    *(jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError),
    *(RuntimeError, MemoryError),  # a macro without end, a text without end
)
Settings = Mapping[str, bool]
DEFAULT: Settings = {}  # of the template's own making
# Text that no one writes by chance: `<|im_start|>`, with DeepSeek's full-width bars, or Gemma 4's `<|turn>` and `<turn|>`.
CONTROL_LITERAL = re.compile(r"<[|｜][^\s<>|｜]+[|｜]?>|<[^\s<>|｜]+[|｜]>")

PROBE = [{"role": "user", "content": "temperquestion"}, {"role": "assistant", "content": "temperanswer"}]
# What templates call the switch between answers with and without reasoning: Qwen's, GLM's and NVIDIA's; DeepSeek's, which sets
# it itself where it is not told; names of the same kind that the template only reads.
THINKING = ("enable_thinking", "thinking")
LIKE_THINKING = re.compile(
    r"(enable_|use_|with_)?(think|thinking|reason|reasoning|thought|thoughts)(_mode|_enabled|_on)?"
)


class ChatTemplate:
    """A compiled template; `text` is its Jinja source, `special_tokens` what `bos_token` and the like stand for.

    It renders what transformers' `apply_chat_template` does, except that today is always the same day, and can be
    pickled. Raises ConfigError when the source is not Jinja.
    """

    def __init__(self, text: str, special_tokens: Mapping[str, str]) -> None:
        self.text = text
        self.special_tokens = dict(special_tokens)
        try:
            self._compiled = compile_template(text)
            "".join(self.literals).encode()
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(
                f"chat template, line {error.lineno}: {error.message}; mend it or choose another"
            ) from error
        except (SyntaxError, RecursionError, UnicodeEncodeError) as error:  # Jinja makes Python code of it
            raise ConfigError(f"chat template: {error}; mend it or choose another") from error

    def __reduce__(self) -> tuple[type[Self], tuple[str, dict[str, str]]]:
        return type(self), (self.text, self.special_tokens)

    def render(
        self,
        messages: Sequence[Message],
        tools: Tools | None = None,
        *,
        add_generation_prompt: bool,
        settings: Settings = DEFAULT,
    ) -> str:
        """The conversation as text. With `add_generation_prompt` it ends where the next answer begins.

        `messages` and `tools` have the form that `template_messages` and `template_tools` give; where the template
        stumbles over tool calls in it, other forms that servers use are tried. Raises RenderError.
        """
        given = as_parts(messages) if self.takes_parts else messages
        try:
            return self._render(given, tools, add_generation_prompt, settings)
        except RENDER_ERRORS as error:
            for form in (*other_forms(given), *([as_parts(given)] if self.takes_both else [])):
                with suppress(*RENDER_ERRORS):
                    return self._render(form, tools, add_generation_prompt, settings)
            raise RenderError(str(error) or type(error).__name__) from error

    def _render(
        self, messages: Sequence[Message], tools: Tools | None, add_generation_prompt: bool, settings: Settings
    ) -> str:
        rendered: str = self._compiled.render(
            messages=messages,
            tools=tools,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **settings,
            **self.special_tokens,
        )
        return rendered

    @cached_property
    def has_generation_tags(self) -> bool:
        """Whether the template says itself, in `{% generation %}`, what of its text the model writes."""
        blocks = self.tree.find_all(nodes.CallBlock)
        return any(isinstance(block.call.node, nodes.ExtensionAttribute) for block in blocks)

    def render_tagged(
        self, messages: Sequence[Message], tools: Tools | None = None, *, settings: Settings = DEFAULT
    ) -> tuple[str, list[Span]]:
        """The conversation as text, and from where to where each `{% generation %}` block of it goes. Raises RenderError."""
        blocks: list[str] = []
        given = as_parts(messages) if self.takes_parts else messages
        told = {"tools": tools, "documents": None, "add_generation_prompt": False, **settings, **self.special_tokens}
        try:
            with generation_blocks(self._compiled).noted(blocks) as spans:
                for block in self._compiled.generate(messages=given, **told):
                    blocks.append(block)
        except RENDER_ERRORS as error:
            raise RenderError(str(error) or type(error).__name__) from error
        return "".join(blocks), spans

    @cached_property
    def takes_parts(self) -> bool:
        """Whether the template shows only content that is a list of parts, as those of some vision models do."""
        return not self._shows(PROBE) and self._shows(as_parts(PROBE))

    @cached_property
    def takes_both(self) -> bool:
        """Whether it writes the same of a text and of a part; Gemma 3's first template takes system turns in parts only."""
        with suppress(*RENDER_ERRORS):
            return self._shows(PROBE) and self._render(PROBE, None, False, DEFAULT) == self._render(
                as_parts(PROBE), None, False, DEFAULT
            )
        return False

    def _shows(self, messages: Sequence[Message]) -> bool:
        with suppress(*RENDER_ERRORS):
            rendered = self._render(messages, None, False, DEFAULT)
            as_python = "{'type': " in rendered.casefold()  # of a part, which no template means to write
            return not as_python and all(message["content"] in rendered for message in PROBE)
        return False

    @cached_property
    def generation_prompt(self) -> str:
        """What it adds behind a question so that it is answered; nothing where it adds nothing, or cannot be asked."""
        with suppress(RenderError):
            asked, told = (self.render(PROBE[:1], add_generation_prompt=asks) for asks in (True, False))
            return asked.removeprefix(told) if asked.startswith(told) else ""
        return ""

    @cached_property
    def plain_prompt(self) -> str:
        """What a server sends for a question that is all of a conversation; nothing where the template refuses it."""
        with suppress(RenderError):
            return self.render(PROBE[:1], add_generation_prompt=True)
        return ""

    @cached_property
    def header(self) -> str:
        """What opens the turn of an answer: what is added so that it is answered, or, where nothing is, what stands before
        the text of an answer."""
        if self.generation_prompt:
            return self.generation_prompt
        with suppress(RenderError):
            told, answered = (self.render(shown, add_generation_prompt=False) for shown in (PROBE[:1], PROBE))
            if answered.startswith(told):
                return answered[len(told) :].partition(PROBE[1]["content"])[0]
        return ""

    @cached_property
    def variants(self) -> tuple[Settings, ...]:
        """What a server may be told with a request: nothing, or, where the template asks, to think or not to."""
        names = list(self.tree.find_all(nodes.Name))
        made = {node.name for node in names if node.ctx != "load"}
        asked = {node.name for node in names if node.name in THINKING}
        asked |= {node.name for node in names if LIKE_THINKING.fullmatch(node.name) and node.name not in made}
        stated = [{name: value} for name in sorted(asked) for value in (False, True)]
        return (DEFAULT, *stated)

    @property
    def literals(self) -> set[str]:
        """The texts that the template writes by itself, that is those that come from no message."""
        written = {node.data for node in self.tree.find_all(nodes.TemplateData)}
        return written | {node.value for node in self.tree.find_all(nodes.Const) if isinstance(node.value, str)}

    @property
    def words(self) -> set[str]:
        """Those of `literals` that are more than white space."""
        return {text for text in self.literals if text.strip()}

    @cached_property
    def tree(self) -> nodes.Template:
        """What the source says, parsed."""
        parsed: nodes.Template = self._compiled.environment.parse(self.text)
        return parsed

    @cached_property
    def draws_at_random(self) -> bool:
        """Whether what it writes may be another text each time, so that no rendering says what a server sends."""
        filters = {node.name for node in self.tree.find_all(nodes.Filter)}
        return "random" in filters or "lipsum" in {node.name for node in self.tree.find_all(nodes.Name)}

    @property
    def asks_for_the_date(self) -> bool:
        return "strftime_now" in self.text


@dataclass(frozen=True)
class ChatTokenizer:
    """A tokenizer, the template that goes with it, and the token that ends a turn (None: the template has none)."""

    backend: Tokenizer
    template: ChatTemplate
    end_token: str | None
    # What ends an answer's text, and a call, that the template itself leaves open.
    open_end: str | None = None
    open_call_end: str | None = None

    @property
    def _added_tokens(self) -> Iterable[AddedToken]:
        return self.backend.get_added_tokens_decoder().values()

    @cached_property
    def control_tokens(self) -> frozenset[str]:
        """Tokens that steer and must never come out of a message: the special ones, what ends a turn, and those that the
        template writes."""
        written = {token for text in self.template.literals for token in CONTROL_LITERAL.findall(text)}
        written |= {token for token in (self.end_token, self.open_end, self.open_call_end) if token}
        return frozenset(token.content for token in self._added_tokens if token.special or token.content in written)

    @cached_property
    def control_ids(self) -> dict[str, int]:
        return {token: self.token_id(token) for token in sorted(self.control_tokens)}

    @cached_property
    def control_pattern(self) -> re.Pattern[str]:
        """Matches any control token, the longest first; matches nothing where there is none."""
        return match_any(self.control_tokens)

    @cached_property
    def finds_control_late(self) -> bool:
        """Whether a control token is looked for in a text that was normalised, so that other spellings become it."""
        return any(token.normalized for token in self._added_tokens if token.content in self.control_tokens)

    @cached_property
    def bos_id(self) -> int | None:
        bos = self.template.special_tokens.get("bos_token")
        return self.backend.token_to_id(bos) if bos else None

    @cached_property
    def unknown_token(self) -> str | None:
        """What the tokenizer writes for a text that it has no token for; None where it never does."""
        model = self.backend.model
        # GPT-2 states one that its model never writes; a Unigram model does not say which it writes.
        token = model.unk_token if hasattr(model, "unk_token") else self.template.special_tokens.get("unk_token")
        return token if token and self.backend.token_to_id(token) is not None else None

    def token_id(self, token: str) -> int:
        """The id of a token that the tokenizer has."""
        found = self.backend.token_to_id(token)
        if found is None:
            raise KeyError(token)
        return found

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each rendered text; nothing is added to either end."""
        return [encoding.ids for encoding in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, control tokens included."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=False)
        return text

    def prompt(
        self, messages: Sequence[Mapping[str, Any]], tools: str | None = None, settings: Settings = DEFAULT
    ) -> str:
        """What the model is given so that it answers `messages`, which are as in the `conversations` dataset."""
        given = template_messages(messages), template_tools(tools)
        return self.template.render(*given, add_generation_prompt=True, settings=settings)

    def prompt_ids(
        self, messages: Sequence[Mapping[str, Any]], tools: str | None = None, settings: Settings = DEFAULT
    ) -> list[int]:
        """Token ids of `prompt`; with the example's own `prompt_settings`, exactly those that it begins with."""
        return self.encode([self.prompt(messages, tools, settings)])[0]


def match_any(tokens: Iterable[str]) -> re.Pattern[str]:
    """A pattern for any of `tokens`, the longest first; for nothing where there is none."""
    longest_first = sorted(tokens, key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
