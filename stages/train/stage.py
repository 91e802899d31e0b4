"""What the train stage reads, makes and may be told. Defaults are published practice, with the source on the line."""

from typing import Any, Literal, Self

from pydantic import model_validator

from stages.contract import Params, Stage, setting
from stages.processes import launched

# PEFT's benchmark: Llama-3.2-3B on MetaMathQA, measured on GSM8K (method_comparison/MetaMathQA in its repository).
LEARNING_RATES = {
    "full": 2e-5,  # Stanford Alpaca 7B
    "lora": 2e-4,  # as qlora; "LoRA Without Regret" finds about ten times the rate of full training
    "rslora": 1e-4,  # PEFT's benchmark: the best LoRA of its table; the updates are scaled up by the root of the rank
    "dora": 2e-4,  # NVlabs/DoRA, commonsense_reasoning/README.md: LLaMA 7B and LLaMA 2 7B at rank 16; LLaMA 3 8B wants 1e-4
    "qlora": 2e-4,  # artidoro/qlora, scripts/finetune_guanaco_7b.sh; of 65B 1e-4
    "ia3": 3e-3,  # r-three/t-few, configs/ia3.json, of those who found it; PEFT's benchmark: 1e-3 beats 1e-4, .398 to .311
    "prefix": 5e-3,  # PEFT's benchmark: .416 with this rate, 50 tokens and keys and values of a text, .186 with 1e-3
    "prompt": 1e-2,  # PEFT's benchmark: 1e-3 beats 1e-4, .343 to .057; Lester et al., 2021, go up to 0.3
    "p_tuning": 1e-3,  # PEFT, docs/source/task_guides/ptuning-seq-classification.mdx
    "bottleneck": 3e-4,  # google-research/adapter-bert, README.md, of those who found it
}
VIRTUAL_TOKENS = {
    "prefix": 50,  # PEFT's benchmark, as above
    "prompt": 100,  # Lester et al., "The Power of Scale", 2021, section 3.2: little is gained beyond 20 to 100
    "p_tuning": 20,  # PEFT's guide, as above
}
LOW_RANK = ("lora", "rslora", "dora", "qlora")
Method = Literal["full", "lora", "rslora", "dora", "qlora", "ia3", "prefix", "prompt", "p_tuning", "bottleneck"]


class TrainParams(Params):
    """Every value but the execution-only ones decides which weights come out."""

    method: Method = setting(
        "lora",
        "full trains every weight and makes a model, the others an adapter: low-rank updates (lora, rslora, dora; qlora on "
        "a base in four bits), scales (ia3), virtual tokens (prefix, prompt, p_tuning), layers beside (bottleneck)",
    )
    objective: Literal["sft", "text"] = setting(
        "sft", "sft learns the tokens whose loss_mask is 1; text learns every token but the first of each document"
    )
    seed: int = setting(0, "Decides the order of the data, dropout and the first weights of an adapter", ge=0, lt=2**31)

    epochs: int = setting(
        3, "Times that each example is seen, unless max_steps says otherwise", ge=1
    )  # Stanford Alpaca
    examples_share: float = setting(
        1.0, "Share of the training examples that is learned from; for learning curves", unit="share", gt=0, le=1
    )
    inconsistent_share: float = setting(
        0.0, "Share of them that gets another one's last answer; an experiment, never for a model that is to serve",
        unit="share", ge=0, le=1,
    )  # fmt: skip
    max_steps: int | None = setting(
        None, "Trains exactly so many optimizer steps, whatever epochs says", unit="steps", ge=1
    )
    pack_tokens: int = setting(
        2048, "Size of one forward pass; a longer example gets one of its own", unit="tokens", ge=8
    )
    packs_per_step: int = setting(8, "Packs whose gradients add up to one optimizer step, at most", unit="packs", ge=1)
    packing: bool = setting(
        True, "Lays a pack out as one row without padding; off = padded rows with an attention mask"
    )

    learning_rate: float | None = setting(
        None,
        f"Highest learning rate; by method if not given: {', '.join(f'{m} {r:g}' for m, r in LEARNING_RATES.items())}",
        gt=0,
    )
    warmup_share: float = setting(
        0.03, "Share of the steps in which the rate rises", unit="share", ge=0, le=1
    )  # Alpaca
    schedule: Literal["cosine", "linear", "constant", "range_test"] = setting(
        "cosine",
        "How the rate falls to 0 after the warm-up; range_test raises it instead, a hundred-thousandfold up to learning_rate "
        "(1 if not given), and stops once the loss has diverged",
    )
    optimizer: Literal["auto", "adamw", "paged_adamw_8bit"] = setting(
        "auto",
        "paged_adamw_8bit keeps its moments in eight bits and moves them out when a GPU is full (bitsandbytes, on a GPU only); "
        "auto is that for qlora where it is installed, else adamw",
    )  # Dettmers et al., "QLoRA", 2023, section 3
    weight_decay: float = setting(0.0, "AdamW's decay, of matrices only", ge=0)  # Stanford Alpaca
    max_grad_norm: float | None = setting(1.0, "Longer gradients are shortened to it", gt=0)

    target_modules: list[str] | None = setting(
        None, "Names of the layers that low-rank updates and scales go to; if not given, all linear layers (ia3: keys, values "
        "and the last of the feed-forward part)", min_length=1,
    )  # fmt: skip
    lora_rank: int = setting(16, "Rank of the update of each linear layer", ge=1)  # sft practice: 8 to 16
    lora_alpha: float = setting(
        32.0, "The update is scaled by alpha / rank; with rslora by alpha / root of rank", gt=0
    )  # sft practice: rank to 2 rank
    lora_dropout: float = setting(
        0.0, "Share of a layer's inputs that the update does not see", unit="share", ge=0, lt=1
    )
    train_embeddings: bool | None = setting(
        None,
        "An adapter also has both embedding matrices, trained whole; if not given, exactly when the tokenizer has new tokens",
    )
    virtual_tokens: int | None = setting(
        None, "Virtual tokens before each document, for prefix, prompt and p_tuning; if not given: "
        f"{', '.join(f'{m} {n}' for m, n in VIRTUAL_TOKENS.items())}", unit="tokens", ge=1,
    )  # fmt: skip
    # Houlsby et al., 2019, section 3.2: with 64 everywhere, 79.6 on GLUE; full training reaches 80.4.
    bottleneck_size: int = setting(64, "Width of a bottleneck adapter", ge=1)
    # Pfeiffer et al., "AdapterFusion", 2021: one per layer is as good as two, for half the weights.
    bottleneck_places: Literal["layer", "blocks"] = setting(
        "layer", "One bottleneck after each layer (Pfeiffer), or after each attention and feed-forward block (Houlsby)"
    )

    validate_every_steps: int | None = setting(
        None, "Measures validation loss so often, and always at the end", unit="steps", ge=1
    )
    early_stopping_patience: int | None = setting(
        None, "Stops after so many validations in a row without a better loss, and keeps the best weights", ge=1
    )
    log_every_steps: int = setting(1, "Steps per row of training_log", unit="steps", ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "Of the arithmetic; auto is bfloat16 where a GPU has it"
    )
    kernels: Literal["auto", "plain", "varlen"] = setting(
        "auto",
        "How the same numbers are computed: plain = as transformers does; varlen = attention within each document only, the "
        "same numbers for less work; auto = varlen where the model gives the same with it, else plain",
    )
    gradient_checkpointing: bool = setting(
        False,
        "Computes each layer again for its gradient instead of keeping what it computed: less memory, a third more time",
    )
    # The order in which threads add numbers up decides the last bits, so it is part of the result.
    cpu_threads: int = setting(
        2, "Threads of arithmetic on a CPU; results differ in the last bits between counts", ge=1
    )
    # So is the order in which they do.
    processes: int = setting(
        1,
        "Processes that share each step, one per GPU or so many on a CPU; as many as accelerate launch has started",
        ge=1,
    )
    parallelism: Literal["ddp", "fsdp2"] = setting(
        "ddp", "With several processes: ddp keeps the whole model in each, fsdp2 a share of it"
    )
    sample_every_steps: int | None = setting(
        None, "Answers three prompts, of validation if there are any, so often and at the end; they go to MLflow, the last are told",
        unit="steps", ge=1, execution_only=True,
    )  # fmt: skip
    checkpoint_every_steps: int = setting(
        200, "A killed run repeats at most so many steps", unit="steps", ge=1, execution_only=True
    )

    @model_validator(mode="before")
    @classmethod
    def _as_many_as_were_started(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Its own settings, of `accelerate launch`, stand where none are given here."""
        if launched.size() == 1:
            return given
        return {"processes": launched.size(), "parallelism": "fsdp2" if launched.is_sharded() else "ddp"} | given

    @model_validator(mode="after")
    def _values_agree(self) -> Self:
        if self.early_stopping_patience is not None and self.validate_every_steps is None:
            raise ValueError("early_stopping_patience counts validations; set validate_every_steps as well")
        if self.inconsistent_share and self.objective == "text":
            raise ValueError("inconsistent_share moves answers, and objective=text has none; set objective=sft")
        if self.method == "prefix" and self.gradient_checkpointing:
            raise ValueError("method=prefix lives in the cache, which gradient_checkpointing drops; use one of the two")
        if self.virtual_tokens is not None and self.method not in VIRTUAL_TOKENS:
            raise ValueError(f"virtual_tokens are of {', '.join(VIRTUAL_TOKENS)}; method={self.method} has none")
        if self.target_modules is not None and self.method not in (*LOW_RANK, "ia3"):
            raise ValueError(f"target_modules are of {', '.join(LOW_RANK)} and ia3; method={self.method} has none")
        if self.train_embeddings and self.method in ("full", *VIRTUAL_TOKENS):
            raise ValueError(
                f"train_embeddings is for adapters that hold weights of the base; leave it unset for {self.method}"
            )
        return self

    @model_validator(mode="after")
    def _machinery_agrees(self) -> Self:
        if self.kernels == "varlen" and self.method in VIRTUAL_TOKENS:
            raise ValueError(f"kernels=varlen knows no virtual tokens; leave it unset for method={self.method}")
        if self.optimizer == "paged_adamw_8bit" and self.parallelism == "fsdp2":
            raise ValueError(
                "optimizer=paged_adamw_8bit needs whole weights, and parallelism=fsdp2 divides them; use adamw"
            )
        if self.parallelism == "fsdp2" and self.processes == 1:
            raise ValueError("parallelism=fsdp2 divides the model among processes; set processes as well")
        if self.parallelism == "fsdp2" and self.sample_every_steps is not None:
            raise ValueError(
                "answers need a whole model, and parallelism=fsdp2 divides it; leave sample_every_steps out"
            )
        return self

    @property
    def highest_learning_rate(self) -> float:
        default = 1.0 if self.schedule == "range_test" else LEARNING_RATES[self.method]
        return self.learning_rate if self.learning_rate is not None else default

    @property
    def virtual_token_count(self) -> int:
        """Virtual tokens before each document; 0 for a method without."""
        return (self.virtual_tokens or VIRTUAL_TOKENS[self.method]) if self.method in VIRTUAL_TOKENS else 0

    def outputs_left_out(self) -> tuple[str, ...]:
        return ("adapter",) if self.method == "full" else ("model",)


STAGE = Stage(
    name="train",
    purpose="Trains a model, or an adapter for it, on the supervised tokens of the examples",
    kind="job",
    inputs=("base", "examples"),
    optional_inputs=("tokenizer",),
    outputs=("adapter", "model", "training_log"),
    either=("adapter", "model"),
    params=TrainParams,
    image="train",
)
