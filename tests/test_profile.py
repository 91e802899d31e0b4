from pathlib import Path

import pytest

from stages.errors import ConfigError
from stages.execution.runs import SOURCES
from stages.pipeline import ALL, STAGES
from stages.profile import Profile, load_profile, parse_value, profile_names, resolve_params, resolve_sources


def resolve(
    profile: dict[str, dict[str, object]], overrides: dict[str, dict[str, object]] | None = None
) -> dict[str, object]:
    chosen = Profile("test", "", {}, profile)
    return dict(resolve_params(ALL.stages, chosen, overrides or {}, list(STAGES)))


def test_a_profile_changes_defaults_and_an_override_changes_the_profile() -> None:
    params = resolve({"dedup": {"min_similarity": 0.7, "shingle_words": 4}}, {"dedup": {"min_similarity": 0.9}})
    assert (params["dedup"].min_similarity, params["dedup"].shingle_words) == (0.9, 4)  # type: ignore[attr-defined]


def test_one_value_of_a_mapping_is_changed_and_its_others_stay() -> None:
    stated = {"filter": {"by_task": {"chat": {"max_symbol_share": 0.4}, "code": {"max_symbol_share": 0.5}}}}
    changed = {"by_task.code.max_symbol_share": None, "by_task.code.min_response_words": 3}
    params = resolve(stated, {"filter": changed, "mix": {"weights.a": 2, "weights.b": 1}})
    assert params["filter"].by_task == {  # type: ignore[attr-defined]
        "chat": {"max_symbol_share": 0.4},
        "code": {"max_symbol_share": None, "min_response_words": 3},
    }
    assert params["mix"].weights == {"a": 2, "b": 1}  # type: ignore[attr-defined]
    assert stated["filter"]["by_task"]["code"] == {"max_symbol_share": 0.5}, "the profile itself stays as it was"
    with pytest.raises(
        ConfigError, match=r"by_task\.code: max_symbl cannot be set .*; did you mean max_symbol_share\?"
    ):
        resolve(stated, {"filter": {"by_task.code.max_symbl": 1}})


def test_everything_that_is_wrong_is_told_in_one_message() -> None:
    wrong = {"dedup": {"min_similarity": 1.5, "min_similarty": 0.8}, "dedupe": {}, "train": {"method": "magic"}}
    with pytest.raises(ConfigError) as caught:
        resolve(wrong)
    told = str(caught.value)
    assert "no stage 'dedupe' (stages: ingest, dedup" in told
    assert "dedup.min_similarity = 1.5: Input should be less than or equal to 1" in told
    assert (
        "dedup.min_similarty is no parameter (did you mean min_similarity? parameters: key, min_long_turns, min_similarity"
        in told
    )
    assert "train.method = 'magic'" in told


def test_none_is_off_and_zero_is_zero() -> None:
    assert resolve({"train": {"max_steps": None}})["train"].max_steps is None  # type: ignore[attr-defined]
    assert parse_value("null") is None
    assert parse_value("0") == 0
    assert parse_value("0.5") == 0.5
    assert parse_value("full") == "full"


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_of_the_project_resolves(name: str) -> None:
    profile = load_profile(name)
    assert profile.description
    resolve_params(ALL.stages, profile, {}, list(STAGES))
    resolve_sources(ALL, profile, {}, SOURCES)


def test_there_are_profiles() -> None:
    assert {"default", "demo"} <= set(profile_names())


@pytest.mark.parametrize(("text", "said"), [
    ("stages: [1]", "'stages' must be a mapping"),
    ("stage: {}", "'stage' is no part of a profile"),
    ("stages: {dedup: 3}", "stages.dedup must be a mapping"),
    ("a: [", "is not YAML"),
    ("\t- x", r"is not YAML: [^\n]*; correct the file"),
    ("sources: {raw: 3}", r"sources\.raw must be a path or a list of paths"),
    ("sources: {raw: [3]}", r"sources\.raw must be a path or a list of paths"),
    ("sources: {raw: }", r"sources\.raw must be a path or a list of paths"),
    ("description: 3", "'description' must be text"),
    ("stages:\n  dedup: {seed: 1}\n  dedup: {min_similarity: 0.9}", "line 2, column 3: 'dedup' stands twice in one mapping; correct the file"),
])  # fmt: skip
def test_a_profile_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_profile(str(path))


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no profile 'dmeo'; give a .yaml file or one of .*demo"):
        load_profile("dmeo")


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"pipeline all has no source rwa; its sources are raw, evals.*; did you mean raw\?"
    ):
        resolve_sources(ALL, load_profile(None), {"rwa": ["x"]}, SOURCES)
