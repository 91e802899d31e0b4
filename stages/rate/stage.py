"""What the rate stage reads, makes and may be told."""

import re
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from stages.contract import Params, Stage, setting

ENDPOINT = re.compile(r"https?://[^/@?#\s]+(/[^@?#\s]*)?")


class RateParams(Params):
    """Which models are asked, and how. By default none is: every rating is null and the rows pass through."""

    perplexity: bool = setting(False, "Asks the dataset base how well it predicts each answer: perplexity and ifd")
    embed: bool = setting(
        False,
        "Has the dataset base read each row, and keeps the mean of what its last layer says: for mix to tell likes",
    )
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

    # The name stands for the judge wherever it is served, so name a dated version: answers are kept by it.
    judge_model: str | None = setting(None, "Model that grades each last answer; None = no judge")
    judge_endpoint: str | None = setting(
        None, "OpenAI-compatible address of the judge, such as http://judge:8000/v1; its key: TEMPER_JUDGE_API_KEY",
        execution_only=True,
    )  # fmt: skip
    judge_form: Literal["rubric", "expected"] = setting(
        "rubric", "A grade with a comment, or the mean of all grades weighted by the judge's own probabilities"
    )
    judge_prompt: str | None = setting(
        None,
        "File with a question to the judge that has {conversation} and {answer} in it; None = our own",
        content=True,
    )
    judge_lowest: int = setting(1, "Worst grade")
    judge_highest: int = setting(5, "Best grade")
    judge_options: dict[str, Any] = setting(
        {}, "Fields of each request, over our own temperature 0 and max_tokens; null leaves a field out"
    )
    judge_max_answer_tokens: int = setting(512, "Longest reply of the judge", unit="tokens", ge=1)
    # The judge is somebody else's machine, and `filter` masks such rows only after this stage.
    judge_sees_private: bool = setting(
        False, "Shows the judge also rows with keys, passwords, card or account numbers; else they get no grade"
    )
    # What lies beyond a limit stays null and is counted, and a run with a higher limit goes on from there.
    judge_max_rows: int | None = setting(None, "Rows to grade, by their ids a random sample; None = all", ge=0)
    judge_max_requests: int | None = setting(10_000, "Requests of one run, retries included; None = any", ge=0)
    judge_max_tokens: int | None = setting(None, "Tokens of one run, questions and replies; None = any", ge=0)
    judge_max_failed_share: float = setting(
        0.01,
        "More rows than this without a grade, as the judge fails or replies none, and the stage fails; replies are kept",
        ge=0,
        le=1,
    )
    judge_concurrency: int = setting(8, "Requests under way at once", ge=1, le=256, execution_only=True)
    judge_timeout_seconds: float = setting(60.0, "Longest wait for a reply", unit="seconds", gt=0, execution_only=True)
    judge_retries: int = setting(5, "Repeats of a request that failed in passing", ge=0, execution_only=True)
    judge_replies: str | None = setting(
        None, "Folder in which replies are kept for good (of containers: in the store); None = the stage's cache, which new code begins anew",
        execution_only=True,
    )  # fmt: skip

    @model_validator(mode="after")
    def _judge_is_whole(self) -> Self:
        if self.judge_model and not self.judge_endpoint:
            raise ValueError("judge_model is given and judge_endpoint is not; say where the judge answers")
        if self.judge_lowest >= self.judge_highest:
            raise ValueError("judge_lowest must be less than judge_highest")
        if self.judge_endpoint and not ENDPOINT.fullmatch(self.judge_endpoint):
            raise ValueError(
                "judge_endpoint must be http(s)://host[:port]/path without user, password or query; "
                "a key belongs in TEMPER_JUDGE_API_KEY, which is written down nowhere"
            )
        if self.judge_endpoint:
            _ = urlsplit(self.judge_endpoint).port  # ValueError for one that no server can have
        return self

    def inputs_left_out(self) -> tuple[str, ...]:
        return () if self.asks_base else ("base",)

    def inputs_needed(self) -> tuple[str, ...]:
        return ("base",) if self.asks_base else ()

    @property
    def asks_base(self) -> bool:
        return self.perplexity or self.embed


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
