"""What the model answers while it is trained, to the same few prompts each time."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from stages.texts.private_data import mask_all
from stages.train.examples import Examples, closing_ids
from stages.train.gradients import Forward

PROMPTS = 3
PROMPT_TOKENS, ANSWER_TOKENS = 512, 64
SHOWN_CHARS = 160


class Sample(NamedTuple):
    """One answer."""

    step: int
    row_id: str
    prompt: str
    answer: str


class Sampler:
    """Answers greedily, so no random number is drawn; the model is left in the mode in which it was."""

    def __init__(self, forward: Forward, examples: Examples, words: PreTrainedTokenizerBase) -> None:
        self.forward, self.words = forward, words
        self.ends = closing_ids(examples)[:3]
        self.row_ids = list(examples.row_ids[:PROMPTS])
        self.prompts = [_prompt(examples, place) for place in range(len(self.row_ids))]

    def answer(self, step: int) -> list[Sample]:
        """One sample per prompt."""
        was_training = self.forward.training
        self.forward.eval()
        made = [
            Sample(step, row_id, self._text(prompt), self._text(self._continued(prompt)))
            for row_id, prompt in zip(self.row_ids, self.prompts, strict=True)
        ]
        self.forward.train(was_training)
        return made

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.words.decode(list(ids), skip_special_tokens=False))

    @torch.no_grad()
    def _continued(self, prompt: Sequence[int]) -> list[int]:
        ids = torch.tensor([list(prompt)], device=self.forward.arithmetic.device)
        made: Tensor = self.forward(lambda model: _generate(model, ids, self.ends))
        answer: list[int] = made[0, ids.shape[1] :].tolist()
        return answer


def told(samples: Sequence[Sample]) -> str:
    """For people: prompts and answers without private data, one under the other."""
    lines = (f"step {s.step}, row {s.row_id}\n{mask_all(s.prompt)}\n→ {mask_all(s.answer)}\n" for s in samples)
    return "\n".join(lines)


def shortened(samples: Sequence[Sample]) -> list[str]:
    """One line for each, for the end of a run."""
    answers = [" ".join(mask_all(s.answer).split())[:SHOWN_CHARS] for s in samples]
    return [
        f"step {s.step}, row {s.row_id} → {answer or '(nothing)'}" for s, answer in zip(samples, answers, strict=True)
    ]


def _prompt(examples: Examples, place: int) -> list[int]:
    """The tokens before the first that counts; of a plain text, its beginning."""
    start, end = examples.starts[place : place + 2].tolist()
    first = start + int(examples.is_target[start:end].argmax())
    ids: list[int] = examples.input_ids[start:first].tolist()
    return ids[-PROMPT_TOKENS:]


def _generate(model: PreTrainedModel, ids: Tensor, ends: Sequence[int]) -> Tensor:
    made: Tensor = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=ANSWER_TOKENS, do_sample=False,
        eos_token_id=list(ends), pad_token_id=ends[0],
    )  # fmt: skip
    return made
