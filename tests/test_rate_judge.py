"""Given a judge that answers, or misbehaves as real servers do -> grades, counted gaps, and never a key on disk."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from judge_server import SCORE_FOUR, Handler, completion, drip, half_a_body, hang_up, judge_server, send
from judged_rows import KEY, SIGNALS, grades, judge, told
from rows import conversation, sealed
from stages.errors import ConfigError, DataError, ServiceUnavailable
from stages.rate.stage import RateParams


@pytest.fixture(autouse=True)
def _quick_and_keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPER_JUDGE_API_KEY", KEY)
    monkeypatch.setattr("stages.rate.chat_endpoint.FIRST_WAIT", 0.01)


def test_each_answer_gets_the_grade_and_the_comment_of_the_judge(tmp_path: Path) -> None:
    def by_name(_: Handler, body: dict[str, Any], __: int) -> str:
        return f'{{"comment": "So so.", "score": {1 + "abcd".index(body["messages"][1]["content"].split("Answer ")[1][0])}}}'

    with judge_server(by_name) as server:
        outcome = judge(tmp_path, server.address)
    assert grades(outcome) == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert told(outcome) == {"answered": 4, "graded": 4, "requests": 4, "tokens": 200}
    assert {(b["model"], b["temperature"]) for b in server.bodies} == {("judge-1", 0)}
    assert {(h["path"], h["Authorization"]) for h in server.headers} == {("/v1/chat/completions", f"Bearer {KEY}")}
    assert set(outcome.receipt["facts"]["selectors"]) == {"judge_score"}


def test_a_reply_in_parts_is_read_as_their_text(tmp_path: Path) -> None:
    def in_parts(handler: Handler, _: dict[str, Any], __: int) -> None:
        parts = [
            {"type": "reasoning"},
            {"type": "text", "text": SCORE_FOUR[:9]},
            {"type": "text", "text": SCORE_FOUR[9:]},
        ]
        reply = {"choices": [{"message": {"content": parts}}], "usage": {"total_tokens": "many"}}
        send(handler, json.dumps(reply).encode())

    with judge_server(in_parts) as server:
        outcome = judge(tmp_path, server.address)
    assert set(grades(outcome).values()) == {4.0}
    assert told(outcome)["requests"] == 4, "a count that cannot be read is no reason to pay again"


def test_the_key_is_written_down_nowhere(tmp_path: Path) -> None:
    with judge_server(lambda *_: SCORE_FOUR) as server:
        judge(tmp_path, server.address)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "replies.sqlite" for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    "misbehave",
    [
        lambda handler: send(handler, b"slow down", 429, Retry_After="0.05"),
        lambda handler: send(handler, b"slow down", 429, Retry_After="Thu, 01 Jan 1970 00:00:00 GMT"),
        lambda handler: send(handler, b"<html>oops</html>", 500),
        lambda handler: send(handler, b"", 503, Retry_After="soon"),
        lambda handler: send(handler, b"", 503, Retry_After="nan"),
        lambda handler: send(handler, json.dumps({"choices": [{"message": {"content": ["4"]}}]}).encode()),
        lambda handler: send(handler, b"\xff\xfe not json at all"),
        lambda handler: send(handler, b'{"choices": []}'),
        lambda handler: send(handler, b'{"choices": [{"message": null}]}'),
        lambda handler: send(handler, b"[" * 100_000),
        half_a_body,
        hang_up,
    ],
)
def test_a_passing_fault_is_waited_out(tmp_path: Path, misbehave: Callable[[Handler], None]) -> None:
    def once(handler: Handler, _: dict[str, Any], before: int) -> str | None:
        return SCORE_FOUR if before else misbehave(handler)

    with judge_server(once) as server:
        outcome = judge(tmp_path, server.address, judge_concurrency=4)
    assert set(grades(outcome).values()) == {4.0}
    assert told(outcome) | {"tokens": 0} == {"answered": 4, "graded": 4, "requests": 8, "tokens": 0}


@pytest.mark.parametrize("misbehave", [lambda _: time.sleep(60), drip])
def test_a_server_that_takes_too_long_is_cut_off_and_asked_again(
    tmp_path: Path, misbehave: Callable[[Handler], None]
) -> None:
    def once(handler: Handler, _: dict[str, Any], before: int) -> str | None:
        return SCORE_FOUR if before else misbehave(handler)

    started = time.monotonic()
    with judge_server(once) as server:
        # Retries enough for a busy machine, where a good reply may come too late as well.
        outcome = judge(tmp_path, server.address, judge_timeout_seconds=1, judge_retries=20)
    assert time.monotonic() - started < 50, "neither a sleeper of 60 seconds nor a drip was waited for"
    assert set(grades(outcome).values()) == {4.0}
    assert told(outcome)["requests"] >= 8


def test_a_row_that_the_judge_cannot_take_stays_null_and_is_counted(tmp_path: Path) -> None:
    def refuse_b(handler: Handler, body: dict[str, Any], _: int) -> str | None:
        if "Answer b." not in body["messages"][1]["content"]:
            return SCORE_FOUR
        return send(handler, b"too long for me", 400)

    with judge_server(refuse_b) as server:
        outcome = judge(tmp_path, server.address, judge_max_failed_share=0.3)
        assert grades(outcome) == {"a": 4, "b": None, "c": 4, "d": 4}
        assert (told(outcome)["failed"], told(outcome)["requests"]) == (1, 4), "asked once: a repeat cannot help"
        with pytest.raises(ServiceUnavailable, match="failed on 1 rows, at last with: HTTP 400: too long for me"):
            judge(tmp_path, server.address, out="strict")
    assert not (tmp_path / "strict").exists()


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_a_wrong_setting_stops_the_stage_at_once_and_never_shows_the_key(tmp_path: Path, status: int) -> None:
    def refuse(handler: Handler, *_: Any) -> None:
        send(handler, f"Incorrect key provided: {KEY}".encode(), status, Location="http://127.0.0.1:9/else")

    with judge_server(refuse) as server, pytest.raises(ConfigError) as caught:
        judge(tmp_path, server.address, judge_concurrency=1)
    assert f"answers {status} to model judge-1: Incorrect key provided: ***; mend judge_endpoint" in str(caught.value)
    assert len(server.bodies) <= 2, "no other row is tried once the answer is known"


def test_a_judge_that_went_away_fails_the_stage_and_a_retry_asks_only_for_the_rest(tmp_path: Path) -> None:
    def two_then_gone(handler: Handler, *_: Any) -> str | None:
        return SCORE_FOUR if len(server.bodies) <= 2 else hang_up(handler)

    with judge_server(two_then_gone) as server, pytest.raises(ServiceUnavailable, match="2 new replies are kept"):
        judge(tmp_path, server.address, judge_concurrency=1)
    with judge_server(lambda *_: SCORE_FOUR) as again:
        outcome = judge(tmp_path, again.address)
    assert (len(again.bodies), told(outcome)["found_in_cache"]) == (2, 2)
    assert set(grades(outcome).values()) == {4.0}


def test_a_judge_that_is_down_is_given_up_after_some_rows(tmp_path: Path) -> None:
    rows = {str(number): (f"Question {number}?", "Answer.") for number in range(60)}
    with judge_server(lambda handler, *_: hang_up(handler)) as server, pytest.raises(ServiceUnavailable):
        judge(tmp_path, server.address, rows, judge_retries=0, judge_concurrency=4)
    assert len(server.bodies) < 40


def test_what_was_graded_is_never_asked_again_wherever_the_judge_is_served(tmp_path: Path) -> None:
    with judge_server(lambda *_: SCORE_FOUR) as server:
        first = judge(tmp_path, server.address)
    nobody = "http://127.0.0.1:9/v1"
    assert judge(tmp_path, nobody, judge_timeout_seconds=1, judge_concurrency=2).hit, "none of these changes a grade"
    again = judge(tmp_path, nobody, out="again", judge_max_rows=3)
    assert (told(again)["found_in_cache"], told(again)["over_row_limit"]) == (3, 1)
    assert list(grades(again).values()).count(None) == 1
    assert first.receipt["key"] != again.receipt["key"]


@pytest.mark.parametrize("change", [{"judge_model": "judge-2"}, {"judge_highest": 10}, {"judge_options": {"seed": 1}}])
def test_another_question_or_judge_is_asked_anew(tmp_path: Path, change: dict[str, Any]) -> None:
    with judge_server(lambda *_: SCORE_FOUR) as server:
        judge(tmp_path, server.address)
        assert "found_in_cache" not in told(judge(tmp_path, server.address, out="other", **change))
    assert len(server.bodies) == 8


def test_replies_can_be_kept_where_no_new_code_forgets_them(tmp_path: Path) -> None:
    with judge_server(lambda *_: SCORE_FOUR) as server:
        judge(tmp_path, server.address, judge_replies=str(tmp_path / "replies"))
    assert not list((tmp_path / "cache").rglob("replies.sqlite"))
    outcome = judge(
        tmp_path, "http://127.0.0.1:9", out="other", judge_replies=str(tmp_path / "replies"), judge_max_rows=4
    )
    assert told(outcome) == {"found_in_cache": 4, "graded": 4}


@pytest.mark.parametrize(
    ("limit", "asked"),
    [({"judge_max_requests": 3}, 3), ({"judge_max_requests": 0}, 0), ({"judge_max_tokens": 0}, 0)],
)
def test_what_lies_over_the_budget_stays_null_and_is_counted(tmp_path: Path, limit: dict[str, int], asked: int) -> None:
    with judge_server(lambda *_: SCORE_FOUR) as server:
        outcome = judge(tmp_path, server.address, **limit)
        assert len(server.bodies) == asked
        assert list(grades(outcome).values()).count(None) == told(outcome)["over_budget"] == 4 - asked
        more = judge(tmp_path, server.address, out="more", judge_max_requests=4 - asked)
    assert set(grades(more).values()) == {4.0}, "a run with a budget for the rest goes on from there"


def test_a_token_budget_counts_what_the_server_says(tmp_path: Path) -> None:
    with judge_server(lambda *_: SCORE_FOUR) as server:
        # Each question may cost 700 tokens at most, and costs 50: three fit, and a fourth might not.
        outcome = judge(tmp_path, server.address, judge_max_tokens=1090, judge_concurrency=1)
    assert told(outcome)["tokens"] <= 1090
    assert len(server.bodies) == 4
    assert told(outcome)["tokens"] == 200


def test_requests_that_the_server_refuses_cost_no_token(tmp_path: Path) -> None:
    def third_time(handler: Handler, _: dict[str, Any], before: int) -> str | None:
        return SCORE_FOUR if before == 2 else send(handler, b"slow down", 429)

    with judge_server(third_time) as server:
        outcome = judge(tmp_path, server.address, judge_max_tokens=1090, judge_concurrency=1)
    assert told(outcome) == {"answered": 4, "graded": 4, "requests": 12, "tokens": 200}


def test_a_reply_without_a_grade_is_counted_and_not_asked_for_again(tmp_path: Path) -> None:
    with judge_server(lambda *_: "I would rather not say.") as server:
        outcome = judge(tmp_path, server.address, judge_max_failed_share=1)
        again = judge(tmp_path, server.address, out="again", judge_max_rows=4, judge_max_failed_share=1)
    assert set(grades(outcome).values()) == {None}
    assert told(outcome)["unparseable"] == told(again)["unparseable"] == 4
    assert len(server.bodies) == 4


def test_too_many_replies_without_a_grade_fail_the_stage_and_are_kept(tmp_path: Path) -> None:
    with judge_server(lambda _, __, before: SCORE_FOUR if before else "Out of ten? Fine.") as server:
        with pytest.raises(DataError, match=r'4 replies of judge judge-1 .* of 0 that do; the last one: "Out of ten'):
            judge(tmp_path, server.address)
        judge(tmp_path, server.address, judge_max_failed_share=1)
    assert len(server.bodies) == 4, "all replies were kept"


def test_no_more_requests_than_allowed_are_under_way_at_once(tmp_path: Path) -> None:
    def slowly(*_: Any) -> str:
        time.sleep(0.02)
        return SCORE_FOUR

    rows = {str(number): (f"Question {number}?", "Answer.") for number in range(24)}
    with judge_server(slowly) as server:
        stage_rows = judge(tmp_path, server.address, rows, judge_concurrency=3).receipt["outputs"]["rated"]["rows"]
    assert (stage_rows, len(server.bodies)) == (24, 24)
    assert 2 <= server.most_under_way <= 3


def test_equal_rows_are_asked_about_once(tmp_path: Path) -> None:
    rows = {name: ("The same?", "The same.") for name in "abc"}
    with judge_server(lambda *_: SCORE_FOUR) as server:
        assert set(grades(judge(tmp_path, server.address, rows)).values()) == {4.0}
    assert len(server.bodies) == 1


def test_the_expected_grade_is_the_mean_by_the_judges_own_probabilities(tmp_path: Path) -> None:
    def likely(handler: Handler, body: dict[str, Any], _: int) -> None:
        assert (body["logprobs"], body["max_tokens"]) == (True, 1)
        tops = [{"token": t, "logprob": p} for t, p in (("4", -0.6931), (" 5", -1.3863), ("Great", -1.5), ("9", -2.0))]
        send(handler, completion("4", logprobs={"content": [{"token": "4", "top_logprobs": tops}]}))

    with judge_server(likely) as server:
        outcome = judge(tmp_path, server.address, judge_form="expected")
    assert grades(outcome)["a"] == pytest.approx((4 * 0.5 + 5 * 0.25) / 0.75, rel=1e-3)


def test_documents_and_empty_answers_are_not_sent(tmp_path: Path) -> None:
    with judge_server(lambda *_: SCORE_FOUR) as server:
        outcome = judge(tmp_path, server.address, {"a": ("Say nothing.", " "), "b": ("Say.", "Yes.")})
    assert grades(outcome) == {"a": None, "b": 4}
    assert len(server.bodies) == 1


@pytest.mark.parametrize("signal", ["secret_count", "password_count", "card_count", "iban_count"])
def test_what_nobody_outside_may_see_is_shown_to_no_judge_unless_asked(tmp_path: Path, signal: str) -> None:
    private = SIGNALS | conversation("a", "My key?", "It is hidden.") | {signal: 1}
    sealed(tmp_path / "scored", "scored", [private, SIGNALS | conversation("b", "Say.", "Yes.")])
    with judge_server(lambda *_: SCORE_FOUR) as server:
        outcome = judge(tmp_path, server.address)
        assert (grades(outcome), told(outcome)["private"]) == ({"a": None, "b": 4}, 1)
        assert "hidden" not in str(server.bodies)
        assert set(grades(judge(tmp_path, server.address, out="all", judge_sees_private=True)).values()) == {4.0}


def test_a_table_in_many_parts_is_graded_like_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with judge_server(lambda *_: SCORE_FOUR) as server:
        whole = judge(tmp_path / "whole", server.address, judge_max_rows=3)
        monkeypatch.setattr("stages.store.tables.PART_ROWS", 1)
        parts = judge(tmp_path / "parts", server.address, judge_max_rows=3)
    assert len(list((parts.folder / "rated").glob("*.parquet"))) == 4
    assert grades(parts) == grades(whole)
    assert told(parts)["over_row_limit"] == 1


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"judge_model": "m"}, "judge_endpoint is not"),
        ({"judge_endpoint": "http://user:password@host/v1"}, "TEMPER_JUDGE_API_KEY"),
        ({"judge_endpoint": "http://host/v1?api-key=abc"}, "without user, password or query"),
        ({"judge_endpoint": "ftp://host/v1"}, "must be http"),
        ({"judge_endpoint": "http://host:99999/v1"}, "Port out of range"),
        ({"judge_endpoint": "http://host:x/v1"}, "Port could not be cast"),
        ({"judge_lowest": 5}, "judge_lowest must be less"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_runs(params: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RateParams(**params)
