import os
import time
from pathlib import Path

from stages.store.stage_cache import UNUSED_SECONDS, open_cache


def test_caches_of_other_code_go_when_long_unused_and_the_own_one_stays(tmp_path: Path) -> None:
    ages = {"old code": UNUSED_SECONDS + 60, "last week's code": UNUSED_SECONDS / 4, "this code": UNUSED_SECONDS + 60}
    for name, age in ages.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "answers").touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert open_cache(tmp_path / "this code") == tmp_path / "this code"
    assert sorted(path.parent.name for path in tmp_path.glob("*/answers")) == ["last week's code", "this code"]
    open_cache(tmp_path / "last week's code")
    assert (tmp_path / "this code").exists()
