"""Builds the image of a stage's group, on the official Python image or, where no registry is reached, on Debian's packages."""

import shutil
import ssl
import subprocess
import sys
from pathlib import Path

from infra.container_engine import INSTALL, ROOT, Engine
from stages.contract import Stage
from stages.errors import ServiceUnavailable
from stages.execution.receipt import git_commit
from stages.store.storage import setting

DOCKERFILE = ROOT / "containers" / "Dockerfile"
OFFICIAL_BASE = "docker.io/library/python:3.11-slim"
DEBIAN_BASE = "localhost/python-base:bookworm"  # Debian 12 has Python 3.11 too
PULL_SECONDS = 300

# A minimal Debian with Python under the names of the official image, without manuals and translations.
DEBIAN_PACKAGES = "ca-certificates,python3,python3-venv,tzdata,usr-is-merged"  # the last keeps Perl out
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
AS_OFFICIAL = 'ln -s /usr/bin/python3 "$1/usr/local/bin/python"; rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED'
MAKE_DEBIAN = [
    "mmdebstrap", "--quiet", "--variant=minbase", f"--include={DEBIAN_PACKAGES}",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
    f"--customize-hook={AS_OFFICIAL}", "bookworm", "-",
]  # fmt: skip
BASE_SETTINGS = (
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "ENV LANG=C.UTF-8",
    'CMD ["python3"]',
)


def image_name(stage: Stage) -> str:
    """The image in which the stage runs; stages that need the same packages share one."""
    return f"temper-{stage.image}"


def build_image(engine: Engine, stage: Stage, *, quiet: bool = False) -> str:
    """Builds the stage's image from the working tree and returns its name; layers that did not change are kept."""
    name = image_name(stage)
    build = ["buildx", "build", "--load"] if engine.program == "docker" else ["build"]
    done = engine.call(*build, "--file", str(DOCKERFILE), "--target", stage.image, "--tag", name,
                       "--build-arg", f"BASE_IMAGE={base_image(engine)}", "--build-arg", f"GIT_COMMIT={git_commit() or ''}",
                       *_certificates(), *_wheels(), str(ROOT), stdout=subprocess.PIPE if quiet else None,
                       stderr=subprocess.STDOUT if quiet else None)  # fmt: skip
    if done.returncode:
        said = (done.stdout or "")[-4000:]
        raise ServiceUnavailable(
            f"building {name} left with exit code {done.returncode}; its last lines say why\n{said}"
        )
    return name


def base_image(engine: Engine) -> str:
    """TEMPER_BASE_IMAGE, or one that is here already, or the official one, or one made from Debian's packages."""
    chosen = setting("BASE_IMAGE", "")
    if chosen:
        return chosen
    for name in (OFFICIAL_BASE, DEBIAN_BASE):
        if engine.image_digest(name):
            return name
    if _pull(engine, OFFICIAL_BASE):
        return OFFICIAL_BASE
    make_debian_base(engine)
    return DEBIAN_BASE


def _pull(engine: Engine, name: str) -> bool:
    try:
        return engine.call("pull", name, capture_output=True, timeout=PULL_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def make_debian_base(engine: Engine) -> None:
    """Makes DEBIAN_BASE; it stays in the engine's store, so this happens once."""
    if not shutil.which("mmdebstrap"):
        raise ServiceUnavailable(
            f"{OFFICIAL_BASE} cannot be pulled and mmdebstrap, which makes one, is missing; as root: {' '.join(INSTALL)}"
        )
    changes = [word for change in BASE_SETTINGS for word in ("--change", change)]
    with subprocess.Popen(MAKE_DEBIAN, stdout=subprocess.PIPE) as debian:
        imported = engine.answers("import", *changes, "-", DEBIAN_BASE, stdin=debian.stdout)
    if debian.returncode or not imported:
        engine.answers("image", "rm", DEBIAN_BASE)
        raise ServiceUnavailable(f"{DEBIAN_BASE} could not be made from Debian's packages; the lines above say why")


def _certificates() -> list[str]:
    """This machine's certificates, for a package mirror that only they vouch for. They stay out of the image."""
    bundle = ssl.get_default_verify_paths().cafile
    secrets = [("ca_bundle", bundle), ("pip_conf", setting("PIP_CONFIG", ""))]
    return [word for name, path in secrets if path for word in ("--secret", f"id={name},src={path}")]


def _wheels() -> list[str]:
    """The folder of wheels that pip's own settings name here, such as one with a CPU build of torch."""
    command = [Path(sys.base_prefix) / "bin" / "python3", "-m", "pip", "config", "get", "global.find-links"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    folders = [folder for folder in asked.stdout.split() if Path(folder).is_dir()]
    return ["--build-context", f"wheels={folders[0]}"] if folders else []
