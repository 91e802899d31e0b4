"""The environment variables under which this project's Airflow runs: embedded, on loopback, with nothing of its own set."""

import os
import secrets
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AIRFLOW = ROOT / ".venv-airflow" / "bin" / "airflow"
AIRFLOW_PYTHON = ROOT / ".venv-airflow" / "bin" / "python"


def airflow_environment(state: Path, *, port: int = 8080, dags: Path = ROOT / "dags") -> dict[str, str]:
    """This process's environment with Airflow's settings: SQLite metadata and LocalExecutor under `state`."""
    state.mkdir(parents=True, exist_ok=True)
    settings = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__PARALLELISM": "2",  # the default of 32 starts 32 worker processes
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(state / "passwords.json"),
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{state / 'airflow.db'}",
        "API__HOST": "127.0.0.1",  # standalone listens on every interface unless told
        "API__PORT": str(port),
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__WORKERS": "1",
        "API_AUTH__JWT_SECRET": _secret(state / "jwt-secret"),
        "LOGGING__LOGGING_LEVEL": "WARNING",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    chosen = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    path = (
        f"{AIRFLOW.parent}{os.pathsep}{os.environ.get('PATH', '')}"  # `airflow standalone` starts `airflow` by its name
    )
    return {
        **kept,
        **chosen,
        "PATH": path,
        "AIRFLOW_HOME": str(state),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }


def _secret(path: Path) -> str:
    """A random secret, made once and readable by its owner alone."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text()
