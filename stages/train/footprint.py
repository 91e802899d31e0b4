"""How much memory and arithmetic a training step takes, found by taking it on shapes alone.

Torch's fake tensors have a shape, a type and a device, and no numbers. Under them the very functions of the training run:
the base is built from its config, an adapter is put on, the loss is taken and sent back. So nothing here has to know what
a layer is, and whatever the loop learns to save is saved here too.
"""

import gc
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from stages.modelling.models import attention_of, load_config
from stages.train.arithmetic import Arithmetic
from stages.train.batches import Batch
from stages.train.gradients import Forward
from stages.train.methods import Trainable, causal_model, load_trainable, trained_weights, weight_count
from stages.train.optimizer import make_optimizer
from stages.train.stage import TrainParams


def _attention_flops(query: Sequence[int], key: Sequence[int], *_: object, **__: object) -> int:
    """Two matrix products over all pairs of positions, the masked ones too: a CPU does not leave them out."""
    rows, heads, queries, width = query
    return 4 * rows * heads * queries * key[-2] * width


def _attention_backward_flops(_: object, query: Sequence[int], key: Sequence[int], *__: object, **___: object) -> int:
    """Makes the scores again, then four more products."""
    return _attention_flops(query, key) * 5 // 2


# The flop counter of torch 2.13 does not know the CPU's attention.
ATEN = torch.ops.aten
CPU_ATTENTION: dict[Any, Any] = {
    ATEN._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    ATEN._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
}


class Footprint(NamedTuple):
    """Bytes of tensors while a step is at its largest, by what they are for; and the step's arithmetic."""

    weights: int  # in the precision they are computed with; buffers too
    gradients: int  # float32, of the trained weights; with several packs a step they wait while the next pack runs
    optimizer: int  # AdamW's two moments of each trained weight
    activations: int  # what the layers keep for the way back, of one pack
    loss: int  # logits of one chunk, their gradients, and what else is only there at the peak
    trained_weights: int  # a count
    all_weights: int  # a count
    flops: int  # of forward and backward of the packs that were given, made-again ones included

    @property
    def bytes(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.loss


@dataclass(frozen=True)
class Shape:
    """What is needed to build a model without its weights."""

    base: Path
    tokenizer: PreTrainedTokenizerBase
    params: TrainParams
    arithmetic: Arithmetic

    def build(self, device: torch.device, layers: int | None = None) -> Trainable:
        """The trainable model with weights that are nobody's: random, or none at all on the device `meta`."""
        with device:
            built = load_trainable(self.base, self.tokenizer, self.params, self.arithmetic.dtype, load=_builder(layers))
        if self.params.gradient_checkpointing:
            causal_model(built).activation_checkpointing_enable({"use_reentrant": False})
        return built


def _builder(layers: int | None) -> Callable[[Path, torch.dtype | None], PreTrainedModel]:
    def build(folder: Path, dtype: torch.dtype | None) -> PreTrainedModel:
        config = load_config(folder)
        attention = attention_of(config)
        text = config.get_text_config()
        if layers is not None:
            for name, values in list(vars(text).items()):  # such as layer_types, one for each layer
                if isinstance(values, list) and len(values) == text.num_hidden_layers:
                    setattr(text, name, values[:layers])
            text.num_hidden_layers = layers
        made: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, dtype=dtype or config.dtype or torch.float32, attn_implementation=attention, trust_remote_code=False
        )
        return made.eval()

    return build


def find_footprint(
    shape: Shape, batches: Sequence[Batch], *, packs_per_step: int, layers: int | None = None
) -> Footprint:
    """Of a step over `batches`, taken twice: only from the second on are the optimizer's moments there.

    Raises RuntimeError (and kin) for a model whose shapes depend on its numbers, such as some mixtures of experts.
    """
    ledger = _Ledger()
    counter = FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION)
    fake = FakeTensorMode()
    trained = _without_numbers(shape, layers, fake)
    with fake, ledger:
        weights = trained_weights(trained)
        optimizer = make_optimizer(weights.values(), shape.params)
        for tensor in (*trained.parameters(), *trained.buffers()):
            ledger.note(tensor)
        before, moments, left_layers = ledger.live, 0, 0
        steps = [_on_shapes(batch, fake) for batch in batches]

        def leave_layers(*_: object) -> None:
            nonlocal left_layers
            left_layers = max(left_layers, ledger.live)

        causal_model(trained).get_decoder().register_forward_hook(leave_layers)
        forward = Forward(trained.train(), shape.arithmetic)
        for counting in (counter, nullcontext()):
            ledger.peak = left_layers = 0
            with counting:
                for batch in steps if packs_per_step == 1 else [*steps, *steps]:
                    torch.autograd.backward(forward.loss_sum(batch))
            optimizer.step()
            optimizer.zero_grad()
            gc.collect()  # the hooks of the counter and what they keep hold each other
            moments = ledger.live - before
    trainable = sum(weight.numel() * weight.element_size() for weight in weights.values())
    flops = counter.get_total_flops() // (1 if packs_per_step == 1 else 2)
    return _by_part(
        before, trainable if packs_per_step > 1 else 0, moments, (left_layers, ledger.peak), (trained, flops)
    )


def _without_numbers(shape: Shape, layers: int | None, fake: FakeTensorMode) -> Trainable:
    """The model with fake weights on the device that will train. Built on `meta`, as adapters cannot be put on fake ones."""
    trained = shape.build(torch.device("meta"), layers)
    device, converter = shape.arithmetic.device, fake.fake_tensor_converter
    made: dict[int, Tensor] = {}  # tied weights stay one
    for module in trained.modules():
        for group in (module._parameters, module._buffers):
            for name, tensor in group.items():
                if tensor is not None and id(tensor) not in made:
                    faked = converter.from_meta_and_device(fake, tensor.detach(), device)
                    is_weight = isinstance(tensor, nn.Parameter)
                    made[id(tensor)] = nn.Parameter(faked, tensor.requires_grad) if is_weight else faked
                if tensor is not None:
                    group[name] = made[id(tensor)]
    # PEFT keeps the numbers of virtual tokens beside the weights.
    prompts: dict[str, Tensor] = getattr(trained, "prompt_tokens", {})
    prompts |= {
        name: converter.from_meta_and_device(fake, ids.to("meta"), torch.device("cpu")) for name, ids in prompts.items()
    }
    return trained


def _by_part(held: int, gradients: int, moments: int, seen: tuple[int, int], what: tuple[Trainable, int]) -> Footprint:
    left_layers, peak = seen
    waiting = held + gradients + moments
    trained, flops = what
    trainable, every = sum(weight.numel() for weight in trained_weights(trained).values()), weight_count(trained)
    activations, rest = max(left_layers - waiting, 0), peak - max(left_layers, waiting)
    return Footprint(held, gradients, moments, activations, rest, trainable, every, flops)


def _on_shapes(batch: Batch, fake: FakeTensorMode) -> Batch:
    tensors: dict[str, Any] = {name: value for name, value in batch._asdict().items() if isinstance(value, Tensor)}
    faked: dict[str, Any] = {name: fake.from_tensor(value) for name, value in tensors.items()}
    return batch._replace(**faked)


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that live, each storage once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self.note(tensor)
        return made

    def note(self, tensor: Tensor) -> None:
        """Counts the tensor's storage from now until it is gone."""
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address not in self._seen:
            self._seen.add(address)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._drop, address, storage.nbytes())

    def _drop(self, address: int, size: int) -> None:
        self._seen.discard(address)
        self.live -= size
