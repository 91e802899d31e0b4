"""The ratings that come from a judge, as columns beside the rows."""

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import polars as pl

from stages.contract import Workbench
from stages.errors import DataError, ServiceUnavailable
from stages.rate.chat_endpoint import ChatEndpoint, Reply, RequestFailed
from stages.rate.judge_prompt import Grade, expected_grade, load_template, question, read_grade
from stages.rate.kept_answers import KeptAnswers
from stages.rate.stage import RateParams
from stages.rate.texts import answers_in_context
from stages.store.storage import digest_of

GIVE_UP_AFTER = 20  # rows in a row on which the judge failed, each after all its repeats: it is down
SHOWN_CHARS = 200
TOP_TOKENS = 20  # as many first tokens as the protocol gives probabilities of
RATINGS: dict[str, pl.DataType] = {"judge_score": pl.Float64(), "judge_comment": pl.String()}

PRIVATE = ("secret_count", "password_count", "card_count", "iban_count")  # what nobody outside may see


class Judge:
    """Grades rows; each question is asked once, ever. `counts` says what was asked, found, and why rows have no grade."""

    def __init__(self, params: RateParams, endpoint: ChatEndpoint, kept: KeptAnswers, workbench: Workbench) -> None:
        self.params, self.endpoint, self.kept, self.workbench = params, endpoint, kept, workbench
        self.counts: Counter[str] = Counter()
        self._template = load_template(params.judge_prompt) if params.judge_prompt else None
        self._rows_left = params.judge_max_rows
        self._failures_in_a_row, self._last_failure = 0, ""
        self._last_gradeless = ""

    def rate(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`row_id`, `answer_chars` and the columns of RATINGS, row by row. Raises ServiceUnavailable, ConfigError."""
        texts = answers_in_context(rows)
        chosen = self._chosen(texts.hstack(rows.select(is_private=_is_private())))
        bodies = {place: self._body(rows["messages"][place]) for place in chosen}
        keys = {place: digest_of(body) for place, body in bodies.items()}
        kept = self.kept.get(sorted(set(keys.values())))
        self.counts["found_in_cache"] += len(kept)
        new = {keys[place]: body for place, body in bodies.items() if keys[place] not in kept}
        replies = {key: Reply(*reply) for key, reply in kept.items()} | self._asked(new)
        grades = {place: self._grade(replies.get(keys[place])) for place in chosen}
        found = [grades.get(place) or (None, None) for place in range(rows.height)]
        ratings = pl.DataFrame(found, schema=RATINGS, orient="row")
        return pl.concat([texts.select("row_id", "answer_chars"), ratings], how="horizontal")

    def _chosen(self, texts: pl.DataFrame) -> list[int]:
        """Places of the rows to grade: conversations with an answer, in the order of their ids, up to the limit."""
        asks = texts.with_row_index("place").filter(~pl.col("is_document"), pl.col("answer").is_not_null())
        if not self.params.judge_sees_private:
            self.counts["private"] += int(asks["is_private"].sum())
            asks = asks.filter(~pl.col("is_private"))
        places: list[int] = asks.sort("row_id")["place"].to_list()
        if self._rows_left is None:
            return places
        self.counts["over_row_limit"] += max(0, len(places) - self._rows_left)
        places = places[: self._rows_left]
        self._rows_left -= len(places)
        return places

    def _body(self, messages: list[Mapping[str, Any]]) -> dict[str, Any]:
        """The request; with the model's name in it, it is also what the reply is kept under."""
        fields: dict[str, Any] = {"temperature": 0, "max_tokens": self.params.judge_max_answer_tokens}
        if self.params.judge_form == "expected":
            fields |= {"max_tokens": 1, "logprobs": True, "top_logprobs": TOP_TOKENS}
        fields |= self.params.judge_options
        stated = {name: value for name, value in fields.items() if value is not None}
        return {"model": self.params.judge_model, "messages": question(messages, self.params, self._template), **stated}

    def _grade(self, reply: Reply | None) -> Grade | None:
        if reply is None:
            return None  # failed or over the budget, and counted as that
        if self.params.judge_form == "expected":
            grade = expected_grade(reply.first_token, self.params) if reply.first_token else None
        else:
            grade = read_grade(reply.text, self.params)
        self.counts["graded" if grade else "unparseable"] += 1
        if grade is None:
            self._last_gradeless = reply.text
        return grade

    def _asked(self, bodies: Mapping[str, dict[str, Any]]) -> dict[str, Reply]:
        """Key -> reply, for those that got one; each is kept as soon as it comes."""
        replies: dict[str, Reply] = {}
        for done, (key, reply) in enumerate(self._in_parallel(bodies), start=1):
            if reply is not None:
                self.kept.put({key: reply})
                replies[key] = reply
            self.workbench.progress(done, len(bodies), "questions", requests=self.endpoint.budget.requests)
        return replies

    def _in_parallel(self, bodies: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, Reply | None]]:
        """Asks in order with some questions under way at once; whatever ends it ends them all."""
        with ThreadPoolExecutor(self.params.judge_concurrency, thread_name_prefix="judge") as pool:
            under_way: dict[Future[Reply | None], str] = {}
            try:
                for key, body in bodies.items():
                    if len(under_way) >= 2 * self.params.judge_concurrency:
                        yield from self._finished(under_way)
                    under_way[pool.submit(self.endpoint.ask, body)] = key
                while under_way:
                    yield from self._finished(under_way)
            finally:
                self.endpoint.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
        self.endpoint.stop.clear()

    def _finished(self, under_way: dict[Future[Reply | None], str]) -> Iterator[tuple[str, Reply | None]]:
        done, _ = wait(under_way, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=lambda future: under_way[future]):
            yield under_way.pop(future), self._outcome(future)

    def _outcome(self, future: Future[Reply | None]) -> Reply | None:
        try:
            reply = future.result()
        except RequestFailed as error:
            self.counts["failed"] += 1
            self._failures_in_a_row, self._last_failure = self._failures_in_a_row + 1, str(error)
            if self._failures_in_a_row >= GIVE_UP_AFTER:
                raise self._unavailable() from error
            return None
        self._failures_in_a_row = 0
        self.counts["answered" if reply else "over_budget"] += 1
        return reply

    def finish(self) -> dict[str, int]:
        """What a receipt keeps. Raises ServiceUnavailable when the judge failed on too many rows, DataError when it replied
        to too many without a grade."""
        asked = self.counts["graded"] + self.counts["unparseable"] + self.counts["failed"]
        most = self.params.judge_max_failed_share * asked
        if self.counts["failed"] > most:
            raise self._unavailable()
        if self.counts["failed"] + self.counts["unparseable"] > most:
            raise self._gradeless()
        spent = {"requests": self.endpoint.budget.requests, "tokens": self.endpoint.budget.tokens}
        return {name: count for name, count in sorted((self.counts + Counter(spent)).items())}

    def _gradeless(self) -> DataError:
        """Asking again would find the same replies, which are kept."""
        return DataError(
            f"rate: {self.counts['unparseable']:,} replies of judge {self.params.judge_model} hold no grade from "
            f"{self.params.judge_lowest} to {self.params.judge_highest}, of {self.counts['graded']:,} that do; the last one: "
            f'"{self._last_gradeless[:SHOWN_CHARS]}"; mend judge_prompt, raise judge_max_answer_tokens if replies are cut off, '
            f"or raise judge_max_failed_share: replies are kept, and only what changed is asked again"
        )

    def _unavailable(self) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"the judge at {self.params.judge_endpoint} failed on {self.counts['failed']:,} rows, at last with: "
            f"{self._last_failure}; {self.counts['answered']:,} new replies are kept: run again, and only the others are asked"
        )


def _is_private() -> pl.Expr:
    """Whether `score` found something in the row that nobody outside may see."""
    return pl.any_horizontal(pl.col(name).fill_null(0) > 0 for name in PRIVATE)
