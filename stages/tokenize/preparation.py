"""Makes a tokenizer and a chat template fit each other, before any row is looked at."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from stages.errors import ConfigError
from stages.modelling.chat_template import (
    CONTROL_LITERAL,
    PROBE,
    ChatTemplate,
    ChatTokenizer,
    RenderError,
    match_any,
)
from stages.modelling.tokenizer_files import open_tokenizer, own_template, stop_tokens, tokenizer_folder
from stages.tokenize.builtin_templates import BUILTIN_TEMPLATES
from stages.tokenize.end_token import find_end_token, find_open_ends, find_separator
from stages.tokenize.outlines import Outlines
from stages.tokenize.prepared import Preparation
from stages.tokenize.splitters import find_splitters
from stages.tokenize.stage import TokenizeParams

OWN_TEMPLATE = "tokenizer"
NEW_EOS = "<|endoftext|>"  # for a tokenizer that has no eos_token although the template or a document needs one
NEW_PAD = "<|pad|>"
PAD_NAME = re.compile(
    r"\W*(?:finetune_right_)?pad(?:ding)?(?:_id)?\W*", re.IGNORECASE
)  # Llama 3's, Pythia's, `<pad>`, `[PAD]`
TAG = re.compile(r"</?[^\s<>]{1,40}>|\[/?[^\s\[\]]{1,40}\]")


class Fitted(NamedTuple):
    """The tokenizer as transformers saves it, with the template's control tokens, end token and a padding token."""

    tokenizer: PreTrainedTokenizerFast
    preparation: Preparation


def prepare(params: TokenizeParams) -> Preparation:
    """What the transform needs to know of the tokenizer and the template.

    Raises ConfigError for a tokenizer or template that is missing or cannot be used.
    """
    return fit(params).preparation


def fit(params: TokenizeParams) -> Fitted:
    """The tokenizer and the template made to fit each other; one per process and content. Raises as `prepare` does."""
    if params.tokenizer is None:
        raise ConfigError(
            "tokenize needs the base model's tokenizer and none is given; set it with --set tokenizer=<folder or hub id>, "
            "or as `tokenizer` under tokenize in the profile"
        )
    folder = tokenizer_folder(params.tokenizer)
    files = [path for path in (folder, Path(params.template)) if path.exists()]
    return _fit(str(folder), params.template, _versions(files))


def _versions(paths: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of change of each file, so that files replaced in place are read again."""
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file())


@lru_cache(maxsize=4)
def _fit(folder: str, template: str, versions: object) -> Fitted:
    tokenizer = open_tokenizer(folder)
    tokens_before = len(tokenizer)
    given = _template_text(template, tokenizer)
    text = _without_layout(given, tokenizer)
    _add_tokens(tokenizer, _tokens_written(template, text))
    if tokenizer.eos_token is None:
        _add_tokens(tokenizer, [NEW_EOS])
        tokenizer.eos_token = NEW_EOS
    document_end = tokenizer.eos_token
    end_token = _end_token(tokenizer, text)
    separator = None if end_token else _separator(tokenizer, text)
    tokenizer.eos_token = end_token or separator or document_end
    _set_padding(tokenizer, document_end)
    tokenizer.chat_template = text
    compiled = ChatTemplate(text, tokenizer.special_tokens_map)
    stops = stop_tokens(folder, tokenizer) | ({separator} if separator else set())
    open_ends = (None, None) if end_token else find_open_ends(compiled, stops)
    chat = ChatTokenizer(tokenizer.backend_tokenizer, compiled, end_token, *open_ends)
    name = template if template in (*BUILTIN_TEMPLATES, OWN_TEMPLATE) else Path(template).name
    splitters = match_any(find_splitters(chat))
    tags = _tags(chat.template)
    preparation = Preparation(chat, name, text != given, document_end, tokens_before, splitters, tags, Outlines(chat))
    return Fitted(tokenizer, preparation)


def _tags(template: ChatTemplate) -> re.Pattern[str]:
    """Matches what looks like a tag in the template's own text: `</think>`, `[THINK]`."""
    return match_any({tag for literal in template.literals for tag in TAG.findall(literal)})


def _template_text(template: str, tokenizer: PreTrainedTokenizerFast) -> str:
    names = ", ".join(BUILTIN_TEMPLATES)
    if template == OWN_TEMPLATE:
        if text := own_template(tokenizer):
            return text
        raise ConfigError(
            f"the tokenizer has no chat template of its own, which template=tokenizer asks for; choose one of {names}, "
            "or give the path of a .jinja file"
        )
    if template in BUILTIN_TEMPLATES:
        return BUILTIN_TEMPLATES[template].text
    path = Path(template).expanduser()
    if path.suffix == ".jinja" and path.is_file():
        return path.read_text(encoding="utf-8")
    raise ConfigError(f"template {template!r} is neither the path of a .jinja file nor one of {names}, {OWN_TEMPLATE}")


def _without_layout(text: str, tokenizer: PreTrainedTokenizerFast) -> str:
    """The template as it is, unless its indentation and line breaks are all that keeps prompts from beginning texts, and
    stand between its tags only: what it writes in words of its own stays as it is.

    The templates of chujiezheng/chat_templates are laid out for reading like that; its README loads them so.
    """

    def works(candidate: str) -> bool:
        try:
            return _prompts_begin_texts(ChatTemplate(candidate, tokenizer.special_tokens_map))
        except ConfigError:  # a template that needs its line breaks is no Jinja without them
            return False

    written = ChatTemplate(text, {}).words  # raises ConfigError
    bare = text.replace("    ", "").replace("\n", "")
    return bare if not works(text) and works(bare) and ChatTemplate(bare, {}).words == written else text


def _prompts_begin_texts(template: ChatTemplate) -> bool:
    try:
        prompt = template.render(PROBE[:1], add_generation_prompt=True)
        return template.render(PROBE, add_generation_prompt=False).startswith(prompt)
    except RenderError:
        return False


def _tokens_written(template: str, text: str) -> list[str]:
    """The control tokens a template writes: as declared here, or those that look like one in its own text."""
    if template in BUILTIN_TEMPLATES:
        return list(BUILTIN_TEMPLATES[template].control_tokens)
    literals = ChatTemplate(text, {}).literals
    return sorted({token for literal in literals for token in CONTROL_LITERAL.findall(literal)})


def _add_tokens(tokenizer: PreTrainedTokenizerFast, tokens: Iterable[str]) -> None:
    """Each of `tokens` as one token; those that are there already keep their id and behaviour."""
    known = tokenizer.added_tokens_encoder
    new = [AddedToken(token, special=True, normalized=False) for token in tokens if token not in known]
    tokenizer.add_tokens(new, special_tokens=True)


def _end_token(tokenizer: PreTrainedTokenizerFast, text: str) -> str | None:
    """What the template writes when an answer is over, as one token; None where it writes nothing that could be one."""
    template = ChatTemplate(text, tokenizer.special_tokens_map)
    control = ChatTokenizer(tokenizer.backend_tokenizer, template, None).control_pattern
    found = find_end_token(template, control, tokenizer.eos_token)
    if found is not None:
        _add_tokens(tokenizer, [found])
    return found


def _separator(tokenizer: PreTrainedTokenizerFast, text: str) -> str | None:
    template = ChatTemplate(text, tokenizer.special_tokens_map)
    control = ChatTokenizer(tokenizer.backend_tokenizer, template, None).control_pattern
    return find_separator(template, control, tokenizer.eos_token)


def _set_padding(tokenizer: PreTrainedTokenizerFast, document_end: str) -> None:
    """A padding token that ends no answer: a trainer that ignores padding would never teach the model to stop."""
    if tokenizer.pad_token not in (None, tokenizer.eos_token):
        return
    named = [token for token in sorted(tokenizer.added_tokens_encoder) if PAD_NAME.fullmatch(token)]
    candidates = (*named, document_end, tokenizer.unk_token, tokenizer.bos_token)
    free = [token for token in candidates if token not in (None, tokenizer.eos_token)]
    if not free:
        _add_tokens(tokenizer, [NEW_PAD])
    tokenizer.pad_token = free[0] if free else NEW_PAD
