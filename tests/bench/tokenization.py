"""Conversations to token ids and loss masks, side by side: Temper with all its proofs, TRL, transformers, a bare ceiling.

    .venv/bin/python tests/bench/tokenization.py --source <instruction records, JSON or JSON.gz> --tokenizer <folder of GPT-2>
        [--rows 52002] [--cores 1 2] [--peers ceiling transformers trl] [--repeats 3] [--folder work/bench]

Every tool runs as a process of its own, one after the other in each round, from a file of messages to ids and masks in
memory: imports are not counted, reading the file and loading the tokenizer are. Temper leaves its rows on disk, with several
cores by workers that are started and ended within the clock; `the whole command` is everything from the
shell on, with checks, receipt, certificate and the sealed table. TRL also packs, which cannot be parted from it. The ceiling
renders with one compiled template, encodes everything in one call and finds the answers by offsets: it proves nothing.
Prints one Markdown table with medians; `Temper is` compares seconds, and CPU seconds, which other work disturbs less;
`rows unlike` counts the rows whose ids or mask are not Temper's to the last token. Needs `uv` for TRL's environment.
"""

import argparse
import gzip
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from side_by_side import HERE, ROOT, Found, environment_of, load_of_machine, medians, run_alone, table

TOOLS = {
    "temper": "Temper: tokenize, all proofs",
    "temper_command": "Temper: the whole command",
    "ceiling": "bare ceiling",
    "transformers": "transformers apply_chat_template with masks",
    "trl": "TRL 1.16 SFTTrainer preparation",
}
IN_TRLS_ENVIRONMENT = ("transformers", "trl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=52_002)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--peers", nargs="*", default=[name for name in TOOLS if name != "temper"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("work/bench"))
    asked = parser.parse_args()
    folder = asked.folder.absolute() / "tokenize"
    corpus = write_corpus(asked.source, asked.rows, folder)
    save_tokenizer(asked.tokenizer, folder / "tokenizer")
    lines = [
        ["tool", "cores", "seconds", "CPU s", "Temper is", "by CPU", "peak MiB", "tokens", "supervised", "rows unlike"]
    ]
    for cores in asked.cores:
        runs: dict[str, list[Found]] = {name: [] for name in ("temper", *asked.peers)}
        for _ in range(asked.repeats):
            for tool, found in runs.items():
                found.append(measure(tool, corpus, asked, cores))
        results = {tool: medians(found) for tool, found in runs.items()}
        lines += [line(tool, cores, found, results["temper"]) for tool, found in results.items()]
    print(f"{table(lines)}\n\n{load_of_machine()}")


def write_corpus(source: Path, rows: int, folder: Path) -> Path:
    """The first `rows` records of an Alpaca-like file as messages, a line each, but for those without an answer."""
    folder.mkdir(parents=True, exist_ok=True)
    content = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        answered = [record for record in json.loads(content)[:rows] if record["output"].strip()]
        for number, record in enumerate(answered):
            prompt = "\n\n".join(filter(None, (record["instruction"], record.get("input"))))
            messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": record["output"]}]
            file.write(json.dumps({"row_id": f"{number:032x}", "messages": messages}) + "\n")
    return folder / "rows.jsonl"


def save_tokenizer(given: Path, folder: Path) -> None:
    """The tokenizer with the marks of ChatML, as the stage adds them, for the peers to load."""
    sys.path.insert(0, str(ROOT))
    from stages.tokenize.preparation import fit
    from stages.tokenize.stage import TokenizeParams

    fit(TokenizeParams(tokenizer=str(given), template="chatml")).tokenizer.save_pretrained(folder)


def measure(tool: str, corpus: Path, asked: argparse.Namespace, cores: int) -> Found:
    python = environment_of("trl", asked.folder) if tool in IN_TRLS_ENVIRONMENT else sys.executable
    script = HERE / "peers" / f"tokenize_{tool}.py"
    parallel = {"TOKENIZERS_PARALLELISM": "true" if cores > 1 else "false", "PYTHONHASHSEED": "0"}
    tokenizer = asked.tokenizer.absolute() if tool.startswith("temper") else corpus.parent / "tokenizer"
    return run_alone([python, script, corpus, tokenizer, str(cores)], cores=cores, environment=parallel)


def line(tool: str, cores: int, found: Found, ours: Found) -> list[str]:
    if "failed" in found:
        return [TOOLS[tool], str(cores), f"did not run: {found['failed']}", *["-"] * 7]
    is_ours = tool.startswith("temper")
    ratios = [
        "-" if is_ours or "failed" in ours else f"{found[by] / ours[by]:.2f}x as fast"
        for by in ("seconds", "cpu_seconds")
    ]
    return [
        TOOLS[tool], str(cores), f"{found['seconds']:.2f}", f"{found['cpu_seconds']:.2f}", *ratios,
        f"{found['peak_mib']:,.0f}", f"{found['tokens']:,.0f}", f"{found['supervised']:,.0f}", unlike(found, ours),
    ]  # fmt: skip


def unlike(found: Found, ours: Found) -> str:
    """How many rows differ from Temper's; `-` for a tool that gives no rows in order."""
    if found is ours or not (found.get("rows_file") and ours.get("rows_file")):
        return "-"
    theirs, mine = (np.load(result["rows_file"]) for result in (found, ours))
    return f"{(theirs != mine).sum():,}" if len(theirs) == len(mine) else f"{len(theirs):,} rows, not {len(mine):,}"


if __name__ == "__main__":
    main()
