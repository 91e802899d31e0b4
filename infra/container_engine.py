"""Finds this machine's container engine: Docker where its engine answers, else podman with the settings it needs here."""

import os
import resource
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stages.errors import ServiceUnavailable

ROOT = Path(__file__).resolve().parent.parent
PODMAN_SETTINGS = ROOT / "work" / "containers" / "containers.conf"
PACKAGES = [
    "podman",
    "runc",
    "netavark",
    "aardvark-dns",
    "iptables",
    "uidmap",
    "catatonit",
    "mmdebstrap",
    "ca-certificates",
]
INSTALL = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *PACKAGES)
MOST_OPEN_FILES = 1_048_576
MOST_PROCESSES = 32_768  # podman 4.3 lowers its own limit to this, so no container may be given more


class Engine(NamedTuple):
    """`program` with the environment under which it works here."""

    program: str  # docker or podman
    environment: Mapping[str, str]

    def call(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs `program` with `arguments`; `options` go to subprocess.run."""
        return subprocess.run([self.program, *arguments], env=self.environment, text=True, check=False, **options)

    def answers(self, *arguments: str, **options: Any) -> bool:
        """Whether `program` leaves with 0; what it says is thrown away."""
        return self.call(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options).returncode == 0

    def image_digest(self, image: str) -> str | None:
        """What identifies the image's content; None when this machine has no such image."""
        found = self.call("image", "inspect", "--format", "{{.Id}}", image, capture_output=True)
        return found.stdout.strip() if found.returncode == 0 else None


def find_engine() -> Engine | None:
    """Docker when its engine answers and can build, else podman, else None."""
    docker = Engine("docker", os.environ)
    if shutil.which("docker") and docker.answers("buildx", "version") and docker.answers("info"):
        return docker
    return podman() if shutil.which("podman") else None


def require_engine() -> Engine:
    """The engine; on a Debian machine where we are root it is installed when there is none."""
    found = find_engine()
    if found is None:
        install()
        found = find_engine()
    if found is None:
        raise ServiceUnavailable(f"there is no container engine here; start Docker, or as root: {' '.join(INSTALL)}")
    return found


def can_install() -> bool:
    return os.geteuid() == 0 and Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def install() -> None:
    """Installs podman and what it needs from Debian, when that is possible here; otherwise does nothing."""
    if not can_install():
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (("apt-get", "update", "--quiet"), INSTALL):
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise ServiceUnavailable(f"{' '.join(command)} left with exit code {done.returncode}; it says why above")


def podman() -> Engine:
    """podman under settings of our own, unless somebody chose some: no file of the system is changed."""
    if os.environ.get("CONTAINERS_CONF"):
        return Engine("podman", os.environ)
    PODMAN_SETTINGS.parent.mkdir(parents=True, exist_ok=True)
    PODMAN_SETTINGS.write_text(podman_settings(), encoding="utf-8")
    return Engine("podman", {**os.environ, "CONTAINERS_CONF": str(PODMAN_SETTINGS)})


def podman_settings() -> str:
    """containers.conf with what podman would otherwise get wrong: see the comments."""
    # podman asks for 1,048,576 open files, which fails where nobody may raise a limit.
    limits = f'"nofile={_limit(resource.RLIMIT_NOFILE, MOST_OPEN_FILES)}", "nproc={_limit(resource.RLIMIT_NPROC, MOST_PROCESSES)}"'
    engine, network = [], []
    if Path("/sys/fs/cgroup/unified").is_dir() and shutil.which("runc"):
        engine.append('runtime = "runc"')  # crun refuses a machine with both cgroup versions
    if not Path("/run/systemd/system").is_dir():
        engine += ['cgroup_manager = "cgroupfs"', 'events_logger = "file"']  # the defaults ask systemd
    if any(Path(folder, "netavark").exists() for folder in ("/usr/lib/podman", "/usr/libexec/podman")):
        network.append('network_backend = "netavark"')  # Debian's podman otherwise looks for CNI plugins
    return "\n".join(["[containers]", f"default_ulimits = [{limits}]", "[engine]", *engine, "[network]", *network, ""])


def _limit(kind: int, most: int) -> str:
    hard = resource.getrlimit(kind)[1]
    allowed = most if hard == resource.RLIM_INFINITY else min(hard, most)
    return f"{allowed}:{allowed}"
