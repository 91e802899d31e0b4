"""A model that is streamed from disk takes the memory of what it computes with, from when it is built."""

import gc
from pathlib import Path

import pytest
import torch
from torch import nn

from stages.merge.certificate import adapted_logits, put_on
from stages.modelling.adapters import load_adapted
from stages.modelling.models import load_model, repeatable
from stages.modelling.streamed_model import build_streamed
from stages.processes.memory import STATUS, forget_peak, peak_bytes, resident_bytes
from tiny_merge import TOKENS, make_adapter
from tiny_model import make_config, save_model


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux says what a process held at most")
def test_weights_that_are_placeholders_take_no_memory_while_the_model_is_built_either(tmp_path: Path) -> None:
    base = save_model(make_config(100_000, hidden=256, layers=1), tmp_path / "base")
    with repeatable(1):
        build_streamed(base, tokens=100_000)  # what the libraries load at the first time
        gc.collect()
        forget_peak()
        before = resident_bytes()
        build_streamed(base, tokens=100_000)
    assert (base / "model.safetensors").stat().st_size > 100_000_000
    assert peak_bytes() - before < 20_000_000


def test_halves_of_low_rank_stay_on_disk_and_what_is_said_is_the_adapters(tmp_path: Path) -> None:
    base = save_model(make_config(TOKENS, hidden=32, layers=2), tmp_path / "base")
    adapter = make_adapter(tmp_path / "adapter", load_model(base, torch.float32))
    adapted, halves = put_on(build_streamed(base, tokens=TOKENS), adapter)
    low_rank = [part for name, part in adapted.named_modules() if ".lora_" in name and isinstance(part, nn.Linear)]
    assert len(low_rank) == len(halves) == 2 * 2 * 7
    assert {part.weight.untyped_storage().nbytes() for part in low_rank} == {4}

    prompt = torch.arange(10)
    found = torch.cat(list(adapted_logits(base, adapter, TOKENS, [prompt])))
    with torch.no_grad():
        expected = load_adapted(base, adapter, torch.float32)(input_ids=prompt[None]).logits[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
