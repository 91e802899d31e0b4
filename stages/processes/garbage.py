"""Puts off Python's search for objects that hold each other while a batch is made of many small ones."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

# More than a batch in work mostly has: to search each time took a twentieth of tokenize's time.
WAITING_OBJECTS = 250_000
_lock = Lock()
_inside: list[bool] = []  # for each block that a thread is in, whether the search was on when the first was entered


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """Objects are freed as before once nobody holds them; what holds itself waits until the block is left.

    Each search looks at all objects there are, and 20,000 conversations are millions: a quarter of tokenize's time.
    While other threads stay in such a block, one that leaves it searches when many objects have come together.
    """
    with _lock:
        _inside.append(_inside[0] if _inside else gc.isenabled())
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            was_on = _inside.pop()
            if was_on and not _inside:
                gc.enable()
        if was_on and _inside and gc.get_count()[0] > WAITING_OBJECTS:
            gc.collect()
