"""Why a record is set aside: every reason, what a sound record has instead, and what its owner can do."""

from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from stages.texts.private_data import masked

SHOWN_CHARS = 200
READ_CHARS = 2_000  # what is shown is found in them, so that no private data stands there in part


class Advice(NamedTuple):
    """What one reason means to the owner of the data."""

    expected: str
    fix: str


class Unusable(Exception):
    """A record, or one conversation in it, that cannot be used as it is."""

    def __init__(self, reason: str, field: str | None = None, found: object = None) -> None:
        super().__init__(reason, field)
        self.reason = reason
        self.field = field
        self.found = describe(found)


def place_of(value: object, is_at_fault: Callable[[str], object]) -> str | None:
    """Where in a record the first text stands that is at fault, such as `messages[1].content`, in alphabetical order; None where there is none."""
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        place, part = waiting.pop()
        match part:
            case str() if is_at_fault(part):
                return place or None
            case dict():
                waiting.extend(
                    (f"{place}.{name}".lstrip("."), inner) for name, inner in sorted(part.items(), reverse=True)
                )
            case list():
                waiting.extend((f"{place}[{number}]", part[number]) for number in reversed(range(len(part))))
    return None


def describe(value: object) -> str:
    """A text that says what was found in place of something usable, still to be `shown`."""
    match value:
        case None:
            return "null"
        case str():
            return f'"{in_utf8(value)}"'
        case bool() | int() | float():
            return in_utf8(f"{type(value).__name__} {value!r}")
        case dict():
            return in_utf8(f"object with {', '.join(value) or 'no keys'}")
        case list():
            return f"list of {len(value)}"
        case _:
            return type(value).__name__


def in_utf8(text: str) -> str:
    """The first READ_CHARS characters of `text` in a form that UTF-8 can hold."""
    return text[:READ_CHARS].encode("utf-8", "backslashreplace").decode()


def shown(found: pl.Series) -> pl.Series:
    """What was found as people read it: private data masked, then at most SHOWN_CHARS characters and their quotation marks."""
    text = pl.col("found")
    quote = pl.when(text.str.starts_with('"')).then(pl.lit('"')).otherwise(pl.lit(""))
    cut = pl.concat_str(text.str.head(pl.lit(SHOWN_CHARS) + quote.str.len_chars()), pl.lit("…"), quote)
    is_long = text.str.len_chars() > pl.lit(SHOWN_CHARS) + 2 * quote.str.len_chars()
    return masked(found).to_frame("found").select(pl.when(is_long).then(cut).otherwise(text)).to_series()


ANSWER = "a text that answers the prompt"
PROMPT = "a text to be answered"
UTF8 = "text in UTF-8"
JSON = "one whole JSON value per record"
FORMATS = "JSON, JSONL, CSV, Parquet, Arrow or .txt, also as .gz, .bz2, .xz or .zst"

ADVICE: dict[str, Advice] = {
    # files
    "symbolic_link": Advice("a regular file", "copy the file that the link points to into the source"),
    "not_a_regular_file": Advice("a regular file", "take the pipe, socket or device out of the source"),
    "unreadable": Advice("a file that may be read", "give the user of the pipeline the right to read it"),
    "empty_file": Advice("a file with records", "fill the file or take it out of the source"),
    "unsupported_format": Advice(FORMATS, "unpack or convert the file, or take it out of the source"),
    "archive": Advice(FORMATS, "unpack it into a folder of the source; save each sheet of a workbook as CSV"),
    "git_lfs_pointer": Advice("the file itself", "fetch it with `git lfs pull` where it was cloned, and copy it again"),
    "unsupported_encoding": Advice(
        UTF8, "convert the file to UTF-8 (iconv -f UTF-16LE -t UTF-8); the records before the fault were read"
    ),
    "corrupt_compression": Advice(
        "sound compressed data", "fetch the file again; the records before the fault were read"
    ),
    "truncated": Advice(
        "a file that ends where its last record ends", "fetch the file again; the records before were read"
    ),
    "trailing_data": Advice(
        "nothing after the end of the array",
        "write one array, or one value per line, and what is said of all records before them",
    ),
    "invalid_parquet": Advice("a sound Parquet file", "write the file again"),
    "invalid_arrow": Advice("a sound Arrow file", "write the file again; the rows before the fault were read"),
    "batch_too_large": Advice(
        "batches of rows that fit into a few hundred MiB", "write the file again with fewer rows to a batch"
    ),
    "row_group_too_large": Advice(
        "row groups that fit into a few hundred MiB",
        "write the file again with shorter values or fewer rows to a group",
    ),
    "invalid_header": Advice(
        "a first line with the names of the columns, each once and in UTF-8",
        "mend the header line, or convert the file to UTF-8",
    ),
    # records that cannot be read
    "invalid_json": Advice(JSON, "mend the record at this byte offset"),
    "comment": Advice(JSON, "nothing: the records around it were read"),
    "duplicate_key": Advice("each key once in an object", "keep the value that is meant"),
    "nested_too_deep": Advice("brackets nested less than about 900 deep", "flatten the record"),
    "invalid_utf8": Advice(
        UTF8,
        "convert the file from its encoding (iconv -f WINDOWS-1252 -t UTF-8, or GB18030, SHIFT_JIS and so on), or, if it "
        "is Windows-1252, allow the repair windows_1252_decoded",
    ),
    "line_too_long": Advice("a line of at most max_record_bytes", "split the record or raise max_record_bytes"),
    "record_too_long": Advice("a record of at most max_record_bytes", "split the record or raise max_record_bytes"),
    "invalid_quoting": Advice('quotes inside a quoted field doubled: ""', "write the row again with a CSV writer"),
    "wrong_field_count": Advice(
        "as many fields as the header has names",
        "quote fields that hold the delimiter; take titles above the header away",
    ),
    "repeated_header": Advice("a row of values", "nothing: the rows around it were read"),
    # records of no known dialect
    "not_an_object": Advice("a JSON object, a list of messages or a document", "wrap the value in an object"),
    "answer_fragment": Advice(
        "a whole answer with its prompt",
        "log requests and whole answers: this is a piece of one as a server streams it",
    ),
    "request_alone": Advice(
        "a request with its answer",
        "put the file with the answers into the same folder: they are joined by custom_id",
    ),
    "answer_alone": Advice(
        "an answer with its request",
        "put the file with the requests into the same folder, to be joined by custom_id, or write a field `messages` with "
        "the messages of the request beside the answer",
    ),
    "duplicate_custom_id": Advice(
        "one request and one answer of each custom_id in a folder",
        "put the files of each batch into a folder of their own",
    ),
    "cut_off": Advice(
        "whole texts",
        "fetch the record again whole, or send the request again with more max_tokens: a text was cut off",
    ),
    "failed_request": Advice("an answer", "send the request again, or leave it out"),
    "several_answers": Advice(
        "one answer to one prompt",
        "write a record for each answer that is to be learnt, or name its column with the parameter `columns`",
    ),
    "several_prompts": Advice(
        "one prompt, and beside it no other",
        "name the column of the prompt with the parameter `columns`, and the other one as its context if it belongs there",
    ),
    "choices_not_shown": Advice(
        "a prompt that shows the choices, or an answer in words",
        "write the choices into the prompt, or give `templates` that do",
    ),
    "unknown_dialect": Advice(
        "fields of a known dialect", "name the columns with the parameter `columns`, or give `templates`"
    ),
    "preference_pair": Advice("one answer to one prompt", "keep the chosen answer only"),
    "undesired_answer": Advice("an answer to learn from", "drop the record, which tells what not to answer (KTO)"),
    "image_content": Advice("text only", "leave out records with images, audio or files"),
    "tree_fragment": Advice("message_id, parent_id, role and text", "export the message with all of these fields"),
    "missing_parent": Advice(
        "the message that is replied to, in the same file", "export whole trees, each into one file"
    ),
    "duplicate_message": Advice("each message id once in a file", "drop the message that is there twice"),
    "no_message_id": Advice("a message id that is text", "export the message with its id"),
    # fields
    "not_text": Advice("text", "write the value as text, or give `templates` that show it"),
    "nul_character": Advice("text without NUL characters", "remove the NUL characters"),
    "invalid_unicode": Advice("text without lone surrogates", "write the text again from its source"),
    "template_failed": Advice("fields that the prompt template can show", "mend the record or the template"),
    "special_token": Advice(
        "text without the control tokens of chat templates", "take the marks out, or change special_token_pattern"
    ),
    "unfilled_placeholder": Advice(
        "a prompt with its blanks filled in", "fill in the template, or change placeholder_pattern"
    ),
    "invalid_tools": Advice("a JSON array of tools", "mend the list of tools"),
    "invalid_tool_call": Advice("JSON with a name and arguments", "mend the tool call"),
    "invalid_choice": Advice("a list of choices and the position of the right one", "mend choices and gold"),
    # turns
    "empty_prompt": Advice(PROMPT, "fill in the prompt or drop the record"),
    "no_prompt": Advice(PROMPT, "add the prompt that is answered, or name its column with the parameter `columns`"),
    "no_answer": Advice(ANSWER, "add an answer, name its column with the parameter `columns`, or drop the record"),
    "empty_answer": Advice(ANSWER, "add an answer or drop the record"),
    "placeholder_answer": Advice(ANSWER, "add an answer or drop the record"),
    "empty_text": Advice("a document", "fill in the text or drop the record"),
    "no_turns": Advice("a list of turns", "fill in the turns or drop the record"),
    "not_a_turn": Advice("an object with role and content", "write each turn as an object with role and content"),
    "unknown_role": Advice("system, user, assistant or tool, or ShareGPT's names for them", "rename the role"),
    "unknown_content_part": Advice("parts of type text, reasoning or tool_call", "write the content as text"),
    "assistant_first": Advice("a user turn before the first answer", "add the user turn that is answered"),
    "unexpected_tool_turn": Advice(
        "a tool turn after the assistant turn that called it", "add the call or drop the tool turn"
    ),
    "two_user_turns": Advice(
        "an answer between two user turns", "add the answer, or allow the repair user_turns_merged"
    ),
    "two_assistant_turns": Advice(
        "a user or tool turn between two answers", "join the answers or add the turn between them"
    ),
    "unanswered_turn": Advice("an answer at the end", "add the answer, or allow the repair trailing_turns_removed"),
    "excluded_turn": Advice("an answer to learn", "give an answer another weight than 0, or drop the record"),
    "bad_weight": Advice(
        "a weight from 0 to 1,000, and 0 or 1 for a single message",
        "give another weight, or call the field otherwise if it is none",
    ),
    "deleted_message": Advice("messages that were not deleted", "drop the branch from the tree"),
}
