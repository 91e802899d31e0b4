"""Ten usual heuristics as anybody would write them in Polars: the expressions of a first afternoon."""

import polars as pl
from score_timing import read_rows, report

TEXT = pl.col("text")
WORDS = TEXT.str.split(" ")
LINES = TEXT.str.split("\n")
HEURISTICS = {
    "chars": TEXT.str.len_chars(),
    "words": WORDS.list.len(),
    "mean_word_length": WORDS.list.eval(pl.element().str.len_chars()).list.mean(),
    "symbols": TEXT.str.count_matches(r"[^\w\s]") / TEXT.str.len_chars(),
    "digits": TEXT.str.count_matches(r"\d") / TEXT.str.len_chars(),
    "upper_case": TEXT.str.count_matches(r"[A-Z]") / TEXT.str.len_chars(),
    "repeated_words": 1 - WORDS.list.n_unique() / WORDS.list.len(),
    "repeated_lines": 1 - LINES.list.n_unique() / LINES.list.len(),
    "ends_in_a_stop": TEXT.str.contains(r"[.!?\"']\s*$"),
    "refuses": TEXT.str.contains(r"(?i)as an ai|language model|i cannot|i'm sorry"),
}


def main() -> None:
    rows = pl.DataFrame(read_rows()).select("id", text=pl.col("prompt") + "\n" + pl.col("answer"))

    def score() -> int:
        return rows.with_columns(**HEURISTICS).filter(~pl.col("refuses")).height

    report(rows.height, score)


if __name__ == "__main__":
    main()
