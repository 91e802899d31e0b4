"""What the filter stage reads, makes and may be told. None turns a rule off, 0 means 0, shares are of 1.

The defaults are for instruction data, where a right answer may be one word, a number or a regular expression: they
reject what is hardly ever a right answer. "n rows" are rows of the 52,002 of Alpaca that break the rule, or would.
"""

from stages.contract import Params, Stage, setting


class FilterParams(Params):
    """Thresholds on the columns of `rated`, in the order in which they are tried."""

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
    # Another model's limits (33 rows). Turn it off for data that is to teach when to refuse.
    reject_refusals: bool = setting(True, "Rejects an answer that refuses, or speaks of itself as a language model")
    # Ugly, but the answers are right all the same (630 rows).
    reject_placeholder_input: bool = setting(False, "Rejects a question with a line such as <noinput> or N/A")
    # About half of the 45 rows are cut; the others quote lists of words or close a letter with "Sincerely,".
    reject_unfinished: bool = setting(False, "Rejects an answer that stops within a sentence or a code block")
    # Loops reach 0.9 (1 row above 0.8); truth tables, songs and timetables 0.75.
    max_repeated_trigram_share: float | None = setting(
        0.8, "Rejects an answer with more runs of three words that stood in it before", unit="share", ge=0, le=1
    )
    # All 69 rows above 0.5 are regular expressions, Morse code, arrays and smileys.
    max_symbol_share: float | None = setting(None, "Rejects more symbols in the answer", unit="share", ge=0, le=1)
    # 474 rows are nothing but a right number.
    max_digit_share: float | None = setting(None, "Rejects more digits in the answer", unit="share", ge=0, le=1)
    # Sorting, quoting and mending punctuation copy everything (611 rows).
    max_answer_copies_prompt_share: float | None = setting(
        None, "Rejects an answer with more runs of three words that stand in its question", unit="share", ge=0, le=1
    )
    # A model cannot open them, yet writing HTML needs them.
    max_url_count: int | None = setting(None, "Rejects a conversation with more links", unit="links", ge=0)


STAGE = Stage(
    name="filter",
    purpose="Rejects rows whose signals pass a threshold, with the first reason, its value and its threshold",
    kind="rows",
    inputs=("rated",),
    outputs=("kept", "rejected"),
    keeps="kept",
    sets_aside="rejected",
    params=FilterParams,
    image="data",
)
