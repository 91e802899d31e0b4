"""What a training says while it runs: a line, metrics, rows with unusual losses, and answers to a few prompts."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from stages.contract import Progress
from stages.processes.memory import resident_bytes
from stages.train.batches import Batch
from stages.train.examples import Examples
from stages.train.gradients import Forward
from stages.train.machine import Machine
from stages.train.methods import Trainable, causal_model, is_adapted, weight_count
from stages.train.position import Position, StepFacts
from stages.train.samples import Sample, Sampler, told
from stages.train.spikes import SpikeWatch
from stages.train.team import Team

logger = logging.getLogger(__name__)


class MetricsLog(Protocol):
    """Where numbers and texts go beside training_log; never raises."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None: ...

    def text(self, name: str, content: str) -> None: ...


class Teller:
    """Speaks in the main process only. Nothing that it does changes what comes out."""

    def __init__(self, team: Team, forward: Forward, examples: Examples, progress: Progress, log: MetricsLog) -> None:
        self.team, self.progress, self.log = team, progress, log
        self.spikes = SpikeWatch(forward, examples, is_alone=not team.is_sharded)
        self.machine, self.samples = Machine(), list[Sample]()
        self.sampler: Sampler | None = None
        self.began = self.supervised_before = self.total_before = 0.0

    def sample_from(self, examples: Examples, words: PreTrainedTokenizerBase) -> None:
        """From here on `answers` takes its prompts from the first of `examples`."""
        self.sampler = Sampler(self.spikes.forward, examples, words)

    def begin(self, position: Position, steps: int) -> None:
        """From here on steps and tokens are counted against the clock."""
        self.progress(position.step, steps, "steps")
        self.began = time.monotonic()
        self.supervised_before, self.total_before = position.supervised_tokens, position.total_tokens

    def losses(self, step: int, batches: Sequence[Batch], losses: Tensor) -> None:
        """Looks at the loss sums of a step's batches."""
        if self.team.is_main:
            with _never_stopping("looking for rows with unusual losses"):
                self.spikes.look(step, batches, losses)

    def row(self, step: int, row: Mapping[str, float | None]) -> None:
        """A row of training_log, and what the machine does."""
        if self.team.is_main:
            known = {name: value for name, value in row.items() if value is not None}
            self.log.metrics(step, known | self.machine.look())

    def step(self, position: Position, steps: int, facts: StepFacts, loss: float) -> None:
        """One dense line."""
        self.progress(
            position.step, steps, "steps", loss=loss, lr=facts.learning_rate, grad_norm=facts.grad_norm,
            supervised_tokens_per_second=round(self.rate(position.supervised_tokens - self.supervised_before)),
            total_tokens_per_second=round(self.rate(position.total_tokens - self.total_before)),
            memory_mib=self.memory_mib(),
        )  # fmt: skip

    def validating(self, done: int, batches: int) -> None:
        """How far a validation is, in batches of this process."""
        self.progress(done, batches, "batches of validation")

    @contextmanager
    def between_steps(self) -> Iterator[None]:
        """The time inside does not count against the tokens of the steps."""
        started = time.monotonic()
        yield
        self.began += time.monotonic() - started

    def answers(self, step: int) -> None:
        """What the model says now to the prompts."""
        if self.team.is_main and self.sampler is not None:
            with self.between_steps(), _never_stopping("answering prompts"):
                self.samples = self.sampler.answer(step)
                self.log.text(f"samples/step-{step:08d}.txt", told(self.samples))

    def rate(self, tokens: float) -> float:
        """Tokens per second of this attempt."""
        return tokens / max(time.monotonic() - self.began, 1e-9)

    def memory_mib(self) -> int:
        """Held by this process: on the GPU at most so far, on the CPU now."""
        is_gpu = self.team.device.type == "cuda"
        return (torch.cuda.max_memory_allocated(self.team.device) if is_gpu else resident_bytes()) >> 20


def what_was_trained(weights: Mapping[str, nn.Parameter], model: Trainable, rows: Sequence[Mapping[str, Any]]) -> str:
    """For the end of a run: how much was trained, and the losses that say whether it helped; `rows` are training_log's."""
    trained = sum(weight.numel() for weight in weights.values())
    embeddings = causal_model(model).get_input_embeddings().parameters()
    whole = is_adapted(model) and any(weight.requires_grad for weight in embeddings)
    validation = rows[-1]["validation_loss"]
    return (
        f"{trained:,} of {weight_count(model):,} weights trained{', both embedding matrices among them' if whole else ''}; "
        f"loss {rows[0]['loss']:.4g} → {rows[-1]['loss']:.4g}"
        f"{'' if validation is None else f', of validation {validation:.4g}'}"
    )


@contextmanager
def _never_stopping(what: str) -> Iterator[None]:
    """Inside, a model that cannot do more than train, or memory that does not suffice for more, is only warned about."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        logger.warning("%s failed, and training goes on: %s", what, str(error).split("\n")[0])
