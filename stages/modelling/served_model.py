"""What a model folder says of itself: a whole model, one with an adapter merged into it, or an adapter beside its base."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stages.errors import DataError

MERGE_CERTIFICATE = "merge_certificate.json"
BESIDE = "base"  # in the folder of an adapter that cannot be merged: its base
BOTTLENECK = "BOTTLENECK"  # the kind of adapter that is none of PEFT's

Form = Literal["whole", "merged", "adapter"]


class ServedModel(NamedTuple):
    """How the model is served, and the evidence that came with it."""

    form: Form
    certificate: Mapping[str, Any]  # what merge wrote; empty for a model that was trained whole

    @property
    def kind(self) -> str | None:
        """Of adapter, as PEFT calls it; None without one."""
        return self.certificate.get("kind")

    @property
    def base_digest(self) -> str | None:
        """Of the base that the adapter stands beside or went into; None where that is not known."""
        return self.certificate.get("base_digest")


def read_served(folder: Path) -> ServedModel:
    """What is in the model folder; DataError for a certificate that cannot be read."""
    path = folder / MERGE_CERTIFICATE
    if not path.is_file():
        return ServedModel("whole", {})
    try:
        certificate = json.loads(path.read_text(encoding="utf-8"))
        return ServedModel("merged" if certificate["merged"] else "adapter", certificate)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no certificate of a merge ({error!r}); run merge again") from error
