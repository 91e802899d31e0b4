"""datatrove's filters of Gopher, C4 and FineWeb, each on every row; the first 50 words' floor of Gopher is taken away."""

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from score_timing import read_rows, report

FILTERS = (
    GopherRepetitionFilter(),
    GopherQualityFilter(min_doc_words=1),
    C4QualityFilter(filter_no_terminal_punct=False),
    FineWebQualityFilter(),
)


def main() -> None:
    rows = read_rows()

    def score() -> int:
        documents = (Document(text=f"{row['prompt']}\n{row['answer']}", id=row["id"]) for row in rows)
        # A list: every filter sees every row, as every signal is measured on every row.
        return sum(all([step.filter(document) is True for step in FILTERS]) for document in documents)

    report(len(rows), score)


if __name__ == "__main__":
    main()
