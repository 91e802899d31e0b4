"""What the train stage reads, makes and may be told. Defaults are published practice, with the source on the line."""

from typing import Literal, Self

from pydantic import model_validator

from stages.contract import Params, Stage, setting

LEARNING_RATES = {
    "lora": 2e-4,  # QLoRA's Guanaco 7B script; "LoRA Without Regret" finds about ten times the rate of full training
    "full": 2e-5,  # Stanford Alpaca 7B
}


class TrainParams(Params):
    """Every value but the execution-only ones decides which weights come out."""

    method: Literal["full", "lora"] = setting(
        "lora", "full trains every weight and makes a model; lora makes an adapter"
    )
    objective: Literal["sft", "text"] = setting(
        "sft", "sft learns the tokens whose loss_mask is 1; text learns every token but the first of each document"
    )
    seed: int = setting(0, "Decides the order of the data, dropout and the first weights of an adapter", ge=0, lt=2**31)

    epochs: int = setting(
        3, "Times that each example is seen, unless max_steps says otherwise", ge=1
    )  # Stanford Alpaca
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
        None, "Highest learning rate; by method if not given: lora 2e-4, full 2e-5", gt=0
    )
    warmup_share: float = setting(
        0.03, "Share of the steps in which the rate rises", unit="share", ge=0, le=1
    )  # Alpaca
    schedule: Literal["cosine", "linear", "constant"] = setting("cosine", "How the rate falls to 0 after the warm-up")
    weight_decay: float = setting(0.0, "AdamW's decay, of matrices only", ge=0)  # Stanford Alpaca
    max_grad_norm: float | None = setting(1.0, "Longer gradients are shortened to it", gt=0)

    lora_rank: int = setting(16, "Rank of the update of each linear layer", ge=1)  # sft practice: 8 to 16
    lora_alpha: float = setting(32.0, "The update is scaled by alpha / rank", gt=0)  # sft practice: rank to 2 rank
    lora_dropout: float = setting(
        0.0, "Share of a layer's inputs that the update does not see", unit="share", ge=0, lt=1
    )
    train_embeddings: bool | None = setting(
        None, "lora also trains both embedding matrices whole; if not given, exactly when the tokenizer has new tokens"
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
    # The order in which threads add numbers up decides the last bits, so it is part of the result.
    cpu_threads: int = setting(
        2, "Threads of arithmetic on a CPU; results differ in the last bits between counts", ge=1
    )
    checkpoint_every_steps: int = setting(
        200, "A killed run repeats at most so many steps", unit="steps", ge=1, execution_only=True
    )

    @model_validator(mode="after")
    def _values_agree(self) -> Self:
        if self.early_stopping_patience is not None and self.validate_every_steps is None:
            raise ValueError("early_stopping_patience counts validations; set validate_every_steps as well")
        return self

    @property
    def highest_learning_rate(self) -> float:
        return self.learning_rate if self.learning_rate is not None else LEARNING_RATES[self.method]

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
