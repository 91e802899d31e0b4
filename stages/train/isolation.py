"""Proof, on the model that is about to be trained, that no example sees another and that the loss reads the right logits.

Some models cannot keep packed examples apart (recurrent layers carry state across positions), and some change their
logits after the output matrix. Both would train on the wrong thing with a healthy-looking loss.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from stages.errors import ConfigError, DataError
from stages.train.batches import Batch, lay_out
from stages.train.examples import Examples
from stages.train.loss import hidden_states, logits_of

PROBE_TOKENS = 64  # of each of the two examples; a leak shows from the first token on
# Other order of the same sums: 7e-6 on logits of size 1.7 in float32 (measured, sdpa packed against alone). A leak is of size 1.
RELATIVE_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}


@torch.no_grad()
def check_isolation(model: PreTrainedModel, examples: Examples, *, packing: bool, dtype: torch.dtype) -> None:
    """Lays out two examples as training will, and changes the first: the second must not notice, nor differ from being alone.

    `model` is in evaluation mode. Raises DataError when it does.
    """
    pair = _probe(examples)
    second = slice(int(pair.starts[1]), int(pair.starts[2]))
    changed_ids = pair.input_ids.copy()
    changed_ids[: second.start] = (changed_ids[: second.start] + 1) % model.get_input_embeddings().weight.shape[0]
    together = _states(model, pair, [0, 1], packing)[second]
    beside_another = _states(model, replace(pair, input_ids=changed_ids), [0, 1], packing)[second]
    alone = _states(model, pair, [1], packing)
    leak = _difference(together, beside_another)
    if leak > 0 or _difference(together, alone) > RELATIVE_TOLERANCE[dtype]:
        raise DataError(
            f"packed examples see each other in this model ({type(model).__name__}): changing one moves the hidden states of the "
            f"next by {leak:.2g} of their size, and {_difference(together, alone):.2g} lie between packed and alone; set packing=false"
        )


@torch.no_grad()
def check_loss_path(model: PreTrainedModel, examples: Examples, *, dtype: torch.dtype) -> None:
    """Compares what the loss makes of hidden states with the logits that the model itself gives."""
    batch = _batch(model, _probe(examples), [0], packing=True)
    ours = logits_of(model, hidden_states(model, batch))
    theirs = model(input_ids=batch.input_ids, use_cache=False).logits.flatten(0, 1)
    if (difference := _difference(ours, theirs)) > RELATIVE_TOLERANCE[dtype]:
        raise ConfigError(
            f"this model ({type(model).__name__}) changes its logits after the output matrix, by {difference:.2g} of their size, "
            f"and the loss would not know; it cannot be trained here: choose another base"
        )


@torch.no_grad()
def attention_difference(model: PreTrainedModel, examples: Examples, *, packing: bool) -> float:
    """Of attention by document from plain attention, as a share of the largest hidden state; infinite where the model's code
    cannot be asked for it."""
    pair = _probe(examples)
    try:
        by_document = _states(model, pair, [0, 1], packing)
    except (TypeError, ValueError, RuntimeError):
        return math.inf
    return _difference(by_document, _states(model, pair, [0, 1], packing, plain=True))


def _probe(examples: Examples) -> Examples:
    """The first two examples, or the only one twice, cut short."""
    picked = [
        examples.input_ids[examples.starts[i] : examples.starts[i + 1]][:PROBE_TOKENS]
        for i in (0, min(1, len(examples) - 1))
    ]
    starts = np.cumsum([0, *map(len, picked)])
    ids = np.concatenate(picked)
    is_target = np.ones(len(ids), dtype=bool)
    is_target[starts[:-1]] = False
    return Examples(["probe"] * 2, starts, ids, is_target, np.ones(2, dtype=np.int64), np.ones(2))


def _batch(model: PreTrainedModel, pair: Examples, members: list[int], *, packing: bool) -> Batch:
    pack = np.asarray(members, dtype=np.int64)
    # Padded rows are laid out longest first; enough room keeps the pair in one batch.
    (batch,) = lay_out(pair, [pack], packing=packing, pack_tokens=2 * PROBE_TOKENS)
    return batch.to(model.device)


def _states(
    model: PreTrainedModel, pair: Examples, members: list[int], packing: bool, *, plain: bool = False
) -> Tensor:
    """Hidden states of the members' tokens, end to end in the order of `members`."""
    batch = _batch(model, pair, members, packing=packing)
    states = hidden_states(model, batch.plain() if plain else batch)
    if batch.attention_mask is None:
        return states
    rows = states.reshape(*batch.input_ids.shape, -1)
    by_member = {int(member): rows[row, : int(pair.lengths[member])] for row, member in enumerate(batch.members)}
    return torch.cat([by_member[member] for member in members])


def _difference(one: Tensor, other: Tensor) -> float:
    """Largest difference, as a share of the largest value."""
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))
