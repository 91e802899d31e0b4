"""Merging a LoRA adapter into its base, side by side with PEFT and with copying the file: seconds, memory, equality.

    .venv/bin/python tests/bench/merge.py [--layers 16] [--hidden 2048] [--repeats 3] [--folder work/bench]

Makes a Llama in bfloat16 of random weights, 0.95 B parameters as given, and an adapter of rank 16 on all 7 linear layers of
each block; 1.9 GB of disk for it and as much for each tool in turn. Each tool is a process of its own with two threads.
Imports are not counted; waiting for the disk is (fsync). PEFT loads, merges and saves with this project's own versions.
Temper's certificate, which loads base with adapter and then the result to compare their logits, is a row of its own.
`unlike PEFT's` counts values of the saved tensors. Prints one Markdown table with medians.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from side_by_side import HERE, Found, load_of_machine, medians, run_alone, table

TOOLS = {
    "peft": "PEFT from_pretrained, merge_and_unload, save_pretrained",
    "temper": "Temper: the weights",
    "temper_certified": "Temper: the stage's job, with its certificate",
    "copy": "copy of the files",
}
RANK = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--vocabulary", type=int, default=32_000)
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("work/bench"))
    asked = parser.parse_args()
    folder = asked.folder.absolute() / "merge"
    given = make_inputs(asked, folder)
    runs: dict[str, list[Found]] = {tool: [] for tool in asked.tools}
    for _ in range(asked.repeats):
        for tool, found in runs.items():
            found.append(measure(tool, folder, given))
    results = {tool: medians(found) for tool, found in runs.items()}
    lines = [["tool", "seconds", "CPU s", "times as long as PEFT", "peak MiB", "of PEFT's", "unlike PEFT's"]]
    lines += [line(tool, found, results.get("peft", {})) for tool, found in results.items()]
    print(f"{given['parameters'] / 1e9:.2f} B parameters\n\n{table(lines)}\n\n{load_of_machine()}")


def make_inputs(asked: argparse.Namespace, folder: Path) -> Found:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    told = {"layers": asked.layers, "hidden": asked.hidden, "vocabulary": asked.vocabulary, "rank": RANK}
    return _done(run_alone([sys.executable, HERE / "peers" / "merge_inputs.py", folder, json.dumps(told)], cores=2))


def measure(tool: str, folder: Path, given: Found) -> Found:
    """What a tool took; `unlike` PEFT's result, which stays until PEFT runs again."""
    made = folder / f"made-{tool}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    found = run_alone([sys.executable, HERE / "peers" / "merge_tools.py", tool, folder, made], cores=2)
    peft = folder / "made-peft"
    if tool in ("temper", "temper_certified") and peft.exists() and "failed" not in found:
        compare = [sys.executable, HERE / "peers" / "merge_tools.py", "compare", made, peft]
        found |= {"unlike": _done(run_alone(compare, cores=2))["unlike"]}
    if tool != "peft":
        shutil.rmtree(made)
    return found


def line(tool: str, found: Found, peft: Found) -> list[str]:
    if "failed" in found:
        return [TOOLS[tool], f"did not run: {found['failed']}", *["-"] * 5]
    ratios = [f"{found[by] / peft[by]:.2f}" if by in peft else "-" for by in ("seconds", "peak_mib")]
    unlike = f"{found['unlike']:,.0f}" if "unlike" in found else "-"
    return [
        TOOLS[tool], f"{found['seconds']:.1f}", f"{found['cpu_seconds']:.1f}", ratios[0], f"{found['peak_mib']:,.0f}",
        ratios[1], unlike,
    ]  # fmt: skip


def _done(found: Found) -> Found:
    if "failed" in found:
        raise SystemExit(found["failed"])
    return found


if __name__ == "__main__":
    main()
