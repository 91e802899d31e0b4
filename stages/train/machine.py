"""What the machine does meanwhile, under the names that MLflow gives to system metrics, so that it draws them."""

import math
import time

import psutil
import torch

SECONDS_BETWEEN_LOOKS = 10.0  # as MLflow's own monitor


class Machine:
    """Looks now and then; the job's own log sends the numbers, so that no thread can disturb or outlive it."""

    def __init__(self) -> None:
        self.last = -math.inf
        psutil.cpu_percent()  # the first answer is always 0

    def look(self) -> dict[str, float]:
        """The numbers, or none when the last look was a moment ago."""
        if time.monotonic() - self.last < SECONDS_BETWEEN_LOOKS:
            return {}
        self.last = time.monotonic()
        memory = psutil.virtual_memory()
        found = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / 1e6,
            "system_memory_usage_percentage": memory.percent,
        }
        if torch.cuda.is_available():
            for gpu in range(torch.cuda.device_count()):
                free, total = torch.cuda.mem_get_info(gpu)
                found[f"gpu_{gpu}_memory_usage_megabytes"] = (total - free) / 1e6
                found[f"gpu_{gpu}_memory_usage_percentage"] = 100 * (1 - free / total)
        return {f"system/{name}": value for name, value in found.items()}
