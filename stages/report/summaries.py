"""Small tables that stages sum their work up in, shown as they are: the schema says what each column means."""

from typing import NamedTuple

from stages.pages.formats import cell, percent
from stages.schema import Column, load_schema
from stages.store.queries import Tables, count_rows, fetch

ROWS_SHOWN = 60
LEFT_OUT = ("sha256",)


class Summary(NamedTuple):
    """What each row is about and then its columns, with their meanings; the rows as text; how many are not shown."""

    title: str
    columns: list[tuple[str, str]]
    rows: list[list[str]]
    more_rows: int


def summary_of(tables: Tables, dataset: str) -> Summary | None:
    """None where the table was not given or is empty. Columns without a single value are left out."""
    if dataset not in tables:
        return None
    schema = load_schema(dataset)
    count = count_rows(tables[dataset])
    table = fetch(tables[dataset].head(ROWS_SHOWN))
    about = [name for name in schema.key if name not in LEFT_OUT]
    told = [
        c for c in schema.columns if c.name not in {*about, *LEFT_OUT} and table[c.name].null_count() < table.height
    ]
    if not told:
        return None
    rows = [
        [
            " · ".join(cell(row[name] or "none given") for name in about),
            *(_shown(column, row[column.name]) for column in told),
        ]
        for row in table.to_dicts()
    ]
    columns = [(" and ".join(about), ""), *((column.name, column.description) for column in told)]
    return Summary(schema.title, columns, rows, count - len(rows))


def _shown(column: Column, value: object) -> str:
    is_share = (column.unit or "").startswith("share") and isinstance(value, float)
    return percent(value) if is_share and isinstance(value, float) else cell(value)
