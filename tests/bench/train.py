"""Training on a CPU, side by side with TRL's SFTTrainer: the same packs in the same order, so the same work to the token.

    .venv/bin/python tests/bench/train.py --source <instruction records, JSON or JSON.gz> --tokenizer <folder of GPT-2>
        [--rows 2000] [--steps 8] [--methods full lora] [--kernels auto plain] [--repeats 3] [--pack-tokens 1024]
        [--folder work/bench]

A Llama of hidden size 256 with 4 layers and 50,260 tokens, random weights, tied output matrix, float32, AdamW, gradients
cut at 1, a learning rate of 1e-3 that falls linearly, LoRA of rank 16 on all linear layers. TRL has its best settings on
a CPU: packs without padding, its loss that makes logits in chunks, no gradient checkpointing, fused AdamW, no logging and
no saving. Each is a process of its own, in turns; the first two steps are not timed, nor are preparation, loading and saving.
Temper is the train stage's own job, with its proofs before the first step and its checkpoints, with each of the asked
kernels; the others are compared with the first of them. `loss apart` is the largest relative difference of a step's loss. Prints one Markdown table with medians. Needs `uv` for TRL's environment.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from side_by_side import HERE, ROOT, Found, environment_of, load_of_machine, medians, run_alone, table

sys.path.insert(0, str(ROOT))

PEER = "TRL 1.16 SFTTrainer"
HIDDEN, LAYERS, HEADS, FEED_FORWARD, VOCABULARY = 256, 4, 8, 704, 50_260
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--methods", nargs="+", default=["full", "lora"])
    parser.add_argument("--kernels", nargs="+", default=["auto"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pack-tokens", type=int, default=1024)
    parser.add_argument("--packs-per-step", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("work/bench"))
    asked = parser.parse_args()
    folder = asked.folder.absolute() / "train"
    prepare(asked, folder)
    lines = [["method", "tool", "tokens/s", "supervised/s", "the first is", "by CPU", "CPU s a step", "peak MiB",
              "it takes", "loss", "loss apart"]]  # fmt: skip
    for method in asked.methods:
        runs: dict[str, list[Found]] = {kernels: [] for kernels in [*asked.kernels, PEER]}
        for _ in range(asked.repeats):
            for tool, found in runs.items():
                found.append(measure(tool, method, asked, folder))
        ours, *others = (medians(found) for found in runs.values())
        names = [name if name == PEER else f"Temper, kernels={name}" for name in runs]
        lines += [line(method, names[0], ours, None)]
        lines += [line(method, name, found, ours) for name, found in zip(names[1:], others, strict=True)]
    print(f"{table(lines)}\n\n{load_of_machine()}")


def prepare(asked: argparse.Namespace, folder: Path) -> None:
    """Base, examples by the tokenize stage, and as packs.parquet what the train stage will do with them at each step."""
    from tokenization import write_corpus

    shutil.rmtree(folder, ignore_errors=True)
    corpus = write_corpus(asked.source, asked.rows, folder)
    command = [sys.executable, HERE / "peers" / "train_inputs.py", folder, corpus, asked.tokenizer.absolute()]
    subprocess.run([*command, json.dumps(settings("full", asked))], check=True)


def settings(method: str, asked: argparse.Namespace) -> dict[str, object]:
    """Of the train stage."""
    return {
        "method": method, "seed": SEED, "max_steps": asked.steps, "pack_tokens": asked.pack_tokens,
        "packs_per_step": asked.packs_per_step, "learning_rate": 1e-3, "warmup_share": 0.0, "schedule": "linear",
        "lora_rank": 16, "lora_alpha": 32.0, "cpu_threads": asked.threads, "precision": "float32",
    }  # fmt: skip


def measure(tool: str, method: str, asked: argparse.Namespace, folder: Path) -> Found:
    is_peer = tool == PEER
    python = environment_of("trl", asked.folder) if is_peer else sys.executable
    told = json.dumps(settings(method, asked) | ({} if is_peer else {"kernels": tool}))
    script = HERE / "peers" / ("train_trl.py" if is_peer else "train_temper.py")
    return run_alone([python, script, folder, told], cores=asked.threads)


def line(method: str, tool: str, found: Found, ours: Found | None) -> list[str]:
    if "failed" in found:
        return [method, tool, f"did not run: {found['failed']}", *["-"] * 8]
    if ours is None or "failed" in ours:
        compared = ["-"] * 4
    else:
        apart = max(abs(a / b - 1) for a, b in zip(found["losses"], ours["losses"], strict=True))
        compared = [
            f"{ours['tokens_per_second'] / found['tokens_per_second']:.2f}x as fast",
            f"{found['cpu_seconds_a_step'] / ours['cpu_seconds_a_step']:.2f}x as fast",
            f"{ours['peak_mib'] / found['peak_mib']:.2f}x", f"{apart:.1e}",
        ]  # fmt: skip
    supervised = found["tokens_per_second"] * found["supervised_share"]
    return [
        method, tool, f"{found['tokens_per_second']:,.0f}", f"{supervised:,.0f}", *compared[:2],
        f"{found['cpu_seconds_a_step']:.2f}", f"{found['peak_mib']:,.0f}", compared[2],
        f"{found['losses'][0]:.3f} to {found['losses'][-1]:.3f}", compared[3],
    ]  # fmt: skip


if __name__ == "__main__":
    main()
