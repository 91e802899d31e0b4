"""One way to merge: its name, the folder of base and adapter, and where the model goes."""

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))


def timed(work: Callable[[], object], made: Path) -> None:
    """Until everything in `made` is on the disk."""
    cpu, started = sum(resource.getrusage(resource.RUSAGE_SELF)[:2]), time.perf_counter()
    work()
    for path in made.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "cpu_seconds": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - cpu}))


def copy(given: Path, made: Path) -> None:
    timed(lambda: [shutil.copyfile(path, made / path.name) for path in (given / "base").iterdir()], made)


def peft(given: Path, made: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(2)

    def work() -> None:
        model = AutoModelForCausalLM.from_pretrained(given / "base", dtype=torch.bfloat16)
        PeftModel.from_pretrained(model, given / "adapter").merge_and_unload().save_pretrained(made)

    timed(work, made)


def temper(given: Path, made: Path) -> None:
    import torch

    from stages.merge.deltas import read_adapter
    from stages.merge.shards import match_names, write_merged
    from stages.modelling.tensor_files import TensorFolder

    torch.set_num_threads(2)

    def work() -> None:
        base = TensorFolder.of_model(given / "base")
        adapter = match_names(read_adapter(given / "adapter", ()), {name: name for name in base.file_of}, ())
        write_merged(base, adapter, made, progress=lambda *_, **__: None, threads=2)

    timed(work, made)


def temper_certified(given: Path, made: Path) -> None:
    from stages.contract import Workbench
    from stages.merge.job import run
    from stages.merge.stage import MergeParams

    bench = Workbench(made, made, 1, "", lambda *_, **__: None, "", {})
    timed(lambda: run(given / "base", given / "adapter", model=made, params=MergeParams(), workbench=bench), made)


def compare(one: Path, other: Path) -> None:
    from safetensors import safe_open

    places = [
        {name: path for path in folder.glob("*.safetensors") for name in safe_open(path, "pt").keys()}  # noqa: SIM118
        for folder in (one, other)
    ]
    if places[0].keys() != places[1].keys():
        raise SystemExit(f"other tensors: {sorted(places[0].keys() ^ places[1].keys())[:3]}")
    pairs = ([safe_open(place[name], "pt").get_tensor(name) for place in places] for name in places[0])
    print(json.dumps({"unlike": sum(int((a != b).sum()) for a, b in pairs)}))


if __name__ == "__main__":
    tool, *folders = sys.argv[1:]
    {"copy": copy, "peft": peft, "temper": temper, "temper_certified": temper_certified, "compare": compare}[tool](
        *map(Path, folders)
    )
