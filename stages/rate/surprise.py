"""How surprised the base model is by an answer, with and without what comes before it. Each text is read once, ever."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import polars as pl
import torch
from transformers import PreTrainedModel

from stages.contract import Workbench
from stages.errors import ConfigError
from stages.modelling.chat_template import ChatTokenizer
from stages.modelling.models import embedding_rows, load_config, load_model
from stages.modelling.sequence_loss import loss_sums_by_batch
from stages.modelling.tokenizer_files import open_chat_tokenizer, open_tokenizer
from stages.rate.kept_answers import KeptAnswers
from stages.rate.stage import RateParams
from stages.store.storage import digest_of

PAIRS_AT_ONCE = 16_384  # bounds the memory of token ids, and is enough to fill batches of every width
SEQUENCES = {"input_ids": pl.List(pl.Int32), "loss_mask": pl.List(pl.Int8)}


class Pair(NamedTuple):
    """A text that is read, and the text before it; empty for nothing before it."""

    context: str
    answer: str


class Loss(NamedTuple):
    """What reading one pair gave; `nats` is None where there was nothing to predict or no number came out."""

    answer_tokens: int
    sequence_tokens: int
    predicted_tokens: int
    nats: float | None

    def mean(self, longest: int) -> float | None:
        """Nats per predicted token; None where the sequence is longer than may be read."""
        if self.nats is None or self.sequence_tokens > longest:
            return None
        return self.nats / self.predicted_tokens


class Encoded(NamedTuple):
    """A pair as token ids; a 1 in the mask is a token to predict."""

    input_ids: list[int]
    loss_mask: list[int]
    answer_tokens: int


class BaseReader:
    """Reads pairs with the model in `folder`, which is loaded when the first pair comes that was never read before."""

    def __init__(self, folder: Path, params: RateParams, workbench: Workbench, kept: KeptAnswers) -> None:
        self.folder, self.params, self.kept, self.workbench = folder, params, kept, workbench
        readable = getattr(load_config(folder).get_text_config(), "max_position_embeddings", None)
        self.longest = min(params.max_tokens, readable or params.max_tokens)
        self.tokenizer = open_tokenizer(folder)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = _dtype(params, self.device)
        self.pairs_read, self.pairs_found = 0, 0
        kind = torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"
        arithmetic = [kind, str(self.dtype), params.batch_tokens, params.cpu_threads]
        self.settings = digest_of([workbench.input_digests["base"], arithmetic, params.prompt_form])

    @cached_property
    def model(self) -> PreTrainedModel:
        model = load_model(self.folder, self.dtype)
        model.to(self.device)
        return model

    @cached_property
    def chat(self) -> ChatTokenizer:
        """With the template that the base brings; ConfigError when it brings none."""
        return open_chat_tokenizer(self.folder)

    @cached_property
    def start(self) -> list[int]:
        """The token that a text begins with, so that its first token is predicted too; none where the model has none."""
        named = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        return [token for token in named if token is not None][:1]

    def read(self, pairs: Sequence[Pair]) -> list[Loss]:
        """What each pair gave, in order; equal pairs are read once."""
        keys = [digest_of([self.settings, *pair])[:32] for pair in pairs]
        losses: dict[str, Loss] = {}
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            some = dict(zip(keys[start : start + PAIRS_AT_ONCE], pairs[start : start + PAIRS_AT_ONCE], strict=True))
            found = {key: Loss(*answer) for key, answer in self.kept.get(list(some)).items()}
            new = {key: pair for key, pair in some.items() if key not in found}
            self.pairs_found += len(found)
            losses |= found | self._read_new(new)
            done = min(start + PAIRS_AT_ONCE, len(pairs))
            self.workbench.progress(done, len(pairs), "texts", found_in_cache=self.pairs_found)
        return [losses[key] for key in keys]

    def _read_new(self, pairs: dict[str, Pair]) -> dict[str, Loss]:
        sequences = dict(zip(pairs, self._encoded(list(pairs.values())), strict=True))
        unread = {k: Loss(s.answer_tokens, len(s.input_ids), sum(s.loss_mask), None) for k, s in sequences.items()}
        readable = [
            key for key, loss in unread.items() if loss.predicted_tokens and loss.sequence_tokens <= self.longest
        ]
        losses = dict(unread)
        for batch in self._losses_of(readable, sequences):
            made = {key: unread[key]._replace(nats=nats) for key, nats in batch.items()}
            self.kept.put(made)
            losses |= made
            self.pairs_read += len(made)
        return losses

    def _losses_of(self, keys: list[str], sequences: dict[str, Encoded]) -> Iterator[dict[str, float | None]]:
        """Key -> nats, batch by batch."""
        if not keys:
            return
        table = pl.DataFrame([sequences[key][:2] for key in keys], schema=SEQUENCES, orient="row")
        self.refuse_foreign_tokens(table)
        for rows, sums in loss_sums_by_batch(self.model, table, batch_tokens=self.params.batch_tokens):
            yield {
                keys[row]: float(nats) if math.isfinite(nats) else None for row, nats in zip(rows, sums, strict=True)
            }

    def _encoded(self, pairs: Sequence[Pair]) -> Iterator[Encoded]:
        """The answer's ids are the same with any context: what stands before it is encoded on its own."""
        contexts = self.token_ids([pair.context for pair in pairs], literal=self.params.prompt_form == "plain")
        answers = self.token_ids([pair.answer for pair in pairs], literal=True)
        for pair, context, answer in zip(pairs, contexts, answers, strict=True):
            is_rendered = pair.context and self.params.prompt_form == "own_template"
            before = context if is_rendered else [*self.start, *context]
            # Without a start token nothing predicts the first token of an answer alone, so it never counts.
            counts = ([1 if self.start else 0] + [1] * len(answer))[: len(answer)]
            yield Encoded(before + answer, [0] * len(before) + counts, len(answer))

    def token_ids(self, texts: list[str], *, literal: bool) -> list[list[int]]:
        """Token ids; with `literal`, text that looks like a control token is text."""
        backend = self.tokenizer.backend_tokenizer
        backend.encode_special_tokens = literal
        return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]

    def refuse_foreign_tokens(self, sequences: pl.DataFrame) -> None:
        largest = sequences["input_ids"].explode().max()
        if isinstance(largest, int) and largest >= embedding_rows(self.model):
            raise ConfigError(
                f"{self.folder}: its tokenizer makes token {largest:,}, and its model knows {embedding_rows(self.model):,}; "
                "give the folder of one model with its own tokenizer"
            )


def _dtype(params: RateParams, device: torch.device) -> torch.dtype:
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    wanted = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return wanted.get(params.precision, torch.bfloat16 if has_bfloat16 else torch.float32)
