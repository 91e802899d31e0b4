"""What ingest reads, makes and lets a run change."""

import re
from typing import Literal

from pydantic import field_validator

from stages.contract import Params, Stage, setting
from stages.raw_files.repair_names import COMMAS_REMOVED, COMMENTS_REMOVED, PYTHON_READ, FileRepair

Column = Literal["prompt", "context", "response", "reasoning", "system", "tools", "task", "weight", "text", "messages"]
Repair = Literal[
    "placeholder_input_removed",
    "preamble_removed",
    "transcript_split",
    "trailing_turns_removed",
    "user_turns_merged",
    "gutenberg_licence_removed",
    FileRepair,
]
LICENCE_REMOVED: Repair = "gutenberg_licence_removed"
PLACEHOLDER = r"\{\{\s*[A-Za-z_][\w. -]*\s*\}\}"
# Marks that the chat templates of ChatML, Llama, Mistral, Gemma, Phi, GPT, DeepSeek, Command, Granite and OpenChat turn into
# control tokens.
CONTROL_TOKEN = (
    r"<\|(?:im_start|im_end|im_sep|endoftext|startoftext|endofprompt|begin_of_text|end_of_text|start_header_id|end_header_id"
    r"|eot_id|eom_id|python_tag|system|user|assistant|prompter|end|channel|message|start|return|call|end_of_turn|USER|ASSISTANT"
    r"|(?:start|end)_of_role|(?:START|END)_OF_TURN_TOKEN|(?:USER|CHATBOT|SYSTEM)_TOKEN)\|>|<｜[^｜\s]{1,40}｜>"
    r"|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|\[(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
)
CONTROL_TOKEN_STARTS = ("<|", "<｜", "_of_turn>", "INST]", "SYS>>", "[AVAILABLE_TOOLS]", "[TOOL_")


class IngestParams(Params):
    columns: dict[Column, str] = setting(
        {},
        "which column is what, for tables with names of their own: {prompt: Model Prompt, response: Correct Answer}, "
        "or {messages: dialog}; "
        "upper and lower case are the same; records that lack a column named here are told by their own names",
    )
    templates: str | None = setting(
        None,
        "prompt templates that make instructions of data sets for other tasks: a YAML, JSON or Jinja file (stages/ingest/templates.py says of what form), or `nlp` for "
        "the built-in ones; several for a task, of which each record gets one by its content",
        content=True,
    )
    repairs: tuple[Repair, ...] = setting(
        (
            "placeholder_input_removed",
            "preamble_removed",
            "transcript_split",
            "trailing_turns_removed",
            LICENCE_REMOVED,
            COMMAS_REMOVED,
            COMMENTS_REMOVED,
            PYTHON_READ,
        ),
        "repairs that may be made, each written on the rows it touched; without its repair a record is left as it is, "
        "or set aside where it cannot be used so",
    )
    placeholder_pattern: str | None = setting(
        PLACEHOLDER,
        "regular expression for a template's blank that was never filled in; prompts that hold one are set aside",
    )
    special_token_pattern: str | None = setting(
        CONTROL_TOKEN,
        "regular expression for marks that a tokenizer may turn into control tokens; conversations that hold one in any "
        "text are set aside, whatever the tokenizer that is used later",
    )
    tree_paths: Literal["all", "best"] = setting(
        "all",
        "of a message tree, every path from the root to a last answer, or the one path of the best ranked replies",
    )
    max_record_bytes: int = setting(
        1 << 24, "longest record that is read; a longer one is set aside", unit="bytes", ge=1 << 10, le=1 << 28
    )
    text_chars: int = setting(
        2_000,
        "plain text files become documents of whole paragraphs up to this length together",
        unit="characters",
        ge=100,
        le=10_000_000,
    )

    @field_validator("columns")
    @classmethod
    def _a_row_has_a_use(cls, columns: dict[Column, str]) -> dict[Column, str]:
        if columns and not ({"prompt", "response"} <= set(columns) or {"text", "messages"} & set(columns)):
            raise ValueError("name a prompt and a response column, or one of messages, or one of text")
        return columns

    @field_validator("placeholder_pattern", "special_token_pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return pattern


STAGE = Stage(
    name="ingest",
    purpose="Read raw files of any dialect into conversations and set aside what cannot be used",
    kind="job",
    inputs=("raw",),
    outputs=("conversations", "quarantined"),
    params=IngestParams,
    image="data",
)
