"""The training loop: steps, validation, early stopping, log and checkpoints; to the bit the same however often it is killed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedTokenizerBase

from stages.contract import Progress
from stages.errors import ConfigError, DataError
from stages.processes.memory import return_freed_memory
from stages.train.arithmetic import Arithmetic
from stages.train.batches import Batch, lay_out
from stages.train.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from stages.train.examples import Examples
from stages.train.foresight import NOTHING_FORESEEN, Foresight
from stages.train.gradients import Forward, Gradients
from stages.train.methods import Trainable, causal_model, trained_weights
from stages.train.optimizer import choose_optimizer, learning_rate, make_optimizer, optimizer_tensors, restore_optimizer
from stages.train.packing import Pack, StepOrder, best_fit_decreasing
from stages.train.position import Position, StepFacts
from stages.train.proofs import prove
from stages.train.sharding import copy_into, in_one_piece, placed_like, shard, whole
from stages.train.stage import TrainParams
from stages.train.team import Team
from stages.train.telling import MetricsLog, Teller


@dataclass(frozen=True)
class Plan:
    """What is to be done, and who is to be told."""

    params: TrainParams
    train: Examples
    validation: Examples  # may be none
    arithmetic: Arithmetic
    checkpoints: Path
    progress: Progress
    log: MetricsLog
    words: PreTrainedTokenizerBase  # to read what the model answers meanwhile
    foreseen: Foresight = NOTHING_FORESEEN  # what memory was expected


class Run:
    """Trains a model in place, from the newest whole checkpoint if there is one."""

    def __init__(self, team: Team, model: Trainable, plan: Plan) -> None:
        self.team, self.plan, self.position = team, plan, Position()
        self.model = model if team.is_sharded else model.to(team.device)
        if plan.params.gradient_checkpointing:
            causal_model(self.model).activation_checkpointing_enable({"use_reentrant": False})
        self.forward = Forward(self.model, plan.arithmetic)
        if team.is_sharded:
            shard(self.forward, causal_model(self.model), team)
        self.weights = trained_weights(self.model)
        self.optimizer_name = choose_optimizer(plan.params, team.device)
        self.optimizer = make_optimizer(self.weights.values(), plan.params, self.optimizer_name)
        self.gradients = Gradients(self.forward, self.weights, plan.train, team)
        self.kernels = "plain"  # until the model is known to allow more
        self.checked: dict[str, float] = {}  # check -> largest relative difference
        self.order = StepOrder(plan.train.lengths, plan.train.repeats, plan.params)
        self.steps = plan.params.max_steps or plan.params.epochs * self.order.steps_per_epoch
        self.resumed_at = 0
        self.final: dict[str, Tensor] = {}  # trained weights in one piece, where no process holds them so
        self.best: dict[str, Tensor] = {}  # weights at the best validation, when stopping early is on
        self.teller = Teller(team, self.forward, plan.train, plan.progress, plan.log)
        if plan.params.sample_every_steps is not None:
            self.teller.sample_from(plan.validation if len(plan.validation) else plan.train, plan.words)

    def finish(self) -> Position:
        """Takes every step that is left; the model then holds the last weights, or the best when stopping early is on."""
        self._check_model()
        # What the checks freed lies between what is in use, and would be added to the peak of the first steps.
        return_freed_memory()
        self._resume()
        self.teller.begin(self.position, self.steps)
        while self.position.step < self.steps and not self._is_over():
            self._record(self._take_step())
            if self.position.step % self.plan.params.checkpoint_every_steps == 0:
                self._checkpoint()
        copy_into(self.weights, self.best)
        if self.team.is_sharded:
            self.final = whole(self.weights, self.team)
        self.model.eval()
        self.optimizer.zero_grad()
        return self.position

    def _check_model(self) -> None:
        self.model.eval()
        plan = self.plan
        plan.progress(1, 2, "preparations", now="proves on some examples that the loss is exact, before the first step")
        self.kernels, self.checked = prove(self.gradients, plan.train, plan.params, plan.arithmetic.dtype)

    def _take_step(self) -> StepFacts:
        """One optimizer step along the gradient of the mean loss of all its supervised tokens."""
        step = self.position.step
        self.model.train()
        batches = self._batches(self.plan.train, self.order.packs_of(step))
        losses = self.gradients.add_up(batches, self._seed(step))
        longest = self.plan.params.max_grad_norm
        grad_norm = clip_grad_norm_(self.weights.values(), float("inf") if longest is None else longest)
        grad_norm = in_one_piece(grad_norm)
        self._refuse_nan(losses, grad_norm, batches)
        self.teller.losses(step + 1, batches, losses)
        rate = learning_rate(step, self.steps, self.plan.params)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return StepFacts(
            float(losses.sum()), sum(batch.weight for batch in batches), sum(batch.supervised for batch in batches),
            sum(batch.tokens for batch in batches), rate, float(grad_norm),
        )  # fmt: skip

    def _seed(self, step: int) -> int:
        """Random numbers follow from the step, so a resumed run draws the same ones, and each process its own."""
        # CPU generators use 32 bits of a seed.
        return int(np.random.SeedSequence((self.plan.params.seed, step, self.team.rank)).generate_state(1)[0])

    def _batches(self, examples: Examples, packs: Sequence[Pack]) -> list[Batch]:
        params = self.plan.params
        return list(lay_out(examples, packs, packing=params.packing, pack_tokens=params.pack_tokens))

    def _refuse_nan(self, losses: Tensor, grad_norm: Tensor, batches: list[Batch]) -> None:
        broken = [batch for batch, is_fine in zip(batches, losses.isfinite().tolist(), strict=True) if not is_fine]
        if not broken and grad_norm.isfinite():
            return
        members = np.concatenate([batch.members for batch in broken or batches])
        raise DataError(
            f"the {'loss' if broken else 'gradient'} of step {self.position.step + 1} of {self.steps} is no number, in a batch "
            f"with the rows {self.plan.train.named(members)}; look at these rows, or lower learning_rate"
        )

    def _record(self, facts: StepFacts) -> None:
        """Counts the step, and validates and writes a row of training_log where they are due."""
        params, position = self.plan.params, self.position
        position.advance(facts)
        loss, is_last = position.loss, position.step == self.steps
        every = params.validate_every_steps
        is_validated = len(self.plan.validation) > 0 and (is_last or (every is not None and position.step % every == 0))
        with self.teller.between_steps():
            validation_loss = self._validate() if is_validated else None
        if is_last or is_validated or position.step % params.log_every_steps == 0:
            self.teller.row(position.step, position.write_row(facts, validation_loss))
        self.teller.step(position, self.steps, facts, loss)
        if params.sample_every_steps is not None and (is_last or position.step % params.sample_every_steps == 0):
            self.teller.answers(position.step)

    def _validate(self) -> float:
        """Mean loss of the validation split's supervised tokens; keeps the weights if it is the best and that matters."""
        self.model.eval()
        examples = self.plan.validation
        batches = self._batches(examples, best_fit_decreasing(examples.lengths, self.plan.params.pack_tokens))
        losses = self.gradients.losses(batches, self.teller.validating)
        loss = float(losses.double().sum()) / sum(batch.weight for batch in batches)
        if not np.isfinite(loss):
            raise DataError(f"the validation loss after step {self.position.step} is no number; lower learning_rate")
        if self.position.validated(loss) and self.plan.params.early_stopping_patience is not None:
            where = self.team.device if self.team.is_sharded else torch.device("cpu")
            self.best = {name: weight.detach().to(where, copy=True) for name, weight in self.weights.items()}
        return loss

    def _is_over(self) -> bool:
        """Before the last step: because it gets no better, or, in a range test, because the rate is too high."""
        is_range_test = self.plan.params.schedule == "range_test"
        return self._is_patience_lost() or (is_range_test and self.position.has_diverged())

    def _is_patience_lost(self) -> bool:
        patience = self.plan.params.early_stopping_patience
        return patience is not None and self.position.validations_without_better >= patience

    def _checkpoint(self) -> None:
        groups: dict[str, Mapping[str, Tensor]] = {
            "weights": self.weights, "optimizer": optimizer_tensors(self.optimizer), "best": self.best,
        }  # fmt: skip
        tensors = {name: whole(group, self.team) for name, group in groups.items()}
        if self.team.is_main:
            save_checkpoint(self.plan.checkpoints, Checkpoint(self.position.step, asdict(self.position), tensors))

    def _resume(self) -> None:
        checkpoint = newest_checkpoint(self.plan.checkpoints)
        step = checkpoint.step if checkpoint else 0
        if (common := self.team.agree(step)) != step:
            raise ConfigError(
                f"process {self.team.rank} finds a checkpoint of step {step} in {self.plan.checkpoints}, and the main process "
                f"one of step {common}; let all machines share that folder"
            )
        if checkpoint is None:
            return
        self.position = Position(**checkpoint.progress)
        self.resumed_at = checkpoint.step
        copy_into(self.weights, checkpoint.tensors["weights"])
        restore_optimizer(self.optimizer, checkpoint.tensors["optimizer"])
        self.best = {name: placed_like(best, self.weights[name]) for name, best in checkpoint.tensors["best"].items()}
