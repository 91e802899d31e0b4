"""Makes everything the demo starts from: `.venv/bin/python -m infra.demo.make_world [--output work/demo] [--seed 7]`.

world.json     the world itself: countries and their facts
prose/         documents about it, prose.jsonl the same as rows of the `mixture` schema
plain_text/    documents held out from prose/, on which forgetting is measured
raw/           instruction data in five dialects, with planted faults; truth.json says how many and where
evals/         questions that training data must not contain
untrained/     a tokenizer and a tiny model with random weights
"""

import argparse
import json
import logging
import shutil
from pathlib import Path

from infra.demo.dialects import write_raw
from infra.demo.faults import plant
from infra.demo.prose import write_documents, write_mixture
from infra.demo.questions import eval_items, make_rows
from infra.demo.world import make_world

FOLDERS = ("prose", "plain_text", "raw", "evals")
logger = logging.getLogger(__name__)


def make_demo(output: Path, seed: int) -> None:
    """Fills `output`, replacing what this program made there before; the same seed gives the same bytes."""
    from infra.demo.untrained import write_untrained

    for name in ("untrained", ".untrained", *FOLDERS):
        shutil.rmtree(output / name, ignore_errors=True)
    for name in FOLDERS:
        (output / name).mkdir(parents=True)
    world = make_world(seed)
    world.write(output / "world.json")
    documents = write_documents(world, output / "prose", output / "plain_text")
    write_mixture(documents, output / "prose.jsonl")
    items = eval_items(world)
    with (output / "evals" / "quiz.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(item) + "\n" for item in items)
    truth = write_raw(plant(world, make_rows(world), items), output / "raw")
    (output / "truth.json").write_text(json.dumps({"seed": seed, **truth}, indent=1) + "\n", encoding="utf-8")
    # In place only when whole: whoever finds the folder may take it that all the others are there.
    write_untrained((document.text for document in documents), output / ".untrained", seed)
    (output / ".untrained").rename(output / "untrained")
    logger.info(
        "made %s: %d countries, %d documents, faults %s", output, len(world.countries), len(documents), truth["counts"]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("work/demo"), help="folder (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="decides every byte (default: %(default)s)")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = parser.parse_args()
    make_demo(arguments.output, arguments.seed)
