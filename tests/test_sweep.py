"""Given a description of experiments -> which runs are planned, what their results say, and what MLflow holds."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.errors import ConfigError, DataError, UsageError
from stages.execution.runs import find_run, publish
from stages.store.storage import LocalStore
from stages.sweeps.sweep import Experiment, Planned, Sweep, load_planned, load_sweep, start_sweep
from stages.sweeps.sweep_log import log_sweep
from stages.sweeps.sweep_noise import Found, difference, reading_of, settings_of
from stages.sweeps.sweep_page import sweep_page
from stages.sweeps.sweep_results import Result, read_range_test
from stages.tracking import open_client

pytest_plugins = ["mlflow_database"]

VARY = {"train.learning_rate": [0.1, 0.2]}


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A profile whose sources exist."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "config.json").write_text("{}")
    sources = dict.fromkeys(("raw", "evals", "base", "plain_text"), str(tmp_path / "source"))
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"sources": sources, "stages": {"tokenize": {"tokenizer": "gpt2"}}}))
    return path


def described(folder: Path, profile: Path, experiments: Mapping[str, Any], **more: Any) -> str:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"description": "d", "profile": str(profile), "experiments": experiments, **more}, sort_keys=False))  # fmt: skip
    return str(path)


def found(value: float, around: float = 0.0, of_seed: int | None = None, **varied: Any) -> Found:
    log = ((0.1, 3.0), (0.1, 2.0))
    return Found(f"trial-{value}", varied, value, value - around, value + around, {"held_out_loss": value}, log, of_seed)  # fmt: skip


def runs(share: float, *losses: float) -> list[Found]:
    """A run of each seed."""
    return [found(loss, of_seed=seed, share=share) for seed, loss in enumerate(losses)]


def read(*points: Found, measure: str = "held_out_loss") -> str:
    return reading_of(settings_of(points), measure)


def test_every_combination_of_a_grid_is_a_trial(tmp_path: Path, profile: Path) -> None:
    grid = {"question": "?", "vary": VARY | {"train.seed": [1, 2, 3]}}
    planned = start_sweep(described(tmp_path, profile, {"grid": grid}), LocalStore(tmp_path / "store"))
    assert len(planned.trials) == 6
    assert planned.experiments["grid"][1].varied == {"train.learning_rate": 0.1, "train.seed": 2}


def test_equal_settings_are_one_trial_however_they_are_written(tmp_path: Path, profile: Path) -> None:
    experiments = {
        "z_first": {"question": "?", "vary": {"train.schedule": ["cosine", "linear"]}},
        "a_second": {
            "question": "?",
            "vary": {"train.inconsistent_share": [0.0, 0.5]},
        },  # 0 and cosine are the defaults
    }
    planned = start_sweep(described(tmp_path, profile, experiments), LocalStore(tmp_path / "store"))
    assert len(planned.trials) == 3
    assert list(planned.experiments) == ["z_first", "a_second"], "in the order of the file"


def test_a_wrong_value_in_any_trial_stops_the_sweep_before_its_first_run(tmp_path: Path, profile: Path) -> None:
    name = described(tmp_path, profile, {"one": {"question": "?", "vary": {"train.learning_rate": [0.1, -1]}}})
    with pytest.raises(ConfigError, match=r"experiment one: train\.learning_rate"):
        start_sweep(name, LocalStore(tmp_path / "store"))


def test_a_trial_is_neither_the_latest_run_nor_ever_published(tmp_path: Path, profile: Path) -> None:
    store = LocalStore(tmp_path / "store")
    planned = start_sweep(described(tmp_path, profile, {"one": {"question": "?", "vary": VARY}}), store)
    with pytest.raises(UsageError, match="no run 'latest'"):
        find_run(store, "latest")
    assert publish(find_run(store, planned.trials[0].name)) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"experiments": {"a": {"question": "?", "vary": {"learning_rate": [1]}}}}, "say which stage's parameter"),
        ({"experiments": {}}, "at least 1"),
        ({"experiments": {"a": {"question": "?", "grid": {}}}}, "grid"),
    ],
)
def test_a_description_that_is_wrong_says_where(
    tmp_path: Path, profile: Path, content: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_sweep(described(tmp_path, profile, content["experiments"]))


def test_an_experiment_that_is_not_there_is_named(tmp_path: Path, profile: Path) -> None:
    name = described(tmp_path, profile, {"one": {"question": "?", "vary": VARY}})
    with pytest.raises(UsageError, match="no experiment two; it has one"):
        start_sweep(name, LocalStore(tmp_path / "store"), only=["two"])


def test_the_sweeps_that_come_with_the_project_name_settings_that_exist() -> None:
    from stages.sweeps.sweep import PIPELINE, STAGES, load_profile, resolve_params, sweep_names

    for name in sweep_names():
        sweep = load_sweep(name)[1]
        for experiment in sweep.experiments.values():
            for varied, _ in experiment.points():
                overrides = {stage: dict(values) for stage, values in sweep.stages.items()}
                for setting, value in {**experiment.set, **varied}.items():
                    overrides.setdefault(setting.split(".")[0], {})[setting.split(".")[1]] = value
                resolve_params(PIPELINE.stages, load_profile(sweep.profile), overrides, list(STAGES))


def test_trials_whose_intervals_overlap_are_not_told_apart() -> None:
    assert read(found(1.0, 0.1, rate=1), found(1.15, 0.1, rate=2), found(2.0, 0.1, rate=3)) == (
        "best held out loss 1 with rate 1. not told apart from it: rate 2 (1.15, intervals overlap). "
        "worse by more than noise: rate 3 (2)"
    )


def test_of_a_share_of_right_answers_more_is_better() -> None:
    assert "with rate 2" in read(found(0.2, rate=1), found(0.9, rate=2), measure="exact_match_rate")


def test_each_setting_runs_once_with_each_seed_and_shares_the_first_with_experiments_of_one(
    tmp_path: Path, profile: Path
) -> None:
    experiments = {
        "once": {"question": "?", "vary": {"train.inconsistent_share": [0.5]}},
        "often": {"question": "?", "vary": {"train.inconsistent_share": [0.0, 0.5]}, "seeds": 3},
    }
    planned = start_sweep(described(tmp_path, profile, experiments), LocalStore(tmp_path / "store"))
    assert [(p.varied["train.inconsistent_share"], p.seed) for p in planned.experiments["often"]] == [
        (share, seed) for share in (0.0, 0.5) for seed in range(3)
    ]
    assert planned.experiments["once"][0].trial == planned.experiments["often"][3].trial
    assert len(planned.trials) == 6
    seeds = [find_run(planned.store, point.trial).params["train"].seed for point in planned.experiments["often"]]  # type: ignore[attr-defined]
    assert seeds == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("given", [{"vary": {"train.seed": [1, 2]}}, {"set": {"train.schedule": "range_test"}}])
def test_seeds_that_cannot_be_are_refused(tmp_path: Path, profile: Path, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        load_sweep(described(tmp_path, profile, {"one": {"question": "?", "seeds": 2, **given}}))


def test_a_difference_is_taken_between_runs_of_one_seed() -> None:
    # Seeds differ by 1, settings by 0.1 to 0.2: side by side the runs overlap, pair by pair they do not.
    clean, moved = settings_of([*runs(0.0, 1.0, 2.0, 3.0), *runs(0.5, 1.1, 2.2, 3.15)])
    found_ = difference(moved, clean)
    assert found_ is not None
    assert found_.value == pytest.approx(0.15)
    # Student's t of two degrees of freedom, by hand: 4.303 x 0.05 / root of 3.
    assert (found_.low, found_.high) == (pytest.approx(0.15 - 0.1242, abs=1e-4), pytest.approx(0.15 + 0.1242, abs=1e-4))
    assert not found_.is_noise


def test_a_reading_says_that_there_is_no_effect_where_seeds_differ_as_much() -> None:
    assert read(*runs(0.0, 1.0, 2.0, 3.0), *runs(0.5, 1.5, 1.9, 3.2)) == (
        "best held out loss 2 with share 0.0, the mean of 3 seeds. not told apart from it: share 0.5 (+0.2, -0.545 to +0.945). "
        "no effect of what was varied can be told from noise"
    )


def test_a_reading_names_what_is_worse_in_every_seed() -> None:
    said = read(*runs(0.0, 1.0, 2.0, 3.0), *runs(0.5, 1.5, 2.51, 3.49))
    assert "worse by more than noise: share 0.5 (+0.5, +0.475 to +0.525)" in said
    assert "no effect" not in said


def test_a_seed_that_failed_is_left_out_of_the_pairs() -> None:
    [clean, moved] = settings_of([*runs(0.0, 1.0, 2.0, 3.0), *runs(0.5, 1.5, 2.51, 3.49)[:1]])
    assert difference(moved, clean) is None
    assert "share 0.5" in reading_of([clean, moved], "held_out_loss")


def test_with_one_seed_in_common_the_intervals_of_that_seed_are_compared() -> None:
    # Its first run, of seed 0, has no partner: seed 0 of the other failed.
    clean = [found(1.0, 0.1, of_seed=0, share=0.0), found(2.0, 0.1, of_seed=1, share=0.0)]
    moved = [found(2.1, 0.1, of_seed=1, share=0.5)]
    assert "not told apart from it: share 0.5 (2.1, intervals overlap)" in read(*clean, *moved)


def test_runs_of_different_seeds_are_not_told_apart() -> None:
    apart = [found(1.0, 0.1, of_seed=0, share=0.0), found(2.0, 0.1, of_seed=1, share=0.5)]
    assert "not told apart from it: share 0.5 (2, of another seed)" in read(*apart)


def test_a_range_test_suggests_a_tenth_of_the_rate_of_the_lowest_loss() -> None:
    rates = [10 ** (-5 + 5 * step / 199) for step in range(200)]
    falling = [2 + 2 / (1 + (rate / 1e-3) ** 2) for rate in rates]
    log = [(rate, loss if rate < 0.1 else loss + 400 * rate) for rate, loss in zip(rates, falling, strict=True)]
    test = read_range_test(log)
    assert 0.02 < test.lowest <= 0.12
    assert test.highest is not None
    assert 0.1 <= test.highest < 0.2
    assert test.suggestion == test.lowest / 10


def test_a_range_test_without_divergence_or_fall_still_answers() -> None:
    test = read_range_test([(1e-5, 1.0), (1e-4, 1.0), (1e-3, 1.0)])
    assert test.highest is None
    assert math.isfinite(test.suggestion)


def results() -> list[Result]:
    experiment = Experiment(question="How high?", vary=VARY)
    points = tuple(found(value, **{"train.learning_rate": rate}) for value, rate in ((1.0, 0.1), (2.0, 0.2)))
    ranged = Experiment(question="Which?", set={"train.schedule": "range_test"})
    log = Found("trial-r", {}, None, None, None, {"train_loss": 1.0}, ((1e-5, 3.0), (1e-3, 2.0), (1.0, 9.0)))
    return [
        Result("rates", experiment, points, None, "the first is better"),
        Result("range_test", ranged, (log,), read_range_test(log.log), "try <it>"),
    ]


def planned_of(folder: Path) -> Planned:
    sweep = Sweep(description="d", profile="p", experiments={r.title: r.experiment for r in results()})
    return Planned(folder / "sweeps" / "mine", sweep, (), {r.title: [0] * len(r.found) for r in results()})  # type: ignore[dict-item]


def test_the_page_draws_each_seed_and_shows_how_far_they_lie_apart(tmp_path: Path) -> None:
    experiment = Experiment(question="?", vary={"train.inconsistent_share": [0.0, 0.5]}, seeds=3)
    points = (*runs(0.0, 1.0, 2.0, 3.0), *runs(0.5, 1.5, 2.5, 3.5))
    result = Result("consistency", experiment, points, None, "no effect")
    page = sweep_page("mine", planned_of(tmp_path).sweep, [result])
    assert page.count('class="line base"') == 3
    assert page.count('class="line tuned"') == 1
    assert '2 <span class="soft">1 to 3</span>' in page
    assert "mean of 3 seeds" in page
    assert "<h1>d</h1>" in page  # what the sweep is about; its own name may be that of a run


def test_the_page_has_a_chart_for_each_experiment_and_escapes_what_it_shows(tmp_path: Path) -> None:
    page = sweep_page("mine", planned_of(tmp_path).sweep, results())
    assert page.count('class="chart"') == 2
    assert "try &lt;it&gt;" in page
    assert "<script" not in page


@pytest.mark.slow
def test_each_experiment_is_a_parent_run_with_its_trials_below_it_however_often_it_is_logged(
    tmp_path: Path, database: str
) -> None:
    for _ in range(2):
        log_sweep(database, planned_of(tmp_path), results())

    client = open_client(database)
    home = client.get_experiment_by_name("sweeps")
    assert home is not None
    runs = {run.info.run_id: run for run in client.search_runs([home.experiment_id])}
    nested = {run.info.run_name: run.data.tags.get("mlflow.parentRunId") for run in runs.values()}
    parents = {name: runs[parent].info.run_name for name, parent in nested.items() if parent}
    assert parents == {
        "learning_rate 0.1": "mine/rates",
        "learning_rate 0.2": "mine/rates",
        "trial-r": "mine/range_test",
    }
    child = next(run for run in runs.values() if run.info.run_name == "learning_rate 0.2")
    assert (child.data.params, child.data.metrics["held_out_loss"]) == ({"train.learning_rate": "0.2"}, 2.0)
    assert [m.value for m in client.get_metric_history(child.info.run_id, "loss")] == [3.0, 2.0]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


@pytest.mark.parametrize("plan", ["{}", "[]", '{"experiments": [], "sweep": {}, "trials": []}', '{"experiments": 3}'])
def test_a_damaged_plan_of_a_sweep_is_told(tmp_path: Path, plan: str) -> None:
    (tmp_path / "sweep.json").write_text(plan)
    with pytest.raises(DataError, match=r"sweep\.json is no plan of a sweep \(.*\); start the sweep again"):
        load_planned(tmp_path)
