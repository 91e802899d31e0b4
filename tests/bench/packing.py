"""Packing examples by length, side by side with TRL: seconds, packs and how full they are.

    .venv/bin/python tests/bench/packing.py --source <instruction records, JSON or JSON.gz> --tokenizer <folder of GPT-2>
        [--rows 52002] [--pack-tokens 2048] [--repeats 3] [--folder work/bench]

One core, the rows' real lengths as ChatML. Temper makes the packs of an epoch and their order; TRL makes its packed data
set, token ids included, as its trainer does (1,000 rows at a time) and with all rows at once. `fewest possible` is the number
of tokens by the size of a pack. Prints one Markdown table with medians. Needs `uv` for TRL's environment.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from side_by_side import HERE, Found, environment_of, load_of_machine, medians, run_alone, table
from tokenization import save_tokenizer, write_corpus

TOOLS = {
    "temper": "Temper: the packs of an epoch, in their order",
    "trl": "TRL 1.16 pack_dataset bfd, as its trainer calls it",
    "trl_at_once": "TRL 1.16 pack_dataset bfd, all rows at once",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=52_002)
    parser.add_argument("--pack-tokens", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("work/bench"))
    asked = parser.parse_args()
    lengths = write_lengths(asked, asked.folder.absolute() / "packing")
    tokens, size = int(np.load(lengths).sum()), asked.pack_tokens
    runs: dict[str, list[Found]] = {tool: [] for tool in TOOLS}
    for _ in range(asked.repeats):
        for tool, found in runs.items():
            found.append(measure(tool, lengths, asked))
    ours = medians(runs["temper"])
    lines = [["tool", "seconds", "CPU s", "Temper is, by CPU", "packs", "full"]]
    lines += [line(tool, medians(found), ours, tokens / size) for tool, found in runs.items()]
    fewest = -(-tokens // size)
    lines.append(["fewest possible", "-", "-", "-", f"{fewest:,}", f"{tokens / size / fewest:.3%}"])
    print(f"{table(lines)}\n\n{load_of_machine()}")


def write_lengths(asked: argparse.Namespace, folder: Path) -> Path:
    """The tokens of each row."""
    corpus = write_corpus(asked.source, asked.rows, folder)
    save_tokenizer(asked.tokenizer, folder / "tokenizer")
    script = HERE / "peers" / "packing_lengths.py"
    found = run_alone([sys.executable, script, corpus, folder / "tokenizer", "1"], cores=1)
    if "failed" in found:
        raise SystemExit(found["failed"])
    return Path(found["lengths"])


def measure(tool: str, lengths: Path, asked: argparse.Namespace) -> Found:
    python = sys.executable if tool == "temper" else environment_of("trl", asked.folder)
    script = HERE / "peers" / f"packing_{tool.removesuffix('_at_once')}.py"
    return run_alone([python, script, lengths, str(asked.pack_tokens), tool], cores=1)


def line(tool: str, found: Found, ours: Found, packs_of_tokens: float) -> list[str]:
    if "failed" in found:
        return [TOOLS[tool], f"did not run: {found['failed']}", *["-"] * 4]
    ratio = "-" if tool == "temper" else f"{found['cpu_seconds'] / ours['cpu_seconds']:.0f}x as fast"
    return [
        TOOLS[tool], f"{found['seconds']:.3f}", f"{found['cpu_seconds']:.3f}", ratio,
        f"{found['packs']:,.0f}", f"{packs_of_tokens / found['packs']:.3%}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
