"""What each training method costs in memory and time, what it learns and what it forgets, on the demo's invented world.

    .venv/bin/python tests/bench/methods.py [--base-steps 150] [--steps 60] [--methods lora full] [--folder work/bench/methods]

Trains the demo's tiny model on prose about the world, then tunes it on questions by every method with its own defaults,
each in a process of its own, and prints one Markdown table. Forgetting is the rise of the loss on prose held out. Memory
is what the process took above what it had with its libraries loaded; seconds are CPU seconds of the whole train stage.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]

ROWS = 400
HELD_OUT = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("work/bench/methods"))
    parser.add_argument("--base-steps", type=int, default=150)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--methods", nargs="+", help="only these")
    asked = parser.parse_args()
    import tiny_training  # noqa: F401 - loads the libraries once, for all processes that are forked from here
    from stages.train.stage import LEARNING_RATES

    _in_own_process(_make_base, asked.folder, asked.base_steps)
    print("| method | rate | trained weights | peak MiB above start | CPU s | loss before | loss after | forgetting |")
    print("|---|---|---|---|---|---|---|---|")
    for method in asked.methods or LEARNING_RATES:
        found = _in_own_process(_measure, asked.folder, method, asked.steps)
        print(
            f"| {method} | {LEARNING_RATES[method]:g} | {found['trained']:,} | {found['mib']:.0f} | {found['seconds']:.1f} | "
            f"{found['before']:.3f} | {found['after']:.3f} | {found['forgetting']:+.3f} |",
            flush=True,
        )


def _in_own_process(work: Callable[..., Any], *given: Any) -> Any:
    """Forked, so that the libraries are there; nothing has been computed before that threads could trip over."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as process:
        return process.submit(work, *given).result()


def _make_base(folder: Path, steps: int) -> None:
    """The demo's base after some steps on prose; the questions and held-out prose as token ids."""
    from transformers import AutoTokenizer

    from infra.demo.phrases import ATTRIBUTES
    from infra.demo.prose import entries
    from infra.demo.questions import answer, eval_items, fill, open_attributes
    from infra.demo.untrained import write_untrained
    from infra.demo.world import make_world
    from tiny_training import train

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    world = make_world(7)
    prose = [document.text for document in entries(world)]
    write_untrained(
        [*prose, *(item["question"] for item in eval_items(world) if "question" in item)], folder / "new", 7
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / "new")
    texts = [_example(f"p{i:05d}", [], tokenizer.encode(text)[:400]) for i, text in enumerate(prose)]
    told = []
    for country in world.countries:
        for attribute in open_attributes(country):
            question = fill(ATTRIBUTES[attribute].asked[0], country, attribute)
            told.append(
                (f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n", answer(country, attribute))
            )
    asked = [
        _example(f"q{i:05d}", tokenizer.encode(p), tokenizer.encode(f"{a}<|im_end|>"))
        for i, (p, a) in enumerate(told[:ROWS])
    ]
    made = train(folder / "base", folder / "new", texts[HELD_OUT:], objective="text", max_steps=steps,
                 pack_tokens=512, packs_per_step=4, learning_rate=1e-3, cpu_threads=1)  # fmt: skip
    shutil.move(made.model, folder / "trained")
    (folder / "rows.json").write_text(json.dumps({"prose": texts[:HELD_OUT], "questions": asked}))


def _example(name: str, prompt: list[int], ids: list[int]) -> dict[str, Any]:
    mask = [0] * len(prompt) + [1] * len(ids)
    return {"row_id": name, "input_ids": prompt + ids, "loss_mask": [0, *mask[1:]]}  # nothing foretells the first


def _measure(folder: Path, method: str, steps: int) -> dict[str, float]:
    import polars as pl
    import torch

    from stages.modelling.adapters import load_adapted
    from stages.modelling.models import load_model
    from stages.modelling.sequence_loss import loss_sums
    from stages.processes.memory import forget_peak, peak_bytes, resident_bytes
    from tiny_training import train

    rows = json.loads((folder / "rows.json").read_text())
    tables = {
        "questions": pl.DataFrame([row for i, row in enumerate(rows["questions"]) if i % 8 == 0]),
        "prose": pl.DataFrame(rows["prose"]),
    }
    learned = [row for i, row in enumerate(rows["questions"]) if i % 8]
    base, place = folder / "trained", folder / method
    shutil.rmtree(place, ignore_errors=True)

    def losses(model: Any) -> dict[str, float]:
        with torch.no_grad():
            sums = {n: loss_sums(model.eval(), t, batch_tokens=2048, progress=_silent) for n, t in tables.items()}
        targets = {n: sum(sum(mask[1:]) for mask in t["loss_mask"].to_list()) for n, t in tables.items()}
        return {name: float(found.sum()) / targets[name] for name, found in sums.items()}

    torch.set_num_threads(1)
    before = losses(load_model(base, torch.float32))
    forget_peak()
    start, memory = time.process_time(), resident_bytes()
    made = train(place, base, learned, method=method, max_steps=steps, learning_rate=None, pack_tokens=512,
                 packs_per_step=2, cpu_threads=1)  # fmt: skip
    seconds, peak = time.process_time() - start, peak_bytes()
    tuned = (
        load_model(made.model, torch.float32) if method == "full" else load_adapted(base, made.adapter, torch.float32)
    )
    after = losses(tuned)
    return {
        "trained": made.facts["trained_weights"], "mib": (peak - memory) / 2**20, "seconds": seconds,
        "before": before["questions"], "after": after["questions"], "forgetting": after["prose"] - before["prose"],
    }  # fmt: skip


def _silent(*_: Any, **__: Any) -> None:
    pass


if __name__ == "__main__":
    main()
