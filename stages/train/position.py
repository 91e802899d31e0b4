"""How far a run is: everything that changes beside weights and optimizer. JSON keeps its floats exactly."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class StepFacts(NamedTuple):
    """What one optimizer step was."""

    loss_sum: float  # over its supervised tokens, each times its weight
    weight: float  # of its supervised tokens
    supervised_tokens: int
    total_tokens: int
    learning_rate: float
    grad_norm: float  # before clipping


@dataclass
class Position:
    """Starts at the first step; a checkpoint holds all of it."""

    step: int = 0  # steps taken
    supervised_tokens: int = 0
    total_tokens: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)  # of training_log
    loss_since_row: float = 0.0  # weighted sum over the supervised tokens since the last row
    weight_since_row: float = 0.0
    best_loss: float | None = None  # of validation
    best_step: int = 0
    validations_without_better: int = 0

    def advance(self, facts: StepFacts) -> None:
        """Counts one step."""
        self.step += 1
        self.supervised_tokens += facts.supervised_tokens
        self.total_tokens += facts.total_tokens
        self.loss_since_row += facts.loss_sum
        self.weight_since_row += facts.weight

    @property
    def loss(self) -> float:
        """Weighted mean over the supervised tokens since the last row."""
        return self.loss_since_row / (self.weight_since_row or 1.0)

    def has_diverged(self) -> bool:
        """Whether the loss is four times the lowest so far. Source: fastai's learning-rate finder, where it stops."""
        losses = [row["loss"] for row in self.rows]
        return bool(losses) and losses[-1] > 4 * min(losses)

    def validated(self, loss: float) -> bool:
        """Notes a validation loss; whether it is the best so far."""
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.best_step, self.validations_without_better = loss, self.step, 0
            return True
        self.validations_without_better += 1
        return False

    def write_row(self, facts: StepFacts, validation_loss: float | None) -> dict[str, Any]:
        """Adds a row to training_log and starts the next mean."""
        row = {
            "step": self.step,
            "loss": self.loss,
            "learning_rate": facts.learning_rate,
            "grad_norm": facts.grad_norm,
            "supervised_tokens": self.supervised_tokens,
            "total_tokens": self.total_tokens,
            "validation_loss": validation_loss,
        }
        self.rows.append(row)
        self.loss_since_row, self.weight_since_row = 0.0, 0.0
        return row
