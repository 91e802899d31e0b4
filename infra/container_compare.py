"""Runs a stage in a process and in its container, by the same command on the same examples, and compares the digests."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from infra.container_engine import ROOT, Engine
from infra.image_build import image_name
from stages.contract import Stage
from stages.errors import ConfigError, DataError, UsageError
from stages.pipeline import STAGES
from stages.schema import load_schema
from stages.store.storage import RECEIPT, read_json

EXAMPLES = ROOT / "schemas" / "examples"
WORK = ROOT / "work" / "containers"
IMAGE_USER = 10001
MAX_PROCESSES = 512


class Compared(NamedTuple):
    """One thing that must be equal: the key of the execution, or the digest of a dataset."""

    name: str
    process: str
    container: str


def compare(engine: Engine, stage: Stage, settings: Sequence[str] = ()) -> list[Compared]:
    """The stage's key and the digests of its outputs from both; `settings` are PARAM=VALUE. Needs the image."""
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK, prefix=f"{stage.name}-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        command = ["run", stage.name, *example_inputs(stage, folder), "--output", str(folder / "result")]
        command += [word for value in settings for word in ("--set", value)]
        _call([sys.executable, "-m", "stages", *command], "process")
        (folder / "result").rename(folder / "process")
        _give_to_image_user(folder)
        _call(contained(engine, stage, folder, command), "container", engine)
        return _compared(folder / "process", folder / "result")


def example_inputs(stage: Stage, folder: Path) -> list[str]:
    """`--input` options that give the stage, for each input it must have, the examples of that dataset's schema."""
    made = [_example_input(name, folder / "examples") for name in stage.inputs]
    return [word for name, path in zip(stage.inputs, made, strict=True) for word in ("--input", f"{name}={path}")]


def _example_input(dataset: str, folder: Path) -> Path:
    kind = load_schema(dataset).kind
    if kind == "model":
        return _untrained_model(folder / dataset)
    # Rows of conversations are themselves a form in which raw data comes.
    examples = EXAMPLES / ("conversations" if kind == "files" else dataset)
    found = sorted(examples.glob("pass_*.jsonl"))
    if not found:
        raise ConfigError(f"{examples} holds no pass_*.jsonl, so there is nothing to run the stage on; add an example")
    folder.mkdir(exist_ok=True)
    path = folder / f"{dataset}.jsonl"
    path.write_bytes(b"".join(example.read_bytes() for example in found))
    return path


def _untrained_model(folder: Path) -> Path:
    from infra.demo.untrained import write_untrained

    folder.mkdir(parents=True)
    write_untrained([stage.purpose for stage in STAGES.values()], folder, seed=0)
    return folder


def contained(engine: Engine, stage: Stage, folder: Path, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` in the stage's image: `folder` writable, nothing else, no network, no rights."""
    image, owner = image_name(stage), folder.stat()
    digest = engine.image_digest(image)
    if digest is None:
        raise UsageError(f"there is no image {image} yet; build it with: make image STAGE={stage.name}")
    rights = ["--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "all",
              "--security-opt", "no-new-privileges", "--pids-limit", str(MAX_PROCESSES)]  # fmt: skip
    if engine.program == "podman" and os.geteuid() != 0:
        rights += ["--userns", "keep-id"]  # else the folder belongs to nobody inside
    return [engine.program, "run", "--rm", *rights, "--user", f"{owner.st_uid}:{owner.st_gid}",
            "--volume", f"{folder}:{folder}", "--env", f"TEMPER_IMAGE_DIGEST={digest}", image, *command]  # fmt: skip


def _give_to_image_user(folder: Path) -> None:
    """Root owns what it makes; the container shall not run as root."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, IMAGE_USER, IMAGE_USER)


def _call(command: Sequence[str], where: str, engine: Engine | None = None) -> None:
    environment = engine.environment if engine else os.environ
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(f"in a {where} the stage left with exit code {done.returncode}: {done.stderr.strip()[-2000:]}")


def _compared(process: Path, container: Path) -> list[Compared]:
    ours, theirs = read_json(process / RECEIPT), read_json(container / RECEIPT)
    names = sorted({*ours["outputs"], *theirs["outputs"]})
    digests = [Compared(name, *(_digest(receipt, name) for receipt in (ours, theirs))) for name in names]
    return [Compared("(key)", ours["key"], theirs["key"]), *digests]


def _digest(receipt: Mapping[str, Any], dataset: str) -> str:
    return str(receipt["outputs"].get(dataset, {}).get("digest", "(not made)"))


def table(compared: Sequence[Compared]) -> str:
    """One line per compared thing, the digests shortened."""
    rows = [(name, ours[:12], theirs[:12], "yes" if ours == theirs else "NO") for name, ours, theirs in compared]
    return "\n".join(f"{a:<14} {b:<14} {c:<14} {d}" for a, b, c, d in [("", "process", "container", "same"), *rows])
