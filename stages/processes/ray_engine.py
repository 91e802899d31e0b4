"""Runs calls as tasks of a Ray cluster, behind the interface of a process pool.

A task names files and leaves files, as in a process of its own: the nodes of a real cluster run the same image and have
the store mounted at the same path. Without an address the cluster is this machine, and goes when this process does.
"""

import atexit
import importlib
import os
import pickle
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from types import ModuleType
from typing import Any

from stages.errors import ConfigError, ServiceUnavailable
from stages.store.storage import setting

_session_folders: list[str] = []
KNOCK_SECONDS = 10.0
ATTEMPTS = 3
OBJECT_STORE_BYTES = 200 * 2**20  # of a cluster on this machine; a shuffle that needs more is spilled to disk


class RayPool(Executor):
    """`submit` and `map` of a process pool. A task that dies breaks the pool, as a worker process that dies would."""

    def __init__(self, workers: int, environment: Mapping[str, str]) -> None:
        self._ray = connected(workers, environment)
        self._task = self._ray.remote(max_retries=0)(_call)
        self._running: set[Any] = set()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        task = self._task.remote(self._ray.cloudpickle.dumps((function, args, kwargs)))
        self._running.add(task)
        outer: Future[Any] = Future()
        outer.set_running_or_notify_cancel()
        task.future().add_done_callback(lambda inner: self._hand_over(task, inner, outer))
        return outer

    def _hand_over(self, task: Any, inner: "Future[Any]", outer: "Future[Any]") -> None:
        self._running.discard(task)
        error = inner.exception()
        if error is None:
            outer.set_result(inner.result())
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            outer.set_exception(error.cause)
        else:
            outer.set_exception(BrokenProcessPool(f"a Ray task died: {error}"))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """The cluster stays, for the next pool of this process."""
        running = list(self._running)
        for task in running if cancel_futures else ():
            self._ray.cancel(task, force=True)
        if wait and running:
            self._ray.wait(running, num_returns=len(running))


def _call(call: bytes) -> Any:
    function, args, kwargs = pickle.loads(call)
    return function(*args, **kwargs)


def connected(workers: int, environment: Mapping[str, str]) -> ModuleType:
    """Ray, connected to the cluster of TEMPER_RAY_ADDRESS or to one of `workers` processes on this machine.

    Its workers have `environment` before they import anything that reads it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    if "ray" not in sys.modules:
        atexit.register(_sweep)  # before Ray's own exit handlers, which write once more: the last one in goes first
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError(f"--engine ray: the package ray is not installed here ({error}); "
                          f"install containers/requirements/ray.in, or use --engine local") from error  # fmt: skip
    if not ray.is_initialized():
        _start(ray, setting("RAY_ADDRESS", ""), workers, {"env_vars": dict(environment)})
    return ray


def _start(ray: ModuleType, address: str, workers: int, runtime_env: Mapping[str, Any]) -> None:
    try:
        if address:
            _knock(address)
            ray.init(address=address, log_to_driver=False, runtime_env=runtime_env)
        else:
            _start_here(ray, workers, runtime_env)
    except Exception as error:  # Ray raises bare ones, too
        where = f"the cluster {address}" if address else "a cluster on this machine"
        raise ServiceUnavailable(f"--engine ray: {where} does not answer ({str(error).splitlines()[0]}); "
                                 f"check TEMPER_RAY_ADDRESS and the cluster's token (RAY_AUTH_TOKEN), or use --engine local") from error  # fmt: skip


def _start_here(ray: ModuleType, workers: int, runtime_env: Mapping[str, Any]) -> None:
    """Tries again: Ray gives its processes 15 seconds to start, which a busy machine does not always grant."""
    for attempts_left in reversed(range(ATTEMPTS)):
        folder = tempfile.mkdtemp(prefix="temper-ray-")
        _session_folders.append(folder)
        try:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, _temp_dir=folder,
                     object_store_memory=OBJECT_STORE_BYTES, runtime_env=runtime_env)  # fmt: skip
            return
        except Exception:
            ray.shutdown()
            if not attempts_left:
                raise


def _knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray itself would wait for long and then end this process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


def _sweep() -> None:
    for folder in _session_folders:
        shutil.rmtree(folder, ignore_errors=True)
