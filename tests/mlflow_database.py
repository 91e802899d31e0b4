"""A migrated, empty MLflow database for each test: migrations take seconds, a copy takes none."""

import shutil
from pathlib import Path

import pytest

from stages.tracking import open_client


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database file with MLflow's tables; made once."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    client = open_client(f"sqlite:///{path}")
    client.search_registered_models()  # the registry has migrations of its own
    return path


@pytest.fixture
def database(migrated_database: Path, tmp_path: Path) -> str:
    """The tracking address of an empty registry of its own, artifacts in the same folder."""
    shutil.copyfile(migrated_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"
