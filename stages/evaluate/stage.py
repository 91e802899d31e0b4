"""What the evaluate stage reads, makes and may be told."""

from typing import Literal

from stages.contract import Params, Stage, setting


class EvaluateParams(Params):
    """How much is measured, and how finely. Base and tuned model always get the same tokens."""

    max_examples: int | None = setting(2000, "Held-out conversations whose loss is measured; None = all", ge=1)
    max_tokens: int = setting(
        2048, "Longest piece of plain text, and longest prompt with its answer", unit="tokens", ge=16
    )
    max_plain_text_tokens: int | None = setting(
        200_000, "Plain text on which forgetting is measured; None = all of it", unit="tokens", ge=16
    )
    max_prompts: int | None = setting(64, "Held-out prompts that both models answer; None = all, 0 = none", ge=0)
    max_new_tokens: int = setting(256, "Longest answer; one that is not over by then did not stop", unit="tokens", ge=1)
    resamples: int = setting(1000, "Resamples of the items behind each 95 % interval of a loss", ge=100)
    seed: int = setting(0, "Decides the resamples", ge=0)
    # Padding and the order of sums decide the last bits, so the next three are part of the result.
    batch_tokens: int = setting(8192, "Tokens of one forward pass, padding included", unit="tokens", ge=16)
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "Of the arithmetic; auto is bfloat16 where a GPU has it"
    )
    cpu_threads: int = setting(
        2, "Threads of arithmetic on a CPU; results differ in the last bits between counts", ge=1
    )


STAGE = Stage(
    name="evaluate",
    purpose="Compares base and tuned model on held-out data: loss, forgetting, and answers side by side",
    kind="job",
    inputs=("base", "model", "examples", "mixture"),
    optional_inputs=("plain_text",),
    outputs=("evaluation", "generations"),
    params=EvaluateParams,
    image="train",
)
