"""Proof, before the first step, that this run's loss and gradient do not depend on how its tokens are laid out.

The same few examples are computed in every way that must not matter. Known trainers had an error in each of them: means of
means under accumulation, packs that leak, labels that cross documents, heads that forget the mask.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from stages.errors import ConfigError
from stages.train.batches import Batch, lay_out, padded
from stages.train.examples import Examples
from stages.train.gradients import Gradients
from stages.train.packing import Pack
from stages.train.sharding import own_part
from stages.train.stage import TrainParams
from stages.train.team import alone

PROBES = 4
CONTEXT_TOKENS, PROBE_TOKENS = 16, 64  # before the first supervised token, and in all
SAMPLED = 4096  # numbers of each gradient that are compared; keeping them all would take the gradient's memory again
# Other order of the same sums. Float32 on tiny models: at most 3e-6 (measured). The errors that this is to find are above 0.1.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-1}


class Outcome(NamedTuple):
    """What one way of computing found."""

    loss: float
    gradient: dict[str, Tensor]  # name -> some of its numbers


def check_invariance(
    gradients: Gradients, examples: Examples, params: TrainParams, dtype: torch.dtype, *, kernels: str = "plain"
) -> dict[str, float]:
    """Name of each comparison -> largest relative difference of loss or gradient; ConfigError for one above tolerance.

    `head`: the loss of supervised positions only, against all logits of the model itself. `packing`: together, as the run
    lays examples out, against each alone. `accumulation`: two uneven batches against one. `kernels`: the run's, where they
    are not plain, against the plain ones. The model is in evaluation mode; no gradient is left behind.
    """
    probe = probes(examples)
    each = [padded(probe, np.asarray([i])) for i in range(len(probe))]
    one, two = (_laid_out(probe, packs, params) for packs in ([range(PROBES)], [[0], range(1, PROBES)]))
    few = Gradients(gradients.forward, gradients.weights, probe, alone(gradients.team.device))
    with torch.random.fork_rng(devices=[few.team.device] if few.team.device.type == "cuda" else []):
        plain, slowly = _plain(few), _ours(few, [batch.plain() for batch in one])
        by_head, at_once, in_two = _ours(few, each), _ours(few, one), _ours(few, two)
    found = {
        "head": _difference(by_head, plain),
        "packing": _difference(at_once, by_head),
        "accumulation": _difference(in_two, at_once),
    } | ({} if kernels == "plain" else {"kernels": _difference(at_once, slowly)})
    if wrong := {name: share for name, share in found.items() if not share <= TOLERANCE[dtype]}:
        raise ConfigError(
            f"loss or gradient of the same {PROBES} examples differ by way of computing them: "
            f"{', '.join(f'{name} by {share:.2g}' for name, share in wrong.items())} of their size, where rounding "
            f"explains {TOLERANCE[dtype]:.0e}; try kernels=plain, packing=false, precision=float32 or another base"
        )
    return found


def probes(examples: Examples) -> Examples:
    """Some examples from the shortest to the longest, cut short around the first token that they teach."""
    by_length = np.argsort(examples.lengths, kind="stable")
    picked = by_length[np.linspace(0, len(examples) - 1, PROBES).astype(int)]
    spans = []
    for example in picked.tolist():
        start, end = examples.starts[example : example + 2].tolist()
        first = start + int(examples.is_target[start:end].argmax())
        spans.append(np.arange(max(start, first - CONTEXT_TOKENS), end)[:PROBE_TOKENS])
    starts = np.cumsum([0, *map(len, spans)])
    is_target = examples.is_target[np.concatenate(spans)]
    is_target[starts[:-1]] = False
    ids = examples.input_ids[np.concatenate(spans)]
    names = [examples.row_ids[example] for example in picked.tolist()]
    return Examples(names, starts, ids, is_target, np.ones(PROBES, dtype=np.int64), examples.weights[picked])


def _laid_out(probe: Examples, packs: Sequence[Sequence[int]], params: TrainParams) -> list[Batch]:
    made: list[Batch] = []
    for pack in packs:
        members: Pack = np.asarray(pack, dtype=np.int64)
        made += lay_out(probe, [members], packing=params.packing, pack_tokens=PROBES * PROBE_TOKENS)
    return made


def _ours(few: Gradients, batches: Sequence[Batch]) -> Outcome:
    losses = few.add_up(batches, seed=0)
    return _outcome(few, float(losses.sum()) / sum(batch.weight for batch in batches))


def _plain(few: Gradients) -> Outcome:
    """Written once more, from the examples alone: each by itself, all logits of the model, one sum divided once."""
    probe, device = few.examples, few.team.device
    supervised = np.add.reduceat(probe.is_target, probe.starts[:-1], dtype=np.int64)
    weight, total = float((supervised * probe.weights).sum()), 0.0
    for example, (start, end) in enumerate(pairwise(probe.starts.tolist())):
        ids = torch.from_numpy(probe.input_ids[start:end].astype(np.int64)).to(device)
        counts = torch.from_numpy(probe.is_target[start + 1 : end] * probe.weights[example]).to(device)
        loss = few.forward(lambda model, ids=ids, counts=counts: _full_logit_loss(model, ids, counts))
        torch.autograd.backward(loss / weight)
        total += float(loss.detach())
    return _outcome(few, total / weight)


def _full_logit_loss(model: PreTrainedModel, ids: Tensor, counts: Tensor) -> Tensor:
    logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1].float()
    return (functional.cross_entropy(logits, ids[1:], reduction="none") * counts.float()).sum()


def _outcome(few: Gradients, loss: float) -> Outcome:
    gradient = {
        name: own_part(weight.grad).flatten()[:: max(1, weight.numel() // SAMPLED)].detach().clone()
        for name, weight in few.weights.items()
        if weight.grad is not None
    }
    few.clear()
    return Outcome(loss, gradient)


def _difference(one: Outcome, other: Outcome) -> float:
    """Of the losses or of the gradients' lengths, whichever is more; infinite when other weights have a gradient."""
    if one.gradient.keys() != other.gradient.keys():
        return float("inf")
    apart = math.sqrt(sum(float((one.gradient[name] - other.gradient[name]).square().sum()) for name in one.gradient))
    length = math.sqrt(sum(float(sample.square().sum()) for sample in other.gradient.values()))
    return max(abs(one.loss - other.loss) / max(abs(other.loss), 1e-12), apart / max(length, 1e-12))
