"""What was asked of the mixture and could not be given, in words, and what is repeated."""

from collections.abc import Iterator

import polars as pl

from stages.mix.stage import MixParams

TOLD_SHARE = 0.01  # a share that is nearer than this to what was asked for is told nowhere
SHOWN = 5


def shortfalls(trained: pl.DataFrame, requested: dict[tuple[str, str], float], params: MixParams) -> list[str]:
    """Lines for people, from source, task, chars, repeats, reason (of repeats of 0) of the rows for training.

    `requested` has the share that was asked for by part and name.
    """
    rows = trained.with_columns(part=pl.col(params.part).fill_null(""))
    documents = pl.col("reason") == "over_replay_share"
    shared = rows.filter(pl.col("reason") == "over_share")  # among which parts have their shares
    return [
        *_nothing(rows),
        *_selection(rows, params),
        *_quotas(shared, params),
        *_short_epoch(shared, params),
        *_shares(rows.filter(~documents), requested, params),
        *_replay(rows.filter(documents), rows.filter(~documents), params),
        *_repeated(rows),
    ]


def _nothing(rows: pl.DataFrame) -> Iterator[str]:
    if not rows["repeats"].sum():
        yield f"nothing is left to train on: {rows.height:,} rows are not held out, and none of them is taken"


def _selection(rows: pl.DataFrame, params: MixParams) -> Iterator[str]:
    there = rows.filter(pl.col("reason") != "over_replay_share").height
    chosen = rows.filter(pl.col("reason") == "over_share").height
    if params.select_rows and chosen < params.select_rows:
        allowed = "all are chosen" if chosen == there else f"shares and max_seen leave {chosen:,}"
        yield f"select_rows asks for {params.select_rows:,} rows, and {there:,} are there: {allowed}"


def _quotas(rows: pl.DataFrame, params: MixParams) -> Iterator[str]:
    if not params.shares_decide:
        return
    there, seen = (dict(rows.group_by("part").agg(of).rows()) for of in (pl.len(), pl.col("repeats").sum()))
    for name, least in sorted(params.min_seen.items()):
        if seen.get(name, 0) < least:
            yield (
                f"min_seen of {name} asks for {least:,} rows of an epoch, and {seen.get(name, 0):,} are seen: there are "
                f"{there.get(name, 0):,} rows, each seen {params.max_repeats} times at most (max_repeats)"
            )
    total = sum(seen.values())
    if params.epoch_rows and total != params.epoch_rows:
        bounds = "max_repeats and max_seen allow no more" if total < params.epoch_rows else "min_seen asks for more"
        yield f"epoch_rows asks for {params.epoch_rows:,} rows, and {total:,} are seen: {bounds}"


def _short_epoch(rows: pl.DataFrame, params: MixParams) -> Iterator[str]:
    """A part too small for its share makes the whole epoch small, where nobody said how long it has to be."""
    if params.epoch_rows or not params.shares_given:
        return
    parts = rows.group_by("part").agg(there=pl.len(), seen=pl.col("repeats").sum()).sort("there", "part").to_dicts()
    there = sum(min(part["there"], params.max_seen.get(part["part"], part["there"])) for part in parts)
    seen = sum(part["seen"] for part in parts)
    full = [part for part in parts if 0 < part["seen"] == part["there"] * params.max_repeats]
    if full and seen < (1 - TOLD_SHARE) * there:
        yield (
            f"an epoch has {seen:,} rows where {there:,} are there: for the share of {full[0]['part']!r} there are "
            f"{full[0]['there']:,}, each seen {params.max_repeats} times at most (max_repeats); set epoch_rows for more"
        )


def _shares(rows: pl.DataFrame, requested: dict[tuple[str, str], float], params: MixParams) -> Iterator[str]:
    total = rows["repeats"].sum() if params.shares_given else 0
    for name, seen in rows.group_by("part").agg(pl.col("repeats").sum()).sort("part").rows():
        asked = requested.get((params.part, name))
        if total and asked is not None and abs(seen / total - asked) > TOLD_SHARE:
            yield f"{name!r} has {seen / total:.1%} of the rows of an epoch where {asked:.1%} was asked for"


def _replay(documents: pl.DataFrame, others: pl.DataFrame, params: MixParams) -> Iterator[str]:
    size = pl.lit(1) if params.replay_of == "rows" else pl.col("chars")
    replayed, rest = (part.select((size * pl.col("repeats")).sum()).item() for part in (documents, others))
    share = replayed / (replayed + rest) if replayed + rest else 0.0
    if params.replay_share and params.replay_share - share > TOLD_SHARE:
        held = f", each seen {params.max_repeats} times at most (max_repeats)" if documents.height else ""
        yield (
            f"replay_share asks for {params.replay_share:.1%} of the {params.replay_of} of an epoch, and plain documents "
            f"have {share:.1%}: there are {documents.height:,}{held}"
        )


def _repeated(rows: pl.DataFrame) -> Iterator[str]:
    epochs = rows.group_by("part").agg(epochs=pl.col("repeats").sum() / pl.len()).filter(pl.col("epochs") > 1)
    shown = epochs.sort(-pl.col("epochs"), "part").head(SHOWN).rows()
    if shown:
        more = f", and {epochs.height - SHOWN:,} more" if epochs.height > SHOWN else ""
        yield f"epochs in one epoch of the mixture: {', '.join(f'{name!r} {of:.2f}' for name, of in shown)}{more}"
