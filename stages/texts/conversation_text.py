"""The texts of a conversation, as Polars expressions over a `messages` column.

System turns are left out of every text: they say how to answer, and many unrelated rows share one. Tool calls are
text like any other, so an answer that is only a tool call is not empty.
"""

import polars as pl

# Scripts written without spaces between words; each of their characters counts as one word.
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# Soft hyphens, joiners, spaces of no width and byte order marks: within a word they are not seen.
INVISIBLE = r"[\u00ad\u200b-\u200d\u2060\ufeff]"
WORD = rf"[{UNSPACED}]|[\w--{UNSPACED}]+"
WHITE_RUN = r"[^\S ]\s*| \s+"  # not a space that stands alone, which most do and which need not be replaced
# No text of these alone is changed by NFKC, which takes longer than all else: frequent letters, signs and emoji of which
# none is a form of another character and none joins the one before it.
IN_NFKC = "\\x00-\\x9f¡-§©«-®°±¶»¿-ıĴ-ľŁ-ňŊ-žΑ-ώЀ-҂‐‒-‖‘-•←-↿─-◿、。ぁ-ゖァ-ヺ一-\\u9fff가-힣\\ufe0f😀-🙏"


def prompt_text() -> pl.Expr:
    """What the last answer answers: the user and tool turns, one below the other; empty for a `text` document."""
    return _joined(_turn_text().filter(_role().is_in(["user", "tool"])))


def response_text(*, reasoning: bool = False) -> pl.Expr:
    """The last turn: the answer, with its reasoning before it on request, or the text of a `text` document."""
    return pl.col("messages").list.eval(_turn_text(reasoning=reasoning)).list.last()


def context_text(separator: str) -> pl.Expr:
    """All turns before the last, the system's too, with `separator` between them; empty for a `text` document."""
    before = pl.col("messages").list.head(pl.col("messages").list.len() - 1)
    return before.list.eval(_turn_text()).list.join(separator)


def answers_text() -> pl.Expr:
    """Everything the model is to say: the assistant turns, one below the other, or the text of a `text` document."""
    return _joined(_turn_text().filter(_role().is_in(["assistant", "text"])))


def conversation_text() -> pl.Expr:
    """All turns but the system's with their reasoning, one below the other."""
    return _joined(_turn_text(reasoning=True).filter(_role() != "system"))


def every_text() -> pl.Expr:
    """All turns with their reasoning, the system's too, one below the other: for what may stand in none of them."""
    return _joined(_turn_text(reasoning=True))


def opening_text() -> pl.Expr:
    """The first turn that is not the system's; conversations that branch off one another share it."""
    return pl.col("messages").list.eval(_turn_text().filter(_role() != "system")).list.first()


def later_questions() -> pl.Expr:
    """The user's turns but the first, as a list; empty for a `text` document."""
    return pl.col("messages").list.eval(_turn_text().filter(_role() == "user").slice(1))


def normalised(text: pl.Expr) -> pl.Expr:
    """`text` in Unicode NFKC and lower case without INVISIBLE, each run of white space one space, none at the ends."""
    seen = text.str.replace_all(INVISIBLE, "")
    may_change = seen.str.contains(f"[^{IN_NFKC}]")
    composed = pl.when(may_change).then(read_where(may_change, seen).str.normalize("NFKC")).otherwise(seen)
    return composed.str.to_lowercase().str.replace_all(WHITE_RUN, " ").str.strip_chars()


def words(text: pl.Expr) -> pl.Expr:
    """The words of `text` as a list: runs of letters, digits and underscores; one character each in unspaced scripts."""
    return text.str.extract_all(WORD)


def spaced_words(text: pl.Expr) -> pl.Expr:
    """`text` with spaces for all that is not ASCII and no word, and around each character of unspaced scripts, so that
    its bytes tell its `words`.
    """
    return text.str.replace_all(rf"[^\w\x00-\x7f{UNSPACED}]", " ").str.replace_all(rf"[{UNSPACED}]", " $0 ")


def read_where(condition: pl.Expr | str, text: pl.Expr) -> pl.Expr:
    """`text` where the condition holds, else nothing to read: Polars looks for patterns behind a null too."""
    return pl.when(condition).then(text).otherwise(pl.lit(""))


def _joined(turns: pl.Expr) -> pl.Expr:
    return pl.col("messages").list.eval(turns).list.join("\n")


def _role() -> pl.Expr:
    return pl.element().struct.field("role")


def _turn_text(*, reasoning: bool = False) -> pl.Expr:
    parts = ["reasoning_content"] * reasoning + ["content", "tool_calls"]
    fields = [pl.element().struct.field(name) for name in parts]
    return pl.concat_str([pl.when(field != "").then(field) for field in fields], separator="\n", ignore_nulls=True)
