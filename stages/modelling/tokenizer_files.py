"""Opens the tokenizer in a folder or on the hub, whatever form its files have; runs no code from them, loads no torch."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from stages.errors import ConfigError, ServiceUnavailable
from stages.modelling.chat_template import ChatTemplate, ChatTokenizer
from stages.modelling.tokenizer_forms import FORMS, GPT2_FILES, TOKENIZER_JSON

TOKENIZER_CONFIG = "tokenizer_config.json"
GENERATION_CONFIG = "generation_config.json"
GPT2_CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")
GPT2_TOKEN = "<|endoftext|>"  # begins, ends and stands for the unknown in GPT-2's own encoder.py
TOOL_USE = "tool_use"  # transformers' name of the template for requests with tools
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
HUB_FILES = [
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "additional_chat_templates/*",
    GENERATION_CONFIG,
    "vocab.json",
    "merges.txt",
]


def open_tokenizer(name: str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer in the folder `name`, or of the hub id `name`; never cuts and never pads what it encodes.

    Raises ConfigError where there is no tokenizer or one that only its own code could read, ServiceUnavailable when
    the hub does not answer.
    """
    folder = tokenizer_folder(name)
    tokenizer = _open_folder(folder)
    if not tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=False):
        # What transformers 5 makes and saves of GPT-2's files when they are given to the class as vocab_file.
        raise ConfigError(
            f"the vocabulary in {folder / TOKENIZER_JSON} is empty; save that tokenizer again from its files"
        )
    tokenizer.backend_tokenizer.no_truncation()  # tokenizer.json may hold a length of its own
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def open_chat_tokenizer(folder: Path) -> ChatTokenizer:
    """The tokenizer of a tuned model's folder, or tokenize's `tokenizer` output, with the template saved there."""
    tokenizer = open_tokenizer(folder)
    text = own_template(tokenizer)
    if text is None:
        raise ConfigError(f"the tokenizer in {folder} has no chat template; give the folder that tokenize made")
    template = ChatTemplate(text, tokenizer.special_tokens_map)
    return ChatTokenizer(tokenizer.backend_tokenizer, template, tokenizer.eos_token)


def stop_tokens(folder: str | Path, tokenizer: PreTrainedTokenizerFast) -> set[str]:
    """The tokens at which servers of the base model stop, as its generation_config.json says beside the tokenizer."""
    path = Path(folder) / GENERATION_CONFIG
    stated = _read_json(path).get("eos_token_id") if path.is_file() else None
    ids = [id_ for id_ in (stated if isinstance(stated, list) else [stated]) if isinstance(id_, int)]
    known = range(len(tokenizer))
    return {token for id_ in ids if id_ in known and (token := tokenizer.backend_tokenizer.id_to_token(id_))}


def own_template(tokenizer: PreTrainedTokenizerFast) -> str | None:
    """The template that a tokenizer brings. Of several, servers take the one named `tool_use` where a request has tools,
    else `default`, and so does what is returned."""
    template: str | dict[str, str] | None = tokenizer.chat_template
    if not isinstance(template, dict):
        return template
    default, with_tools = template.get("default"), template.get(TOOL_USE)
    if default is None or with_tools is None:
        return default
    return f"{{% if tools %}}{_inside_a_block(with_tools)}{{% else %}}{_inside_a_block(default)}{{% endif %}}"


def _inside_a_block(template: str) -> str:
    """A template that renders between other tags what it renders alone: blocks take white space beside them along, and a
    template its last line break."""
    return f"{{{{ '' }}}}{template.removesuffix(chr(10))}{{{{ '' }}}}"


def tokenizer_folder(name: str | Path) -> Path:
    """The folder with the tokenizer's files, fetched when `name` is a hub id and no folder."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if not HUB_ID.fullmatch(str(name)):
        raise ConfigError(f"tokenizer {name} is no folder; give a folder that holds {FORMS}, or a hub id")
    return _fetch(str(name))


@cache
def _fetch(name: str) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except LocalEntryNotFoundError as error:
        raise ServiceUnavailable(
            f"tokenizer {name} is no folder here, and the hub, which may have one of that name, does not answer "
            f"({_first_line(error)}); give the path of a folder that holds {FORMS}"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"tokenizer {name} is neither a folder here nor on the hub ({_first_line(error)}); give a folder that "
            f"holds {FORMS}, or a hub id"
        ) from error


def _open_folder(folder: Path) -> PreTrainedTokenizerFast:
    if (folder / TOKENIZER_JSON).is_file():
        _read_json(folder / TOKENIZER_JSON)  # tokenizers raises bare Exception for what is not JSON
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    for vocabulary, merges in GPT2_FILES:
        if (folder / vocabulary).is_file() and (folder / merges).is_file():
            return _open_gpt2(folder, vocabulary, merges)
    raise ConfigError(f"folder {folder} holds no tokenizer that can be read; it needs {FORMS}")


def _open_gpt2(folder: Path, vocabulary: str, merges: str) -> PreTrainedTokenizerFast:
    config = _read_json(folder / TOKENIZER_CONFIG) if (folder / TOKENIZER_CONFIG).is_file() else {}
    made_for = config.get("tokenizer_class", GPT2_CLASSES[0])
    if made_for not in GPT2_CLASSES:
        raise ConfigError(
            f"folder {folder} holds {vocabulary} and {merges} of a {made_for}, which splits text by its own rule; "
            f"open it with transformers' AutoTokenizer and save it, which writes {TOKENIZER_JSON}"
        )
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / vocabulary), str(folder / merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_special_tokens(config, tokenizer))


def _special_tokens(config: dict[str, Any], tokenizer: Tokenizer) -> dict[str, str]:
    """Role -> token, as tokenizer_config.json says; GPT-2's own one token for three roles where it says nothing."""
    stated = {role: config[role] for role in SPECIAL_TOKENS if config.get(role)}
    if stated:
        return {role: token["content"] if isinstance(token, dict) else token for role, token in stated.items()}
    known = tokenizer.token_to_id(GPT2_TOKEN) is not None
    return dict.fromkeys(SPECIAL_TOKENS[:3], GPT2_TOKEN) if known else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON ({error}); copy the tokenizer's files again") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds a {type(found).__name__} and no object; copy the tokenizer's files again")
    return found


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
