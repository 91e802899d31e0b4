"""Where the base model places each row among all texts: rows that it reads alike have vectors that point alike."""

from base64 import b64decode, b64encode
from collections.abc import Mapping

import numpy as np
import polars as pl

from stages.modelling.sequence_means import Matrix, means_by_batch
from stages.rate.surprise import SEQUENCES, BaseReader
from stages.store.storage import digest_of
from stages.texts.conversation_text import conversation_text, response_text

TEXTS_AT_ONCE = 16_384  # bounds the memory of token ids
KEPT = np.float16  # half the space, and two thousandths of a vector's length at most


def embed_by_base(rows: pl.DataFrame, reader: BaseReader) -> pl.DataFrame:
    """`row_id`, `answer_chars` and `embedding`, row by row; of a long row the beginning is read."""
    texts = rows.select(
        "row_id", answer_chars=response_text().str.len_chars().cast(pl.Int64), text=conversation_text().fill_null("")
    )
    keys = [digest_of([reader.settings, "embedding", text])[:32] for text in texts["text"]]
    vectors: dict[str, list[float] | None] = {}
    for start in range(0, len(keys), TEXTS_AT_ONCE):
        some = slice(start, start + TEXTS_AT_ONCE)
        vectors |= _vectors(dict(zip(keys[some], texts["text"][some], strict=True)), reader)
        reader.workbench.progress(min(some.stop, len(keys)), len(keys), "texts")
    return texts.select(
        "row_id", "answer_chars", embedding=pl.Series([vectors[key] for key in keys], dtype=pl.List(pl.Float32))
    )


def _vectors(texts: Mapping[str, str], reader: BaseReader) -> dict[str, list[float] | None]:
    """Key -> vector; None where there is nothing to read, or no number came out."""
    kept = {key: _unpacked(packed) for key, packed in reader.kept.get(list(texts)).items()}
    asked = {key: text for key, text in texts.items() if text.strip() and key not in kept}
    names = list(asked)
    encoded = reader.token_ids(list(asked.values()), literal=True)
    ids = [[*reader.start, *tokens][: reader.longest] for tokens in encoded]
    table = pl.DataFrame({"input_ids": ids, "loss_mask": [[1] * len(tokens) for tokens in ids]}, schema=SEQUENCES)
    found: dict[str, list[float] | None] = {key: kept.get(key) for key in texts}
    if table.height:
        reader.refuse_foreign_tokens(table)
        for places, vectors in means_by_batch(reader.model, table, batch_tokens=reader.params.batch_tokens):
            packed = {names[place]: _packed(vector) for place, vector in zip(places, vectors, strict=True)}
            reader.kept.put(packed)
            found |= {key: _unpacked(value) for key, value in packed.items()}
    reader.pairs_read += table.height
    reader.pairs_found += len(kept)
    return found


def _packed(vector: Matrix) -> str:
    return b64encode(vector.astype(KEPT).tobytes()).decode()


def _unpacked(packed: str) -> list[float] | None:
    vector = np.frombuffer(b64decode(packed), dtype=KEPT).astype(np.float32)
    return vector.tolist() if np.isfinite(vector).all() and vector.any() else None
