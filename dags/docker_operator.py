"""A stage in a container that may do no more than it must: read-only root, no capabilities, no network."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.exceptions import AirflowFailException
from docker.types import DeviceRequest, Mount

from operators import FINAL_EXIT_CODES, run_folder, skip_when_nothing_was_to_do, store_folder
from stages.storage import read_json, setting

MAX_PROCESSES = 512


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
            user=setting("DOCKER_USER", "") or None,
            device_requests=[DeviceRequest(count=gpus, capabilities=[["gpu"]])] if gpus else None,
            **kwargs,
        )
        self.stage = stage

    def execute(self, context: Mapping[str, Any]) -> None:  # type: ignore[override]
        run = run_folder(context)
        self.command = ["run", self.stage, "--run", str(run)]
        self.mounts = mounts_of(run)
        harden = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"],
                  "pids_limit": MAX_PROCESSES, "tmpfs": {"/tmp": "rw,nosuid,nodev"}}  # fmt: skip
        # DockerOperator has no argument for these (provider 4.6.1), so they are bound to the call that it makes.
        self.cli.create_host_config = partial(self.cli.create_host_config, **harden)
        try:
            super().execute(context)
        except DockerContainerFailedException as error:
            if any(
                f"'StatusCode': {code}}}" in str(error) or f"'StatusCode': {code}," in str(error)
                for code in FINAL_EXIT_CODES
            ):
                raise AirflowFailException(str(error)) from error
            raise
        skip_when_nothing_was_to_do(run, self.stage)


def mounts_of(run: Path) -> list[Mount]:
    """The store, writable, and everything else that the run's plan reads, read-only; each under its own path."""
    plan = read_json(run / "run.json")
    store = store_folder()
    outside = {Path(path) for paths in plan["sources"].values() for path in paths}
    outside |= {Path(path) for values in plan["params"].values() for path in values.values() if _is_path(path)}
    mounts = [Mount(str(store), str(store), "bind")]
    return mounts + [
        Mount(str(p), str(p), "bind", read_only=True) for p in sorted(outside) if not p.is_relative_to(store)
    ]


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/") and Path(value).exists()
