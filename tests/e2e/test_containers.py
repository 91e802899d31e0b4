"""Real containers: the images are built here, and a stage in its container gives the bytes that a plain process gives."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.container_compare import compare, contained
from infra.container_engine import Engine
from infra.images import main
from real_engine import CONTAINER_SECONDS
from stages.contract import Stage
from stages.pipeline import STAGES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e(minutes=5),
    pytest.mark.xdist_group("containers"),
    pytest.mark.timeout(CONTAINER_SECONDS),
]
IMAGE_USER = 10001
ImageOf = Callable[[Stage], str]

TRY_EVERYTHING = """
import json, os, pathlib, socket, sys
def refused(act):
    try:
        act()
    except OSError as error:
        return error.strerror or str(error)
    return "allowed"
status = dict(line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines() if ":\\t" in line)
print(json.dumps({
    "user": os.getuid(),
    "capabilities": int(status["CapEff"], 16),
    "no_new_privileges": int(status["NoNewPrivs"]),
    "writes": {path: refused(lambda: pathlib.Path(path, "new").write_text("x")) for path in ("/app", "/opt/venv", "/tmp", sys.argv[1])},
    "network": refused(lambda: socket.create_connection(("192.0.2.1", 80), timeout=5)),
}))
"""


@pytest.mark.parametrize("stage", [STAGES["dedup"], STAGES["train"]], ids=lambda stage: stage.name)
def test_a_stage_gives_the_same_key_and_bytes_in_a_process_and_in_its_container(
    engine: Engine, image_of: ImageOf, stage: Stage
) -> None:
    image_of(stage)
    compared = compare(engine, stage)
    assert {name for name, _, _ in compared} >= {"(key)", *stage.outputs_made(stage.params())}
    assert [name for name, process, container in compared if process != container] == []


def test_a_difference_between_process_and_container_is_found(engine: Engine, capsys: pytest.CaptureFixture[str],
                                                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("infra.container_compare._give_to_image_user", _change_an_example)
    assert main(["compare", "dedup"]) == 65
    told = capsys.readouterr()
    assert re.search(r"unique .* NO$", told.out, re.MULTILINE)
    assert "differs from the plain process in (key)" in told.err


def _change_an_example(folder: Path) -> None:
    path = folder / "examples" / "conversations.jsonl"
    path.write_text(path.read_text().replace("Blue.", "Green."))


def test_a_container_may_write_to_its_folder_and_do_nothing_else(
    engine: Engine, image_of: ImageOf, tmp_path: Path
) -> None:
    image_of(STAGES["dedup"])
    command = contained(engine, STAGES["dedup"], tmp_path, ["-c", TRY_EVERYTHING, str(tmp_path)])
    command[2:2] = ["--entrypoint", "/opt/venv/bin/python"]
    done = subprocess.run(command, env=engine.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["capabilities"] == 0
    assert told["no_new_privileges"] == 1
    assert told["writes"] == {"/app": "Read-only file system", "/opt/venv": "Read-only file system",
                              "/tmp": "allowed", str(tmp_path): "allowed"}  # fmt: skip
    assert told["network"] == "Network is unreachable"


@pytest.mark.parametrize(("arguments", "code"), [(["list"], 0), (["run", "dedup"], 64), (["nonsense"], 64)])
def test_the_image_leaves_with_the_exit_codes_of_the_command_line(
    engine: Engine, image_of: ImageOf, arguments: list[str], code: int
) -> None:
    image = image_of(STAGES["dedup"])
    assert engine.call("run", "--rm", "--network", "none", image, *arguments, capture_output=True).returncode == code


def test_an_image_runs_as_a_user_without_rights_and_holds_no_installer_and_no_secret(
    engine: Engine, image_of: ImageOf
) -> None:
    image = image_of(STAGES["dedup"])
    told = json.loads(engine.call("image", "inspect", image, capture_output=True).stdout)[0]["Config"]
    assert told["User"] == f"{IMAGE_USER}:{IMAGE_USER}"
    search = "find / -xdev -type f \\( -path '/run/secrets/*' -o -path '/wheels/*' -o -path '/tmp/*' -o -path '/opt/*/bin/pip*' -o -name gcc \\)"
    found = engine.call(
        "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", search, capture_output=True
    )
    assert found.stdout == ""
