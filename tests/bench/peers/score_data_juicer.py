"""data-juicer's ten filters that need no model, by their own batched functions, without the data set around them."""

import json
import tempfile
from pathlib import Path

from data_juicer.ops import load_ops
from data_juicer.utils.constant import Fields
from score_timing import read_rows, report

BATCH_ROWS = 1000  # its default
STOP_WORDS = ["the", "of", "and", "to", "in", "is", "that", "it", "for", "was", "on", "with", "as", "are", "be", "this"]


def main() -> None:
    rows = read_rows()
    texts = [f"{row['prompt']}\n{row['answer']}" for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        for name, words in (("stopwords", STOP_WORDS), ("flagged_words", ["idiot"])):
            Path(folder, f"{name}.json").write_text(json.dumps({"en": words}))
        steps = load_ops(
            [
                {"alphanumeric_filter": {}}, {"average_line_length_filter": {}}, {"character_repetition_filter": {}},
                {"maximum_line_length_filter": {}}, {"special_characters_filter": {}}, {"text_length_filter": {}},
                {"word_repetition_filter": {"lang": "en"}}, {"words_num_filter": {"lang": "en"}},
                {"stopwords_filter": {"lang": "en", "stopwords_dir": folder}},
                {"flagged_words_filter": {"lang": "en", "flagged_words_dir": folder}},
            ]
        )  # fmt: skip
        report(len(rows), lambda: sum(_kept(steps, texts[at : at + BATCH_ROWS]) for at in range(0, len(texts), BATCH_ROWS)))  # fmt: skip


def _kept(steps: list, texts: list[str]) -> int:
    samples = {"text": texts, Fields.stats: [{} for _ in texts], Fields.context: [{} for _ in texts]}
    kept = [True] * len(texts)
    for step in steps:
        samples = step.compute_stats_batched(samples)
        kept = [a and b for a, b in zip(kept, step.process_batched(samples), strict=True)]
    return sum(kept)


if __name__ == "__main__":
    main()
