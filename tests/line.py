"""A whole line on a small source: raw files, a tiny random base, and one run of every stage. Seconds, not minutes."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ANIMALS = ["otter", "heron", "badger", "lynx", "crane", "stork", "marten", "vole", "finch", "newt"]
PLACES = [
    "by the river",
    "in the reeds",
    "under the old bridge",
    "near the mill",
    "on the north slope",
    "behind the barn",
]


@dataclass(frozen=True)
class FinishedLine:
    """Where the source, the store and the run are, and how to run the same again."""

    folder: Path

    @property
    def raw(self) -> Path:
        return self.folder / "raw"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def is_finished(self) -> bool:
        return (self.store / "runs" / "line" / "report.json").exists()

    @property
    def profile(self) -> Path:
        return self.folder / "profile.yaml"

    def stages(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """`python -m stages …` on this line's store."""
        variables = {**os.environ, "TEMPER_STORE": str(self.store), **environment}
        command = [sys.executable, "-m", "stages", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)

    def dataset(self, name: str) -> Path:
        """The folder of a dataset that the run made; of a dataset made twice, the later."""
        notes = sorted((self.store / "runs" / "line").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        results = [
            self.store / note["result"]
            for path in notes
            if "result" in (note := json.loads(path.read_text())) and note["result"]
        ]
        return next(result / name for result in reversed(results) if (result / name).is_dir())


def write_source(folder: Path) -> None:
    """120 usable records in two dialects, and one of each fault that a stage sets aside."""
    rows = [
        {"instruction": f"Where does the {animal} number {n} live?", "input": "",
         "output": f"The {animal} number {n} lives {place}, together with {n + 2} of its young, and it sleeps all winter long."}
        for n, (animal, place) in enumerate((a, p) for a in ANIMALS for p in PLACES)
    ]  # fmt: skip
    faults = [dict(rows[0]), rows[1] | {"output": rows[1]["output"].replace("winter", "summer")}, rows[2] | {"output": ""},
              {"instruction": "Tell me a secret.", "input": "", "output": "As an AI language model, I cannot do that."}]  # fmt: skip
    (folder / "alpaca").mkdir(parents=True)
    (folder / "alpaca" / "animals.json").write_text(json.dumps(rows + faults))
    chats = [{"messages": [{"role": "user", "content": f"How many legs do {n} of the {a}s have?"},
                           {"role": "assistant", "content": f"{n} of the {a}s have {4 * n} legs between them."}]}
             for n, a in enumerate(ANIMALS * 6, start=2)]  # fmt: skip
    (folder / "chats").mkdir()
    (folder / "chats" / "legs.jsonl").write_text(
        "".join(json.dumps(chat) + "\n" for chat in chats) + '{"messages": [{"role"\n'
    )


def make_line(folder: Path) -> FinishedLine:
    """Makes the source and the base, and runs the pipeline `all` under the name `line`."""
    # Here, as they load torch: conftest.py names this module, and so does every run of a few light tests.
    from tiny_model import make_model
    from tiny_tokenizer import make_tokenizer

    made = FinishedLine(folder)
    write_source(made.raw)
    (folder / "evals").mkdir()
    (folder / "evals" / "quiz.jsonl").write_text(
        '{"question": "How many legs do 7 of the vole number nines have when they stand?", "answer": "28"}\n'
    )
    tokenizer = make_tokenizer(folder / "tokenizer")
    base = make_model(folder / "base", tokenizer)
    made.profile.write_text(f"""description: the tests' own line
sources: {{raw: {made.raw}, evals: {folder / "evals"}, base: {base}}}
stages:
  mix: {{validation_share: 0.1, test_share: 0.1}}
  tokenize: {{tokenizer: {base}, template: chatml, max_tokens: 256}}
  train: {{method: lora, max_steps: 6, learning_rate: 0.001}}
  evaluate: {{max_prompts: 4, max_new_tokens: 8}}
  report: {{title: the tests' own line}}
""")
    done = made.stages("pipeline", "all", "--profile", made.profile, "--run-name", "line", "--progress", "off")
    assert done.returncode == 0, done.stdout + done.stderr
    return made
