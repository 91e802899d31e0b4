"""TRL: SFTTrainer with the packs as they are, in their order."""

import json
import tempfile
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from train_timing import StepClock, folder, settings
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Clock(TrainerCallback):
    def __init__(self) -> None:
        self.clock = StepClock()

    def on_step_end(self, *_: object, **__: object) -> None:
        self.clock()


class Watched(SFTTrainer):
    """Keeps the loss of each batch as it is, without waiting for it."""

    def training_step(self, *given: Any, **more: Any) -> torch.Tensor:
        loss = super().training_step(*given, **more)
        self.seen = [*getattr(self, "seen", []), loss.detach()]
        return loss


def main() -> None:
    told = settings()
    packs = Dataset.from_parquet(str(folder() / "packs.parquet")).to_list()
    sizes = json.loads((folder() / "packs_of_step.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder() / "base")
    model = AutoModelForCausalLM.from_pretrained(folder() / "base", dtype=torch.float32)
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(), max_steps=told["max_steps"], per_device_train_batch_size=1,
        gradient_accumulation_steps=told["packs_per_step"], learning_rate=told["learning_rate"], weight_decay=0.0,
        lr_scheduler_type=told["schedule"], warmup_steps=0, max_grad_norm=1.0, optim="adamw_torch_fused",
        bf16=False, use_cpu=True, gradient_checkpointing=False, padding_free=True, max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True}, train_sampling_strategy="sequential", seed=told["seed"],
        logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True, dataloader_num_workers=0,
    )  # fmt: skip
    lora = LoraConfig(
        r=told["lora_rank"], lora_alpha=told["lora_alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
    )
    watch = Clock()
    trainer = Watched(
        model=model, args=config, train_dataset=Dataset.from_list(packs), processing_class=tokenizer,
        peft_config=None if told["method"] == "full" else lora, callbacks=[watch],
    )  # fmt: skip
    trainer.train()
    losses = [float(loss) for loss in trainer.seen]
    watch.clock.report(losses, packs, sizes)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
