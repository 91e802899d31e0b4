"""How much memory this process holds, and how much it held at most."""

import ctypes
import resource
from pathlib import Path

STATUS = Path("/proc/self/status")
_forgotten = [0]


def resident_bytes() -> int:
    """Held now; where the system does not say, the most that was held."""
    return _stated("VmRSS") or peak_bytes()


def peak_bytes() -> int:
    """The most that this process held since it started; its children not counted."""
    return _stated("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def lifetime_peak_bytes() -> int:
    """The most that this process held, whatever was forgotten. Linux's ru_maxrss would count who started it, too."""
    return max(peak_bytes(), *_forgotten)


def forget_peak() -> None:
    """From here `peak_bytes` counts anew, where the system can do that."""
    _forgotten.append(peak_bytes())
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # then the peak is that of the whole life of the process


def return_freed_memory() -> None:
    """Freed blocks that glibc keeps for itself go back to the system. Takes milliseconds; what follows asks for them anew."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _stated(name: str) -> int:
    """Bytes that Linux states, which counts KiB; 0 elsewhere."""
    if not STATUS.exists():
        return 0
    lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
