"""Makes a base of random bfloat16 weights, tensor by tensor, and an adapter in PEFT's format."""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
POOL = torch.randn(2**24, generator=torch.Generator().manual_seed(0))


def main() -> None:
    folder, told = Path(sys.argv[1]), json.loads(sys.argv[2])
    config = LlamaConfig(
        vocab_size=told["vocabulary"], hidden_size=told["hidden"], intermediate_size=told["hidden"] * 11 // 4,
        num_hidden_layers=told["layers"], num_attention_heads=told["hidden"] // 64, dtype="bfloat16",
    )  # fmt: skip
    with torch.device("meta"):
        shapes = {name: weight.shape for name, weight in LlamaForCausalLM(config).state_dict().items()}
    weights = {name: drawn(shape, number).mul_(0.02).bfloat16() for number, (name, shape) in enumerate(shapes.items())}
    base, adapter = folder / "base", folder / "adapter"
    base.mkdir(), adapter.mkdir()
    config.save_pretrained(base)
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, "a"))).save_pretrained(base)
    settings = LoraConfig(
        r=told["rank"], lora_alpha=2 * told["rank"], target_modules=list(LAYERS), task_type="CAUSAL_LM"
    )
    settings.save_pretrained(adapter)
    save_file(dict(halves(shapes, told["rank"])), adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    print(json.dumps({"parameters": sum(shape.numel() for shape in shapes.values())}))


def drawn(shape: torch.Size, number: int) -> torch.Tensor:
    """Normal numbers; drawing each of a billion anew would take minutes."""
    start = number * 7919 % 4096
    ring = POOL[start:]
    return ring.repeat(-(-shape.numel() // len(ring)))[: shape.numel()].reshape(shape)


def halves(shapes: dict[str, torch.Size], rank: int) -> list[tuple[str, torch.Tensor]]:
    made = []
    for number, (name, shape) in enumerate(shapes.items()):
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in LAYERS:
            key = f"base_model.model.{module}"
            made.append((f"{key}.lora_A.weight", drawn(torch.Size((rank, shape[1])), number) * 0.02))
            made.append((f"{key}.lora_B.weight", drawn(torch.Size((shape[0], rank)), number + 1) * 0.02))
    return made


if __name__ == "__main__":
    main()
