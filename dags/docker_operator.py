"""A stage in a container that may do no more than it must: read-only root, no capabilities, no network."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.exceptions import AirflowFailException
from docker.types import DeviceRequest, Mount

from operators import FINAL_EXIT_CODES, ROOT, hear_ctrl_c, run_folder, skip_when_nothing_was_to_do, store_folder
from stages.contract import Stage
from stages.pipeline import STAGES
from stages.store.storage import read_json, setting, tracking_uri

MAX_PROCESSES = 512
SECRETS = {"rate": ("JUDGE_API_KEY",)}  # settings that a stage needs and that stand in no plan, parameter or image
PROJECT_IN_IMAGE = Path("/app")  # containers/Dockerfile's WORKDIR
HARDENED = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": MAX_PROCESSES,
    "tmpfs": {"/tmp": "rw,nosuid,nodev"},
}


class StageContainer(DockerOperator):
    """`python -m stages run <stage> --run <folder>` in the stage's image, over the same paths as on the host."""

    def __init__(self, *, stage: str, image: str, gpus: int, **kwargs: Any) -> None:
        super().__init__(
            image=image,
            command=[],
            auto_remove="force",
            mount_tmp_dir=False,
            do_xcom_push=False,
            network_mode=setting("DOCKER_NETWORK", "none"),
            device_requests=[DeviceRequest(count=gpus, capabilities=[["gpu"]])] if gpus else None,
            **kwargs,
        )
        self.stage = stage
        self._killed = False

    def execute(self, context: Mapping[str, Any]) -> None:  # type: ignore[override]
        hear_ctrl_c()
        run, store = run_folder(context), store_folder()
        self.command = ["run", self.stage, "--run", str(run)]
        self.mounts = mounts_of(STAGES[self.stage], read_json(run / "run.json"), store)
        self.user = setting("DOCKER_USER", "") or owner_of(store)
        self.environment = {"MLFLOW_TRACKING_URI": tracking_uri(store)} | secrets_of(self.stage)
        if self.cli.images(name=self.image):
            self.environment["TEMPER_IMAGE_DIGEST"] = self.cli.inspect_image(self.image)["Id"]
        # DockerOperator has no argument for these (provider 4.6.1), so they are bound to the call that it makes.
        self.cli.create_host_config = partial(self.cli.create_host_config, **HARDENED)
        self.cli.start = partial(self._start, self.cli.start)
        try:
            super().execute(context)
        except DockerContainerFailedException as error:
            if exit_code_of(error) in FINAL_EXIT_CODES:
                raise AirflowFailException(f"{error}; a retry cannot help, see above") from error
            raise
        skip_when_nothing_was_to_do(run, self.stage)

    def _start(self, start: Callable[..., Any], container: str) -> None:
        if self._killed:
            raise RuntimeError("killed before its container was started")
        start(container)

    def on_kill(self) -> None:
        """A killed task leaves no container behind, and starts none: while one is made, nobody has it yet to stop it."""
        self._killed = self.container is None
        super().on_kill()


def secrets_of(stage: str) -> dict[str, str]:
    """The secrets of this stage alone, as its container's environment; set while the task runs, so Airflow shows none."""
    return {f"TEMPER_{name}": value for name in SECRETS.get(stage, ()) if (value := setting(name, ""))}


def owner_of(folder: Path) -> str:
    """The user who may write to `folder`, as a container is told it."""
    stated = folder.stat()
    return f"{stated.st_uid}:{stated.st_gid}"


def exit_code_of(error: DockerContainerFailedException) -> int | None:
    """The container's exit code; the operator tells it in no other way than in its message."""
    found = re.search(r"'StatusCode': (\d+)", str(error))
    return int(found[1]) if found else None


def mounts_of(stage: Stage, plan: Mapping[str, Any], store: Path) -> list[Mount]:
    """The store, writable, and whatever else the stage reads by the run's plan, read-only; each under its own path."""
    read = {*stage.inputs, *stage.optional_inputs}
    paths = [path for name in sorted(read & plan["sources"].keys()) for path in plan["sources"][name]]
    wanted = {Path(path): Path(path) for path in paths} | dict(_paths_in_params(stage, plan["params"][stage.name]))
    outside = [pair for pair in sorted(wanted.items()) if not pair[1].is_relative_to(store)]
    return [
        Mount(str(store), str(store), "bind"),
        *(Mount(str(inside), str(here), "bind", read_only=True) for inside, here in outside),
    ]


def _paths_in_params(stage: Stage, params: Mapping[str, Any]) -> Iterable[tuple[Path, Path]]:
    """Path in the container and here, of the parameters that name files; a relative one starts at the project."""
    for name, field in stage.params.model_fields.items():
        facts = field.json_schema_extra
        path = params[name] if isinstance(facts, dict) and facts.get("content") else None
        if path and (ROOT / path).exists():
            yield PROJECT_IN_IMAGE / path, ROOT / path
