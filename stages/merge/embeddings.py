"""What the adapter means for the input and output matrix of a model, which may be one tensor under two names."""

from typing import NamedTuple

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig

from stages.errors import ConfigError, DataError
from stages.merge.deltas import Adapter


class Names(NamedTuple):
    """How a model calls its tensors."""

    input_matrix: str
    output_matrix: str
    is_tied: bool  # both are one tensor, and files hold it under the first name
    inner_model: str  # prefix that some files leave out


def names_of(config: PreTrainedConfig) -> Names:
    """Read off a model that has the shape and no memory."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    matrices = [model.get_input_embeddings(), model.get_output_embeddings()]
    first, last = (_name_of(module, model) for module in matrices)
    return Names(first, last, bool(config.get_text_config().tie_word_embeddings), model.base_model_prefix)


def _name_of(module: nn.Module, model: nn.Module) -> str:
    return next(f"{name}.weight" for name, candidate in model.named_modules() if candidate is module)


def settle_tied(adapter: Adapter, names: Names, base_names: set[str]) -> tuple[Adapter, bool]:
    """The adapter with one tensor for two tied matrices, and whether the merged model's matrices are tied.

    Where the base's files hold a copy of the tied matrix, the copy changes with it.

    An adapter that trained them apart unties them: its output matrix gets a tensor of its own.
    """
    if not names.is_tied:
        return adapter, False
    if names.output_matrix in adapter.low_rank or names.input_matrix in adapter.low_rank:
        raise ConfigError(
            "the adapter updates one of two tied embedding matrices by a low-rank matrix, and merged they would no longer be "
            "one; train without the output matrix among the targets, or train the embeddings whole (train_embeddings)"
        )
    replaced = dict(adapter.replaced)
    given = replaced.pop(names.output_matrix, None)
    if given is None or (names.input_matrix in replaced and torch.equal(given, replaced[names.input_matrix])):
        if names.output_matrix in base_names and names.input_matrix in replaced:
            replaced[names.output_matrix] = replaced[names.input_matrix]
        return adapter._replace(replaced=replaced), True
    return adapter, False


def rows_after(adapter: Adapter, names: Names, config: PreTrainedConfig) -> int:
    """Tokens of the merged model; DataError when the adapter brings rows for one matrix and not for the other."""
    before = int(config.get_text_config().vocab_size)
    matrices = (names.input_matrix, names.output_matrix)
    rows = {name: int(adapter.replaced[name].shape[0]) for name in matrices if name in adapter.replaced}
    found = set(rows.values()) or {before}
    is_complete = len(rows) == 2 or names.is_tied or found == {before}
    if len(found) > 1 or not is_complete:
        raise DataError(
            f"the adapter has {rows} rows of embeddings and the base {before}, so the matrices no longer fit each other; "
            f"train the adapter again with train_embeddings"
        )
    return found.pop()
