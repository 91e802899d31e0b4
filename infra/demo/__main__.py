"""`make demo`: generated raw files to a registered model, through Airflow. `make base` stops at the tiny base model."""

import logging
import subprocess
import sys
import time
from pathlib import Path

from infra.airflow_environment import AIRFLOW_PYTHON, ROOT, airflow_environment
from infra.demo.make_world import make_demo
from infra.demo.summary import summary
from stages.errors import Interrupted
from stages.store.storage import setting

FOLDER = ROOT / "work" / "demo"
STORE = ROOT / setting("STORE", "work/store")
PROFILE = "demo"
SEED = 7
logger = logging.getLogger("demo")


def main(arguments: list[str]) -> int:
    """Makes what is missing, says what was there already, and ends with what came out."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    started = time.monotonic()
    _make_world()
    _make_base()
    if arguments == ["base"]:
        logger.info("the tiny base model is in %s", FOLDER / "base" / "model")
        return 0
    if _everything_is_done():
        logger.info("everything is done already: all stages of curate and tune were found in the store and verified")
    elif code := _run_airflow():
        logger.error("the DAGs did not finish; what went wrong stands above. `make demo` goes on from there")
        return code
    logger.info("asking the base for its capitals, for the summary")
    logger.info(summary(FOLDER, STORE, seconds=time.monotonic() - started))
    return 0


def _make_world() -> None:
    if (FOLDER / "untrained" / "config.json").exists():
        logger.info("[1/3] the invented world, its raw files and the untrained model are in %s", FOLDER)
        return
    logger.info("[1/3] inventing a world: prose, raw files in five dialects with planted faults, an untrained model")
    make_demo(FOLDER, SEED)


def _make_base() -> None:
    """The base model: the project's own train stage, on plain text, from random weights."""
    logger.info("[2/3] the base model: it reads about the world, and learns only to go on with a text")
    _stages("run", "tokenize", "--profile", "demo-base", "--input", f"mixture={FOLDER / 'prose.jsonl'}",
            "--output", str(FOLDER / "prose-examples"))  # fmt: skip
    _stages("run", "train", "--profile", "demo-base", "--input", f"base={FOLDER / 'untrained'}",
            "--input", f"examples={FOLDER / 'prose-examples' / 'examples'}", "--output", str(FOLDER / "base"))  # fmt: skip


def _stages(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "stages", *arguments], cwd=ROOT, check=True)


def _everything_is_done() -> bool:
    """Whether no stage of either pipeline would run; asks in a process of its own, as a user would."""
    logger.info("looking at what is done already")
    for pipeline in ("curate", "tune"):
        asked = [sys.executable, "-m", "stages", "pipeline", pipeline, "--profile", PROFILE, "--dry-run",
                 "--store", str(STORE)]  # fmt: skip
        told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
        if not told.stdout.rstrip().endswith("everything is done"):
            return False
    return True


def _run_airflow() -> int:
    logger.info("[3/3] Airflow runs the DAGs curate and tune")
    environment = airflow_environment(Path(setting("AIRFLOW_STATE", str(ROOT / "work" / "airflow"))))
    environment |= {"TEMPER_STORE": str(STORE), "TEMPER_PROFILE": PROFILE}
    command = [str(AIRFLOW_PYTHON), str(ROOT / "infra" / "run_dags.py"), "curate", "tune"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as failure:
        logger.error("the base model was not made; what went wrong stands above. `make demo` goes on from there")
        sys.exit(failure.returncode)
    except KeyboardInterrupt:
        logger.error("interrupted before the end; `make demo` goes on from there: what was finished is kept")
        sys.exit(Interrupted.exit_code)
