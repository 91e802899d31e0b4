"""What the rate stage reads, makes and may be told."""

from typing import Literal

from stages.contract import Params, Stage, setting


class RateParams(Params):
    """Which models are asked, and how. By default none is: every rating is null and the rows pass through."""

    perplexity: bool = setting(False, "Asks the dataset base how well it predicts each answer: perplexity and ifd")
    prompt_form: Literal["plain", "own_template"] = setting(
        "plain", "How the base reads what comes before an answer: its texts alone, or as its own chat template says"
    )
    # A row that does not fit is never cut: half an answer has another perplexity.
    max_tokens: int = setting(2048, "Longest question with its answer; a longer one is not rated", unit="tokens", ge=16)
    length_bins: int = setting(
        50, "Groups of about equally long answers within which perplexity and ifd are ranked", ge=1
    )
    # Shapes of batches and the order of sums decide the last bits, so the next three are part of the result.
    batch_tokens: int = setting(2048, "Tokens of one forward pass, padding included", unit="tokens", ge=16)
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "Of the arithmetic; auto is bfloat16 where a GPU has it"
    )
    cpu_threads: int = setting(
        2, "Threads of arithmetic on a CPU; results differ in the last bits between counts", ge=1
    )

    def inputs_left_out(self) -> tuple[str, ...]:
        return () if self.perplexity else ("base",)

    def inputs_needed(self) -> tuple[str, ...]:
        return ("base",) if self.perplexity else ()


STAGE = Stage(
    name="rate",
    purpose="Asks models about each row: how well the base predicts its answer, what a judge thinks of it",
    kind="job",
    inputs=("scored",),
    optional_inputs=("base",),
    outputs=("rated",),
    params=RateParams,
    image="train",
)
