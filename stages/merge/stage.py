"""What the merge stage reads, makes and may be told."""

from typing import Literal

from stages.contract import Params, Stage, setting


class MergeParams(Params):
    """How the merged model is compared with base and adapter before it is published."""

    unmergeable: Literal["serve", "refuse"] = setting(
        "serve",
        "What becomes of an adapter that cannot be part of the weights (prefix, prompt, p_tuning, bottleneck): base and adapter "
        "side by side in one folder, which only these stages load, or an error",
    )
    max_logit_difference: float = setting(
        1e-4,
        "Refuses a merge whose logits differ by more from base and adapter; times the largest logit where that is above 1, "
        "and more for 16-bit weights, as rounding needs it",
        ge=0,
    )
    check_prompts: int = setting(8, "Prompts on which the logits are compared", unit="prompts", ge=1)
    check_tokens: int = setting(32, "Longest prompt; the rest of an example is left out", unit="tokens", ge=1)
    base_prompts: int = setting(
        16,
        "Held-out examples whose loss decides into which base an adapter goes that was trained on one in four bits",
        unit="prompts",
        ge=2,
    )
    base_tokens: int = setting(256, "Longest of them; the rest of an example is left out", unit="tokens", ge=2)
    cpu_threads: int = setting(
        2, "Threads of arithmetic on a CPU; results differ in the last bits between counts", ge=1
    )


STAGE = Stage(
    name="merge",
    purpose="Adds an adapter to its base in float32, and proves that the logits are the same",
    kind="job",
    inputs=("base", "adapter"),
    optional_inputs=("examples",),
    outputs=("model",),
    params=MergeParams,
    image="train",
)
