"""Checks the sums that an answer does: `3 + 4 = 8` does not hold.

Only plain equations between numbers are read, and only whole ones: a variable, a bracket, a fraction or a unit beside
them leaves them out, and so does a question that states the same equation.
"""

import polars as pl

_NUMBER = r"[$€£]?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]*|0)(?:\.[0-9]+)?"
_OPERATOR = r"[ \t]*[-+*/×÷x][ \t]*"
# Nothing of a longer formula before it ("y - 3 + 4 = 8", "5:30 + 2", "(1/2) 3 + 4", "1 1/2 * 60"), nor behind it ("= 1/312", "= 8x").
EQUATION = (
    rf"(?m)(?:^|^[ \t]*[0-9]{{1,3}}\)[ \t]+|[^\s0-9)+*×÷/^=<>√·−–x-]\s+|[(>;（]|<<)({_NUMBER}(?:{_OPERATOR}{_NUMBER})+[ \t]*=[ \t]*[$€£]?-?{_NUMBER})"
    r"(?:[^\w.,:/%^*×÷(=+\s-]|[.,:)]?\s*$|[.,:;)]\s|\s+[^\s0-9+*/×÷^=%(x-])"
)
MAY_HOLD = r"[0-9]\s*=\s*[$€£]?-?[0-9]"
PART = rf"{_NUMBER}|[-+*/×÷x]"
# "25 / 1/3" divides by a third for some and twice for others; "24 1/2 = 12" and "a 1/2 = 7" take a half of something.
AMBIGUOUS = r"[/÷][^+]*[0-9]/[0-9]|^[0-9]/[0-9]{1,2}\s*="
SMALL = 1e-9  # of the result: what floating point loses
# "100 * 0.75 = $0.75", "5 * 3 = $15,000" and "30 + 30 = 1 hour" are right in another unit: metric, money, time, dozens.
UNIT_STEPS = (7, 12, 24, 60, 100, 1000, 3600, 1_000_000)
_CURRENCY = r"[$€£]"


def wrong_equation(prompt: pl.Series, answers: pl.Series) -> pl.Series:
    """The first equation of each answer that does not hold; null where there is none."""
    texts = pl.DataFrame({"prompt": prompt, "answer": answers}).with_row_index("row")
    stated = (
        texts.filter(pl.col("answer").str.contains("=", literal=True))
        .filter(pl.col("answer").str.contains(MAY_HOLD))
        .with_columns(equation=pl.col("answer").str.extract_all(EQUATION))
        .explode("equation")
        .drop_nulls("equation")
        .with_columns(
            pl.col("equation").str.extract(EQUATION, 1), has_unit=pl.col("equation").str.contains(r"[0-9]\s+\pL$")
        )
        .filter(
            ~pl.col("prompt").str.contains(pl.col("equation"), literal=True),
            ~pl.col("equation").str.contains(AMBIGUOUS),
        )
        .with_row_index("number")
    )
    wrong = stated.join(_differences(stated), on="number").filter(pl.col("is_wrong"))
    first = wrong.sort("number").group_by("row", maintain_order=True).agg(pl.col("equation").first())
    return texts.select("row").join(first, on="row", how="left", maintain_order="left")["equation"]


def _differences(stated: pl.DataFrame) -> pl.DataFrame:
    """number -> is_wrong: whether the two sides differ by more than the result was rounded to, and by no unit."""
    in_money = [pl.col("equation").str.contains(side) for side in (rf"{_CURRENCY}.*=", rf"=\s*{_CURRENCY}")]
    sides = stated.select(
        "number",
        may_change_unit=pl.col("has_unit") | (in_money[0] != in_money[1]),
        left=pl.col("equation").str.extract(r"^(.*)=", 1),
        right=pl.col("equation").str.extract(r"=\s*(.*)$", 1).str.replace_all(r"[$€£,\s]", ""),
    )
    rounded = sides.select(
        "number",
        "left",
        "may_change_unit",
        result=pl.col("right").cast(pl.Float64),
        unit=(0.1 ** pl.col("right").str.extract(r"\.([0-9]+)$", 1).str.len_chars().fill_null(0).cast(pl.Float64)),
        is_exact=~pl.col("left").str.contains(r"[/÷.]"),
    )
    found = rounded.join(_values(sides), on="number")
    difference = (pl.col("value") - pl.col("result")).abs()
    allowed = pl.when("is_exact").then(pl.col("value").abs() * SMALL).otherwise(pl.col("unit") * (1 - 1e-6))
    ratio = pl.max_horizontal(pl.col("value") / pl.col("result"), pl.col("result") / pl.col("value"))
    changes_unit = pl.any_horizontal((ratio / step - 1).abs() <= SMALL for step in UNIT_STEPS)
    # A number divided by nothing has no value, so it is not wrong either.
    is_wrong = (difference > allowed) & pl.col("value").is_finite()
    return found.select("number", is_wrong=is_wrong & ~(pl.col("may_change_unit") & changes_unit))


def _values(sides: pl.DataFrame) -> pl.DataFrame:
    """number -> value of the left side: products first, then their sum."""
    parts = sides.select("number", part=pl.col("left").str.extract_all(PART)).explode("part")
    operator = pl.col("part").str.contains(r"^[-+*/×÷x]$")
    numbers = parts.with_columns(
        before=pl.when(pl.col("part").shift().str.contains(r"^[-+*/×÷x]$"))
        .then(pl.col("part").shift())
        .otherwise(pl.lit("+"))
        .over("number"),
    ).filter(~operator)
    amount = pl.col("part").str.replace_all(r"[$€£,]", "").cast(pl.Float64)
    terms = numbers.select(
        "number",
        sign=pl.when(pl.col("before") == "-").then(-1.0).otherwise(1.0),
        factor=pl.when(pl.col("before").is_in(["/", "÷"])).then(1 / amount).otherwise(amount),
        term=pl.col("before").is_in(["+", "-"]).cum_sum().over("number"),
    )
    products = terms.group_by("number", "term").agg(product=pl.col("factor").product() * pl.col("sign").first())
    return products.group_by("number").agg(value=pl.col("product").sum())
