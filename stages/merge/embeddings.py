"""What the adapter means for the input and output matrix of a model, which may be one tensor under two names."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from stages.errors import ConfigError, DataError
from stages.merge.changes import Change, LowRank, Replaced, TrainedRows, Upon
from stages.merge.deltas import Adapter
from stages.modelling.models import stored_names

ROWS_AT_ONCE = 4096


class Names(NamedTuple):
    """How a model calls its tensors."""

    input_matrix: str
    output_matrix: str
    is_tied: bool  # both are one tensor, and files hold it under the first name
    stored: Mapping[str, str]  # name of a tensor -> its name in the base's files
    transposed: frozenset[str]  # weights stored as in x out


def names_of(config: PreTrainedConfig, files: Iterable[str]) -> Names:
    """Read off a model that has the shape and no memory."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    matrices = [model.get_input_embeddings(), model.get_output_embeddings()]
    first, last = (_name_of(module, model) for module in matrices)
    transposed = frozenset(f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Conv1D))
    is_tied = bool(config.get_text_config().tie_word_embeddings)
    return Names(first, last, is_tied, stored_names(model, files), transposed)


def _name_of(module: nn.Module, model: nn.Module) -> str:
    return next(f"{name}.weight" for name, candidate in model.named_modules() if candidate is module)


def settle_tied(adapter: Adapter, names: Names, base_names: set[str]) -> tuple[Adapter, bool]:
    """The adapter with one tensor for two tied matrices, and whether the merged model's matrices are tied.

    Where the base's files hold a copy of the tied matrix, the copy changes with it.

    An adapter that trained them apart unties them: its output matrix gets a tensor of its own.
    """
    if not names.is_tied:
        return adapter, False
    first, last = (adapter.changes.get(name) for name in (names.input_matrix, names.output_matrix))
    is_same = last is None or (first is not None and _are_equal(first, last))
    if isinstance(first, LowRank | Upon) or not (is_same or isinstance(last, Replaced)):
        raise ConfigError(
            "the adapter updates one of two tied embedding matrices, and merged they would no longer be one; train without "
            "the matrices among the targets, or train the embeddings whole (train_embeddings)"
        )
    if not is_same:
        return adapter, False
    changes = {name: change for name, change in adapter.changes.items() if name != names.output_matrix}
    if first is not None and names.output_matrix in base_names:
        changes[names.output_matrix] = first
    return adapter._replace(changes=changes), True


def _are_equal(one: Change, other: Change) -> bool:
    """Whether two tensors that were trained whole, or the same rows of two, are the same numbers."""
    if isinstance(one, TrainedRows) and isinstance(other, TrainedRows):
        return torch.equal(one.places, other.places) and torch.equal(one.values, other.values)
    if not isinstance(one, Replaced) or not isinstance(other, Replaced) or one.shape != other.shape:
        return False
    starts = range(0, one.shape[0], ROWS_AT_ONCE)
    parts = ((start, min(start + ROWS_AT_ONCE, one.shape[0])) for start in starts)
    return all(torch.equal(one.read(*part), other.read(*part)) for part in parts)


def rows_after(adapter: Adapter, names: Names, config: PreTrainedConfig) -> int:
    """Tokens of the merged model; DataError when the adapter brings rows for one matrix and not for the other."""
    before = int(config.get_text_config().vocab_size)
    matrices = {name: adapter.replaced(name) for name in (names.input_matrix, names.output_matrix)}
    rows = {name: change.shape[0] for name, change in matrices.items() if change is not None}
    found = set(rows.values()) or {before}
    is_complete = len(rows) == 2 or names.is_tied or found == {before}
    if len(found) > 1 or not is_complete:
        raise DataError(
            f"the adapter has {rows} rows of embeddings and the base {before}, so the matrices no longer fit each other; "
            f"train the adapter again with train_embeddings"
        )
    return found.pop()
