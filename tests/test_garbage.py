"""The search for cycles is put off within the block, and left as it was behind it."""

import gc
from contextlib import suppress

import pytest

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
