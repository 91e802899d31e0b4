"""What the filter stage reads, makes and may be told. None turns a rule off, 0 means 0, shares are of 1.

The defaults are for instruction data, where a right answer may be one word, a number or a regular expression: they
reject what is hardly ever a right answer. "n rows" are rows of the 52,002 of Alpaca that break the rule, or would;
where Alpaca says nothing, other data are named: 2,996 rows of Dolly, 7,473 of GSM8K, 1,000 of Alpaca in Chinese.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ValidationError, model_validator

from stages.contract import Params, Stage, setting
from stages.measures.ratings import not_rated
from stages.near_names import did_you_mean

Task = Literal["chat", "code", "math", "extraction", "other"]
Policy = Literal["keep", "mask", "reject"]


class FilterParams(Params):
    """Thresholds on the columns that `score` and `rate` make, in the order in which they are tried."""

    # An answer to nothing teaches to talk unasked. Documents have no question and pass.
    min_prompt_chars: int | None = setting(1, "Rejects a shorter question", unit="characters", ge=0)
    # What a model can read is counted in tokens, by tokenize.
    max_prompt_chars: int | None = setting(None, "Rejects a longer question", unit="characters", ge=0)
    # Only the empty answer (28 rows): "4" and "B" are whole answers.
    min_response_chars: int | None = setting(1, "Rejects a shorter answer", unit="characters", ge=0)
    max_response_chars: int | None = setting(None, "Rejects a longer answer", unit="characters", ge=0)
    # An equals sign, a smiley, a row of dots can be the answer.
    min_response_words: int | None = setting(None, "Rejects an answer of fewer words", unit="words", ge=0)
    # It would teach to write the other side's turns (113 rows).
    reject_template_leak: bool = setting(True, "Rejects marks of a chat template that the question lacks")
    # The answer to one instruction, then the next instruction (36 rows, all rightly).
    reject_merged_instructions: bool = setting(True, "Rejects an answer with a second instruction in it")
    # Another model's limits (33 rows; 31 in Chinese). Turn it off for data that is to teach when to refuse. Who the model
    # is may be answered where it is asked, unless another maker is named.
    reject_refusals: bool = setting(
        True, "Rejects an answer that refuses, or speaks of itself as a language model unasked"
    )
    # Another model's date (none; 1 row of Dolly with HH-RLHF).
    reject_knowledge_cutoff: bool = setting(True, "Rejects an answer that says when its model learned what it knows")
    # Ugly, but the answers are right all the same (630 rows).
    reject_placeholder_input: bool = setting(
        False, "Rejects a question with a line such as <noinput>, or a blank such as <insert topic>"
    )
    # Some of the 45 rows can be answered without the text ("Given the following input, name five instruments").
    reject_missing_text: bool = setting(False, "Rejects a question that points at a text which is not there")
    # Two of three of the 30 rows are cut; the others quote lists of words or end a line of verse.
    reject_unfinished: bool = setting(False, "Rejects an answer that stops within a sentence or a code block")
    # Every such row is inside `unfinished` already, which is wider.
    reject_unclosed_code_fence: bool = setting(False, "Rejects an answer whose last code block is not closed")
    # Loops reach 0.9 (none above 0.8); songs and timetables 0.75, vectors and asked loops do not count.
    max_repeated_trigram_share: float | None = setting(
        0.8, "Rejects an answer with more runs of three words that stood in it before", unit="share", ge=0, le=1
    )
    # Grammar, refrains and tables repeat runs of two; web filters' 0.2 for the most frequent run would reject tables
    # of multiplication. For long plain prose: Gopher's values (Rae et al. 2021, table A1).
    max_repeated_bigram_share: float | None = setting(None, "The same for runs of two words", unit="share", ge=0, le=1)
    max_repeated_fourgram_share: float | None = setting(
        None, "The same for runs of four words", unit="share", ge=0, le=1
    )
    max_top_bigram_share: float | None = setting(
        None, "Rejects an answer of which one run of two words takes more", unit="share", ge=0, le=1
    )
    max_top_trigram_share: float | None = setting(None, "The same for three words", unit="share", ge=0, le=1)
    max_top_fourgram_share: float | None = setting(None, "The same for four words", unit="share", ge=0, le=1)
    # "Repeat the input 5 times" is answered rightly with 0.8; tables of HTML reach 0.7.
    max_repeated_line_share: float | None = setting(
        None, "Rejects an answer with more lines that stood in it before", unit="share", ge=0, le=1
    )
    # Choruses of songs (28 rows above 0.3).
    max_repeated_paragraph_share: float | None = setting(
        None, "Rejects an answer with more paragraphs that stood in it before", unit="share", ge=0, le=1
    )
    # All 3 rows above 17 are rubbish of 170 combining marks; a long number may repeat a digit.
    max_character_run: int | None = setting(
        100, "Rejects an answer with a longer run of one character", unit="characters", ge=1
    )
    # Sudokus and truth tables lie below 0.3 (30 rows), all of them right.
    min_distinct_word_share: float | None = setting(
        None, "Rejects an answer of fewer distinct words", unit="share", ge=0, le=1
    )
    # All 69 rows above 0.5 are regular expressions, Morse code, arrays and smileys.
    max_symbol_share: float | None = setting(None, "Rejects more symbols in the answer", unit="share", ge=0, le=1)
    # 474 rows are nothing but a right number.
    max_digit_share: float | None = setting(None, "Rejects more digits in the answer", unit="share", ge=0, le=1)
    # "A", "#FF9900" and SQL are right (187 rows above 0.7).
    max_uppercase_share: float | None = setting(
        None, "Rejects more upper case among the answer's letters", unit="share", ge=0, le=1
    )
    max_whitespace_share: float | None = setting(
        None, "Rejects more white space in the answer", unit="share", ge=0, le=1
    )
    # The numbers again.
    max_nonalphabetic_share: float | None = setting(
        None, "Rejects more characters that are no letters", unit="share", ge=0, le=1
    )
    # Sorting, quoting and mending punctuation copy everything (611 rows).
    max_answer_copies_prompt_share: float | None = setting(
        None, "Rejects an answer with more runs of three words that stand in its question", unit="share", ge=0, le=1
    )
    # A model cannot open them, yet writing HTML needs them.
    max_url_count: int | None = setting(None, "Rejects a conversation with more links", unit="links", ge=0)
    max_prompt_url_count: int | None = setting(None, "Rejects a question with more links", unit="links", ge=0)
    # Left by copying from web pages; the words around them are right (7, 1 and 1 rows).
    max_invisible_count: int | None = setting(None, "Rejects more characters of no width", unit="characters", ge=0)
    max_bidirectional_count: int | None = setting(
        None, "Rejects more characters that turn the direction of writing", unit="characters", ge=0
    )
    max_control_count: int | None = setting(None, "Rejects more control characters", unit="characters", ge=0)
    # None in Alpaca; web pages have one in a long text (4 of 300).
    max_mojibake_count: int | None = setting(
        None, "Rejects more places read in the wrong encoding", unit="places", ge=0
    )
    # Of 10 rows half are passwords, half are cut.
    max_unclosed_brackets: int | None = setting(
        None, "Rejects an answer that leaves more brackets open", unit="brackets", ge=0
    )
    # "Rewrite this in French" is understood, a request in other words may not be (none; 9 in Chinese, 7 rightly).
    reject_language_mismatch: bool = setting(False, "Rejects an answer in another language than its question")
    # 7 of Dolly's 8 list line by line without a mark, as people do.
    reject_format_mismatch: bool = setting(False, "Rejects an answer without the form that was asked for")
    # People count otherwise (43 rows, most of them a few words over).
    max_words_over_limit: int | None = setting(
        None, "Rejects more words beyond the limit that the question sets", unit="words", ge=0
    )
    max_missing_items: int | None = setting(
        None, "Rejects a list that lacks more of the items asked for", unit="items", ge=0
    )
    # Nearly all are wrong (13 rows; 9 of GSM8K), but the same data has more wrong sums that no rule sees: see which first.
    reject_wrong_equations: bool = setting(False, "Rejects an answer with a sum that does not hold")
    # None in Alpaca; too few to know how right they are.
    reject_contradictions: bool = setting(False, "Rejects an answer that takes back its own verdict or result")
    # A story or a song may say it (none; 2 song titles and a riddle had its words).
    reject_unhelpful: bool = setting(False, "Rejects dismissive or insulting words in the answer")
    # "Are you busy tonight?" may be answered by it (2 rows).
    reject_hedging: bool = setting(False, "Rejects an answer that begins by not knowing")
    # The ratings of models are null until `rate` is asked for them. Above 1 the question makes the answer less likely,
    # which Cherry_LLM (Li et al. 2023) takes for a mismatch of the two; ifd and judges prefer long answers.
    max_perplexity: float | None = setting(None, "Rejects an answer that surprises the base model more", gt=0)
    max_ifd: float | None = setting(None, "Rejects a higher instruction-following difficulty", ge=0)
    min_ifd_length_rank: float | None = setting(
        None, "Rejects a lower rank of ifd among answers of about the same length", unit="share", ge=0, le=1
    )
    min_judge_score: float | None = setting(None, "Rejects a lower grade of the judge")
    # Names, addresses and numbers of instruction data are invented, or public, and often the point of the task:
    # "extract the e-mail address". So they are counted and kept; data of real people needs mask.
    emails: Policy = setting("keep", "E-mail addresses: keep, mask as [EMAIL], or reject the row")
    phones: Policy = setting("keep", "Telephone numbers, as [PHONE]")
    ip_addresses: Policy = setting("keep", "Public internet addresses, as [IP]")
    # With right check digits (1 row, a test number) it is somebody's account. Masking loses no row, and the placeholder says what stood there.
    cards: Policy = setting("mask", "Payment card numbers, as [CARD]")
    ibans: Policy = setting("mask", "International bank account numbers, as [IBAN]")
    # Formats that services give out are never an accident, and a model repeats what it read.
    secrets: Policy = setting("mask", "Keys and tokens of known formats, as [SECRET]")
    # Examples of code and of forms invent them (22 findings in all data, all invented).
    passwords: Policy = setting("keep", "Passwords and tokens that a name announces, as [PASSWORD]")
    by_task: dict[Task, dict[str, Any]] = setting(
        {},
        "Other values for the rows of one task type, which go before those for all, such as {code: {max_symbol_share: null}}",
    )

    @model_validator(mode="after")
    def _tasks_set_what_there_is(self) -> Self:
        for task, changes in self.by_task.items():
            if unknown := sorted(set(changes) - set(type(self).model_fields) | {"by_task"} & set(changes)):
                meant = did_you_mean(unknown[0], type(self).model_fields, before="; ")
                raise ValueError(f"by_task.{task}: {', '.join(unknown)} cannot be set for a task type{meant}")
            _checked(task, type(self), changes)
        return self

    def lacking_in(self, planned: Mapping[str, Params]) -> tuple[str, ...]:
        stated = [self, *map(self.for_task, self.by_task)]
        limits = {
            name for values in stated for name, value in values if name[:4] in ("min_", "max_") and value is not None
        }
        return not_rated({name: name[4:] for name in sorted(limits)}, planned)

    def for_task(self, task: str) -> "FilterParams":
        """The values for the rows of one task type."""
        changes = next((stated for name, stated in self.by_task.items() if name == task), {})
        return type(self)(**{**self.model_dump(exclude={"by_task"}), **changes})


def _checked(task: str, params: type[FilterParams], changes: Mapping[str, Any]) -> None:
    try:
        params(**changes)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"by_task.{task}.{name} = {first['input']!r}: {first['msg']}") from error


STAGE = Stage(
    name="filter",
    purpose="Rejects rows whose signals pass a threshold, with the first reason, its value and its threshold; masks private data",
    kind="rows",
    inputs=("rated",),
    outputs=("kept", "rejected"),
    keeps="kept",
    sets_aside="rejected",
    params=FilterParams,
    image="data",
)
