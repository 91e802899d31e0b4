"""The search for cycles is put off within the block, and goes on behind it with what came together meanwhile."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from stages.processes import garbage
from stages.processes.garbage import no_search_for_cycles


@pytest.mark.parametrize("was_on", [True, False])
def test_the_search_is_left_as_it_was_whatever_happens(was_on: bool) -> None:
    (gc.enable if was_on else gc.disable)()
    try:
        with suppress(RuntimeError), no_search_for_cycles():
            assert not gc.isenabled()
            raise RuntimeError
        assert gc.isenabled() == was_on
    finally:
        gc.enable()


class Refused(Exception):
    """An error that can be watched."""


def kept_with_its_frame() -> weakref.ref[Refused]:
    kept = []
    try:
        raise Refused
    except Refused as error:
        kept.append(error)
    return weakref.ref(kept[0])


def test_what_holds_itself_is_freed_behind_the_block() -> None:
    """Rows that are refused do: an error holds the frame that holds it, and with it all that was made of a batch."""
    with no_search_for_cycles():
        error = kept_with_its_frame()
        others: list[list[int]] = [[] for _ in range(2000)]
        assert error() is not None
    others += [[] for _ in range(2000)]
    assert error() is None, f"{len(others)} new objects set the search off"


def test_one_thread_leaves_the_search_off_for_another_and_frees_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that come and go in turn would else never let a search happen, nor another's end leave one alone."""
    monkeypatch.setattr(garbage, "WAITING_OBJECTS", 100)

    def leave_one_behind() -> weakref.ref[Refused]:
        with no_search_for_cycles():
            others: list[list[int]] = [[] for _ in range(200)]
            error = kept_with_its_frame()
            assert len(others) == 200
            assert error() is not None
        return error

    with ThreadPoolExecutor(1) as pool, no_search_for_cycles():
        waiting: list[list[int]] = [[] for _ in range(200)]
        error = pool.submit(leave_one_behind).result()
        assert error() is None, f"{len(waiting)} new objects set the search off"
        assert not gc.isenabled()
    assert gc.isenabled()
