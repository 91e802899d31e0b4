"""Private data in rows -> what people read of them has a placeholder in its place; the tables keep what came."""

from pathlib import Path

import pytest

from ingest_run import ingest_records
from rows import conversation, row_id, sealed
from stages.execution.lineage import trace_row
from stages.pipeline import STAGES
from stages.store.storage import RECEIPT, LocalStore, write_json
from stages.train.samples import Sample, shortened, told

KEY = "sk-" + "a1B2" * 8
MAIL = "jane@mail.tessmere.example"


@pytest.mark.parametrize(
    ("turn", "found"),
    [
        (f"My key is {KEY}, see?", '"My key is [SECRET], see?"'),
        (f"{'x ' * 96}{KEY} x", f'"{"x " * 96}[SECRET]…"'),  # 192 characters before the key, which would be cut in half
        (f"{'x ' * 97}{KEY}", f'"{"x " * 97}[SECRE…"'),
        ("x " * 100, f'"{"x " * 100}"'),
        ("x " * 101, f'"{"x " * 100}…"'),
        (f"{'x' * 1990} {KEY}", f'"{"x" * 200}…"'),
    ],
)
def test_what_was_found_in_a_record_is_masked_before_it_is_cut(turn: str, found: str, tmp_path: Path) -> None:
    made = ingest_records([{"messages": [turn]}], tmp_path)
    assert made.quarantined.select("reason", "found").row(0) == ("not_a_turn", found)


def test_a_number_where_a_text_belongs_is_masked_too(tmp_path: Path) -> None:
    made = ingest_records([{"prompt": "Pay with?", "response": 4111111111111111}], tmp_path)
    assert made.quarantined["found"].to_list() == ["int [CARD]"]


def test_a_traced_row_tells_why_it_was_refused_without_its_private_data(tmp_path: Path) -> None:
    counts = dict.fromkeys(("response_chars", "response_words", "url_count"), 1)
    shares = dict.fromkeys(("repeated_trigram_share", "symbol_share", "digit_share"), 0.0)
    refused = (
        conversation("a", "Why?", "Because.", split="train")
        | counts
        | shares
        | {"reason": "content_changed", "detail": f"turn 0 holds {MAIL}"}
    )
    result = tmp_path / "results" / "tokenize" / "k1"
    sealed(result / "refused", "refused", [refused])
    write_json(result / RECEIPT, {"stage": "tokenize", "outputs": {"refused": {}}})
    traced = trace_row(LocalStore(tmp_path), row_id("a"), list(STAGES.values()))
    assert "detail turn 0 holds [EMAIL]" in traced


def test_what_a_model_answers_while_it_is_trained_is_told_without_private_data() -> None:
    samples = [Sample(4, "row-1", f"Who is {MAIL}?", f"My key is {KEY}.")]
    assert told(samples) == "step 4, row row-1\nWho is [EMAIL]?\n→ My key is [SECRET].\n"
    assert shortened(samples) == ["step 4, row row-1 → My key is [SECRET]."]
