"""Virtual tokens before every document (prompt tuning, P-tuning, prefix tuning), also where documents share a packed row.

PEFT's own forward prepends them once per row and ignores positions, so packed documents would share them and see each
other. Here the decoder of the model itself learns to put them before each document and to leave them out of what it
returns: loss, evaluation and `generate` then need not know.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import pad
from transformers.modeling_outputs import BaseModelOutputWithPast

from stages.errors import ConfigError


class PromptedDecoder:
    """Stands in for the `forward` of a decoder; hidden states come back for the given tokens only.

    A caller that knows the columns of each document of a row says so in `documents`; else positions tell.
    """

    def __init__(self, adapted: PeftModel) -> None:
        model = adapted.get_base_model()
        self.adapted, self.decoder, self.embed = adapted, model.get_decoder(), model.get_input_embeddings()
        self.plain = self.decoder.forward
        self.parameters = list(inspect.signature(self.plain).parameters)
        self.is_prefix = adapted.active_peft_config.peft_type == "PREFIX_TUNING"

    @property
    def length(self) -> int:
        """Virtual tokens before each document."""
        return int(self.adapted.active_peft_config.num_virtual_tokens)

    def install(self) -> None:
        """From here on the model has its virtual tokens."""
        self.decoder.forward = self

    def remove(self) -> None:
        """The model is again what it was."""
        del self.decoder.forward

    def __call__(self, *given: Any, **named: Any) -> Any:
        call = dict(zip(self.parameters, given, strict=False)) | named
        mask, cache = call.get("attention_mask"), call.get("past_key_values")
        if mask is not None and mask.ndim != 2:
            raise ConfigError(
                f"virtual tokens need a mask of rows x columns, and this call has one of {mask.ndim} dimensions; "
                f"serve the adapter with a dynamic cache"
            )
        if cache is not None and cache.get_seq_length() > 0:
            return self.plain(**self._behind(call))
        lengths = list(call.pop("documents", ())) or _document_lengths(call)
        if self.is_prefix:
            self._refuse_checkpointing()
            return self._prefixed(call) if len(lengths) == 1 else self._prefixed_apart(call, lengths)
        return self._prompted(call, lengths)

    def _refuse_checkpointing(self) -> None:
        if self.decoder.training and getattr(self.decoder, "is_activation_checkpointing", False):
            raise ConfigError(
                "method=prefix puts its keys and values into the cache, which gradient checkpointing drops silently; "
                "switch gradient checkpointing off, or use method=prompt"
            )

    def _behind(self, call: dict[str, Any]) -> dict[str, Any]:
        """The call of tokens that stand behind the virtual ones."""
        mask, positions = call.get("attention_mask"), call.get("position_ids")
        moved = {} if positions is None else {"position_ids": positions + self.length}
        return call | moved | ({} if mask is None else {"attention_mask": pad(mask, (self.length, 0), value=1)})

    def _prompted(self, call: dict[str, Any], lengths: list[int]) -> Any:
        """With the virtual tokens as inputs of their own before each document."""
        ids, embeds = call.pop("input_ids", None), call.pop("inputs_embeds", None)
        embeds = self.embed(ids) if embeds is None else embeds
        rows, columns, _ = embeds.shape
        prompt = self.adapted.get_prompt(1)[0].to(embeds.dtype)
        # No place is looked for among numbers, so that a plan can count shapes alone.
        before = torch.repeat_interleave(torch.tensor(lengths), output_size=columns)
        real = (torch.arange(columns) + self.length * (before + 1)).to(embeds.device)
        starts = torch.tensor([sum(lengths[:number]) + number * self.length for number in range(len(lengths))])
        virtual = (starts[:, None] + torch.arange(self.length)).flatten().to(embeds.device)
        widened = embeds.new_zeros(rows, columns + len(virtual), embeds.shape[2])
        widened[:, real] = embeds
        widened[:, virtual] = prompt.repeat(len(lengths), 1)
        call = self._behind(call) | {"inputs_embeds": widened}
        if (positions := call.get("position_ids")) is not None:
            call["position_ids"] = positions.new_zeros(positions.shape[0], widened.shape[1])
            call["position_ids"][:, real] = positions
            call["position_ids"][:, virtual] = torch.arange(self.length, device=embeds.device).repeat(len(lengths))
        output = self.plain(**call)
        output.last_hidden_state = output.last_hidden_state[:, real]
        return output

    def _prefixed(self, call: dict[str, Any]) -> Any:
        """With the virtual tokens' keys and values in the cache; one document per row."""
        cache = call.get("past_key_values")
        prefix = self.adapted.get_prompt(_tokens(call).shape[0])
        call = self._behind(call)
        if cache is None:
            return self.plain(**call | {"past_key_values": prefix})
        for number, layer in enumerate(prefix.layers):
            cache.update(layer.keys, layer.values, number)
        return self.plain(**call)

    def _prefixed_apart(self, call: dict[str, Any], lengths: list[int]) -> Any:
        """The documents of one packed row, each in a row of its own: keys in a cache cannot be told apart by position."""
        ids = call["input_ids"][0]
        found: dict[int, Tensor] = {}
        documents = torch.split(ids, lengths)
        for group in _groups(lengths):
            width = max(lengths[number] for number in group)
            rows = torch.stack([pad(documents[number], (0, width - lengths[number])) for number in group])
            mask = torch.stack([torch.arange(width) < lengths[number] for number in group]).long().to(ids.device)
            output = self._prefixed({"input_ids": rows, "attention_mask": mask, "use_cache": False})
            found |= {n: state[: lengths[n]] for n, state in zip(group, output.last_hidden_state, strict=True)}
        return BaseModelOutputWithPast(last_hidden_state=torch.cat([found[n] for n in range(len(lengths))])[None])


def _tokens(call: dict[str, Any]) -> Tensor:
    tokens: Tensor = call["input_ids"] if call.get("input_ids") is not None else call["inputs_embeds"]
    return tokens


def _document_lengths(call: dict[str, Any]) -> list[int]:
    """Tokens of each document of a packed row, told apart by positions that start again at 0; else one per row."""
    positions, columns = call.get("position_ids"), _tokens(call).shape[1]
    if call.get("attention_mask") is not None or positions is None:
        return [columns]
    starts = (positions[0] == 0).nonzero()[:, 0].tolist()
    if len(starts) <= 1:
        return [columns]
    if positions.shape[0] > 1 or starts[0] != 0:
        raise ConfigError("virtual tokens are put before packed documents in one row at a time; set packing=false")
    return [end - start for start, end in zip(starts, [*starts[1:], columns], strict=True)]


def _groups(lengths: list[int]) -> Iterator[list[int]]:
    """Numbers of documents of similar length; padded, a group is no larger than all of them without padding."""
    room, order = sum(lengths), sorted(range(len(lengths)), key=lambda number: -lengths[number])
    while order:
        rows = max(1, room // lengths[order[0]])
        yield order[:rows]
        order = order[rows:]
