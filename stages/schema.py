"""Reads schemas/*.yaml, the catalogue of every dataset that flows, and holds tables to it."""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import yaml

from stages.errors import DataError, UsageError

FOLDER = Path(__file__).resolve().parent.parent / "schemas"
SHOWN = 5  # offending rows named in a message

SIMPLE_TYPES: dict[str, pl.DataType] = {
    "string": pl.String(),
    "int8": pl.Int8(),
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "float32": pl.Float32(),
    "float64": pl.Float64(),
    "boolean": pl.Boolean(),
}


class Column(NamedTuple):
    """One column of a dataset. A nullable column, or one with a default, may be missing from a file given by hand."""

    name: str
    type: str
    description: str = ""
    nullable: bool = False
    unit: str | None = None
    values: tuple[Any, ...] = ()
    default: Any = None

    @property
    def dtype(self) -> pl.DataType:
        return parse_type(self.type)

    @property
    def may_be_missing(self) -> bool:
        return self.nullable or self.default is not None


class Check(NamedTuple):
    """A rule over the columns, in Polars SQL; it holds for a row where it is true."""

    name: str
    sql: str
    why: str


class Schema(NamedTuple):
    """The contract of one dataset."""

    name: str
    title: str
    kind: str  # table | files | model
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    checks: tuple[Check, ...]

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        return {column.name: column.dtype for column in self.columns}

    @property
    def digest(self) -> str:
        """Changes when data that was valid may no longer be, or the reverse; not when a description is mended."""
        rules = [(c.name, c.type, c.nullable, c.values, c.default) for c in self.columns]
        text = json.dumps([self.name, self.kind, self.key, rules, [c[:2] for c in self.checks]], default=list)
        return hashlib.sha256(text.encode()).hexdigest()

    def empty(self) -> pl.DataFrame:
        """A table of this schema with no rows."""
        return pl.DataFrame(schema=self.dtypes)


def parse_type(text: str) -> pl.DataType:
    """The Polars type that a schema's type text means, such as `list<struct<role: string>>`."""
    text = text.strip()
    if text in SIMPLE_TYPES:
        return SIMPLE_TYPES[text]
    if match := re.fullmatch(r"list<(.+)>", text):
        return pl.List(parse_type(match[1]))
    if match := re.fullmatch(r"struct<(.+)>", text):
        fields = [field.split(":", 1) for field in _split_fields(match[1])]
        return pl.Struct({name.strip(): parse_type(type_) for name, type_ in fields})
    raise UsageError(f"schemas: unknown type {text!r}; use one of {sorted(SIMPLE_TYPES)}, list<…> or struct<name: …>")


def _split_fields(text: str) -> list[str]:
    """The parts between commas that stand outside any `<…>`."""
    parts, depth = [""], 0
    for char in text:
        depth += {"<": 1, ">": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts


@cache
def load_schema(name: str) -> Schema:
    """The schema of one dataset, with what it inherits through `extends`."""
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        raise UsageError(f"no schema describes a dataset {name!r}; the datasets are {', '.join(schema_names())}")
    # Every process reads some schemas, and the loader in C takes a tenth of the time.
    return _build(name, yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader))


def schema_names() -> list[str]:
    """The names of all datasets in the catalogue."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def _build(name: str, stated: Mapping[str, Any]) -> Schema:
    parent = load_schema(stated["extends"]) if "extends" in stated else None
    columns = {column.name: column for column in (parent.columns if parent else ())}
    for column, facts in (stated.get("columns") or {}).items():
        columns[column] = Column(column, **{**facts, "values": tuple(facts.get("values", ()))})
    checks = {check.name: check for check in (parent.checks if parent else ())}
    checks |= {check: Check(check, **facts) for check, facts in (stated.get("checks") or {}).items()}
    key = tuple(stated.get("key") or (parent.key if parent else ()))
    return Schema(
        name, stated["title"], stated["kind"], stated["grain"], key, tuple(columns.values()), tuple(checks.values())
    )


def conform(table: pl.LazyFrame, schema: Schema, where: str) -> pl.LazyFrame:
    """`table` with the schema's columns in order and of its types; what may be missing is filled in.

    Raises DataError for columns that are missing or unknown, naming them all.
    """
    found = table.collect_schema()
    known = schema.dtypes
    missing = [c.name for c in schema.columns if c.name not in found and not c.may_be_missing]
    unknown = [name for name in found.names() if name not in known]
    problems = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown columns {', '.join(unknown)}"] * bool(
        unknown
    )
    if problems:
        raise DataError(
            f"{where}: not a table of {schema.name}: it {' and '.join(problems)}; its columns are {', '.join(known)} "
            f"(python -m stages describe {schema.name})"
        )
    return table.select(_shaped(column, found.get(column.name)) for column in schema.columns)


def _shaped(column: Column, found: pl.DataType | None) -> pl.Expr:
    if found is None:
        return pl.lit(column.default, dtype=column.dtype).alias(column.name)
    if isinstance(column.dtype, pl.List) and isinstance(column.dtype.inner, pl.Struct) and isinstance(found, pl.List):
        return _shaped_structs(column, found)
    value = pl.col(column.name).cast(column.dtype)
    return value if column.default is None else value.fill_null(column.default)


def _shaped_structs(column: Column, found: pl.List) -> pl.Expr:
    """A list of structs with exactly the schema's fields: those missing become null, the rest keep their value."""
    wanted = column.dtype
    if found == wanted or not (isinstance(wanted, pl.List) and isinstance(wanted.inner, pl.Struct)):
        return pl.col(column.name)
    present = {field.name for field in found.inner.fields} if isinstance(found.inner, pl.Struct) else set()
    fields = [
        (pl.element().struct.field(field.name) if field.name in present else pl.lit(None))
        .cast(field.dtype)
        .alias(field.name)
        for field in wanted.inner.fields
    ]
    return pl.col(column.name).list.eval(pl.struct(fields)).cast(wanted)


def check_table(table: pl.DataFrame, schema: Schema, where: str) -> None:
    """Raises DataError when `table` breaks its schema, with every broken rule, how often, and the first offenders."""
    if list(table.schema.items()) != list(schema.dtypes.items()):
        raise DataError(
            f"{where}: columns differ from schemas/{schema.name}.yaml: {_column_differences(table, schema)}"
        )
    if not table.height:
        return
    rules = _rules(schema)
    with_fields = table.with_columns(_field_lists(table, rules))
    broken = with_fields.select(
        rule.fill_null(False).not_().sum().alias(name) for name, (rule, _) in rules.items()
    ).row(0)
    failures = [_failure(with_fields, schema, name, count) for name, count in zip(rules, broken, strict=True) if count]
    if failures:
        raise DataError(f"{where} breaks schemas/{schema.name}.yaml: " + "; ".join(failures))


def _column_differences(table: pl.DataFrame, schema: Schema) -> str:
    found, known = table.schema, schema.dtypes
    told = [
        f"{name} is {found.get(name, 'missing')} and should be {t}" for name, t in known.items() if found.get(name) != t
    ]
    told += [f"{name} is unknown" for name in found if name not in known]
    return "; ".join(told) or f"their order is {', '.join(found)} and should be {', '.join(known)}"


def _rules(schema: Schema) -> dict[str, tuple[pl.Expr, str]]:
    """Name -> (expression that is true where the rule holds, why), for stated and implied rules."""
    implied: dict[str, tuple[pl.Expr, str]] = {}
    for column in schema.columns:
        if not column.nullable:
            implied[f"{column.name}_is_given"] = (pl.col(column.name).is_not_null(), f"{column.name} is never null")
        if column.values:
            implied[f"{column.name}_is_known"] = (_is_known(column), f"{column.name} is one of {list(column.values)}")
    return implied | {check.name: (pl.sql_expr(check.sql), check.why) for check in schema.checks}


def _is_known(column: Column) -> pl.Expr:
    value = pl.col(column.name)
    if isinstance(column.dtype, pl.List):  # of whole numbers without a gap: two bounds say it, and cost nothing
        lowest, highest = min(column.values), max(column.values)
        return value.list.min().is_between(lowest, highest) & value.list.max().is_between(lowest, highest)
    return value.is_in(list(column.values)) | (value.is_null() & pl.lit(value=column.nullable))


def _field_lists(table: pl.DataFrame, rules: Mapping[str, tuple[pl.Expr, str]]) -> list[pl.Series]:
    """`<column>_<field>` for each list of structs, so that a check can say `messages_role`; only those some rule names."""
    wanted = {name for rule, _ in rules.values() for name in rule.meta.root_names()}
    return [
        _field_of_each(table[name], field.name).alias(f"{name}_{field.name}")
        for name, dtype in table.schema.items()
        if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct)
        for field in dtype.inner.fields
        if f"{name}_{field.name}" in wanted
    ]


def _field_of_each(structs: pl.Series, field: str) -> pl.Series:
    """One field of each struct in a column of lists, as a column of lists; shares memory with `structs`."""
    from pyarrow import LargeListArray  # 20 MiB, of which a stage without such rows has no use

    # list.eval needs 20 s for a million rows here, re-wrapping the Arrow child needs none.
    lists = structs.rechunk().to_arrow()
    return pl.Series(
        LargeListArray.from_arrays(
            lists.offsets, lists.values.field(field), mask=lists.is_null() if lists.null_count else None
        )
    )


def _failure(table: pl.DataFrame, schema: Schema, name: str, count: int) -> str:
    rule, why = _rules(schema)[name]
    first = table.filter(rule.fill_null(False).not_()).select(schema.key).head(SHOWN)
    named = ", ".join(" ".join(str(value) for value in row) for row in first.rows())
    return f"check {name} fails for {count:,} of {table.height:,} rows (first: {named}): {why}"
