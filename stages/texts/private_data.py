"""Personal data and secrets in a text: found, counted, and replaced by a placeholder that names their kind.

What a pattern finds is checked where check digits or a registry allow it. An expression first picks the texts that may
hold any, so the patterns read only those.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any, NamedTuple

import polars as pl

from stages.texts.ascii_forms import all_in_ascii, in_ascii
from stages.texts.check_digits import IBAN_LENGTHS, is_card_number, is_iban
from stages.texts.conversation_text import read_where
from stages.texts.phone_numbers import MAY_HOLD_PHONE, PHONE, is_phone
from stages.texts.secret_formats import KEYS, PASSWORD, is_drawn_key, is_given_secret, may_hold_key, may_hold_password

# Patterns are read with re.ASCII, so that a value ends where Chinese or Japanese text goes on without a space.
_LETTER = r"A-Za-z0-9\u00C0-\u024F"  # what a name of a mailbox or domain has, with the accented letters of Latin
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"


def _iban_of(country: str, length: int) -> str:
    return rf"{country}[0-9]{{2}}(?:[ -]?[A-Z0-9]){{{length - 4}}}"


# First whole what only has the look of one: the user of an address of a service, or of a repository's copy.
EMAIL = (
    rf"\b[a-z][a-z0-9+.-]{{1,20}}://[^\s/@?#\"']{{0,200}}@[{_LETTER}.-]+"
    rf"|(?<![{_LETTER}_.+%-])[{_LETTER}][{_LETTER}_.+%-]{{0,63}}@(?:[{_LETTER}-]{{1,63}}\.)+[A-Za-z]{{2,24}}\b(?![.\w-]*:[\w~.-]*/)"
)
_NUMBERED = (
    r"version|ver|rev|revision|release|section|chapter|clause|build|firmware|ios|android|macos|kernel|driver|windows|python|java|jdk|jre|"
    r"php|ruby|perl|node\.?js|golang|npm|pip|cuda|cudnn|tensorflow|pytorch|numpy|pandas|chrome|chromium|firefox|safari|opera|sqlite|oracle|"
    r"openssl|unity|gcc|clang|cmake|photoshop|wordpress|django|sdk|framework|package|plugin|patch|(?:up|down)graded? (?:from|to)"
)
_NO_ADDRESS = (  # and read first: "release 1.2.3.4 and 1.2.3.5", "Chrome/90.0.1.2", "numpy==1.2.3.4"
    rf"(?i:\b(?:{_NUMBERED})s?(?: (?:is|was|number|no\.?|of))?)[ :=]{{1,2}}[\"'(]?[0-9.]+(?:(?:,| and| or| to| through) [0-9.]+)*"
    r"|[A-Za-z]/[0-9.]+|\w[<>=~!]=[0-9.]+"
)
IP = (
    rf"{_NO_ADDRESS}"
    rf"|(?<![\w.:-])(?:{_BYTE}(?:\.{_BYTE}){{3}}(?!\w|[./-][0-9]|-[a-z])"
    r"|(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,7}(?![\w:]|/[0-9]))"
)
# In one piece or in groups with one separator, of which only some issuers have a fifth. An expiry date or a check number
# may follow, another group of four may not.
CARD = (
    r"(?<![\w.-])(?:[2-689][0-9]{11,18}|(?<!(?<![0-9])[0-9]{4}[ -])(?=(62|5[0678]|6[37])?)[2-689][0-9]{3}([ .-]|  )"
    r"(?:[0-9]{4}\2[0-9]{4}\2[0-9]{1,7}(?(1)(?:\2[0-9]{1,3}(?!/))?)|[0-9]{6}\2[0-9]{4,5})(?![ -][0-9]{4}(?![0-9])))(?!\w|[.-][0-9])"
)
IBAN = rf"(?<![A-Za-z0-9])(?i:{'|'.join(_iban_of(*country) for country in IBAN_LENGTHS.items())})(?![A-Za-z0-9])"


def is_public_address(found: str) -> bool:
    """An address that others can reach, so none of a private network nor of the ranges for documentation (RFC 5737, 3849)."""
    try:
        address = ip_address(found)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


# Words for somebody at a domain that nobody can own (RFC 2606), and "your…" at any. A name there is still a name.
NOBODY = re.compile(
    r"(?i)(?:e?mail|user(?:name)?|name|you|me|someone|somebody|example|test|sample|info|(?:first)?name[._-]?(?:last)?name)[0-9]{0,3}"
    r"@(?:[a-z0-9-]+\.)*example\.(?:com|net|org)|your[a-z0-9._-]*@.*"
)


def is_email(found: str) -> bool:
    """No name of a file, such as logo@2x.png, no address of a service, and none that stands for an address."""
    if "://" in found or found.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp")):
        return False
    return not NOBODY.fullmatch(found)


class Kind(NamedTuple):
    """One kind of private data: what finds it, and what is true of a finding that is really one."""

    pattern: re.Pattern[str]
    may_hold: Callable[[pl.Expr], pl.Expr]  # true for every text with a finding and for few others
    holds: Callable[[str], bool] = bool
    in_digits: bool = False  # every finding has DIGITS in it

    def findings(self, text: str) -> Iterator[tuple[int, int]]:
        """Where each begins and ends."""
        for match in self.pattern.finditer(in_ascii(text)):
            group = match.lastgroup or 0  # the value alone, where the pattern also reads its name
            if self.holds(match.group(group)):
                yield match.span(group)


KINDS = {
    "email": Kind(re.compile(EMAIL, re.ASCII), lambda text: text.str.contains("@", literal=True), is_email),
    "phone": Kind(
        re.compile(PHONE, re.ASCII),
        lambda text: text.str.contains(MAY_HOLD_PHONE),
        is_phone,
        in_digits=True,
    ),
    "ip": Kind(
        re.compile(IP, re.ASCII),
        lambda text: text.str.contains(r"(?:[0-9]{1,3}\.){3}[0-9]|[23][0-9A-Fa-f]{3}:[0-9A-Fa-f]{0,4}:"),
        is_public_address,
        in_digits=True,
    ),
    "card": Kind(
        re.compile(CARD, re.ASCII),
        lambda text: text.str.contains(r"[2-689](?:[ .-]{0,2}[0-9]){11}"),
        is_card_number,
        in_digits=True,
    ),
    "iban": Kind(
        re.compile(IBAN, re.ASCII),
        lambda text: text.str.contains(r"(?i)(?-u:[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11})"),
        is_iban,
        in_digits=True,
    ),
    "secret": Kind(re.compile("|".join(KEYS.values()), re.ASCII), may_hold_key, is_drawn_key),
    "password": Kind(PASSWORD, may_hold_password, is_given_secret),
}
DIGITS = r"[0-9][ ().-]{0,2}[0-9]|[23][0-9A-Fa-f]{3}:"


def placeholder(kind: str) -> str:
    """What stands in a masked text, such as [EMAIL]."""
    return f"[{kind.upper()}]"


def count_of(kind: str, text: pl.Expr) -> pl.Expr:
    """How many findings of `kind` there are in each text; none in a null."""
    return _count(kind, text.map_batches(all_in_ascii, return_dtype=pl.String))


def counts_of(texts: pl.Series) -> dict[str, pl.Series]:
    """`count_of` each kind; the many texts without a number are looked at once for all kinds of numbers."""
    both = pl.DataFrame({"text": all_in_ascii(texts)}).with_columns(
        number=read_where(pl.col("text").str.contains(DIGITS), pl.col("text"))
    )
    columns = {kind: pl.col("number" if rule.in_digits else "text") for kind, rule in KINDS.items()}
    return both.select(_count(kind, text).alias(kind) for kind, text in columns.items()).to_dict()


def _count(kind: str, text: pl.Expr) -> pl.Expr:
    rule = KINDS[kind]
    held = pl.when(rule.may_hold(text)).then(text)
    counted = held.map_elements(lambda found: sum(1 for _ in rule.findings(found)), return_dtype=pl.Int64)
    return counted.fill_null(0)


def mask(kind: str, text: str) -> str:
    """`text` with a placeholder for each finding of `kind`."""
    parts, past = [], 0
    for start, end in KINDS[kind].findings(text):
        parts += [text[past:start], placeholder(kind)]
        past = end
    return "".join([*parts, text[past:]])


def mask_all(text: str) -> str:
    """`text` with a placeholder for each finding of any kind."""
    for kind in KINDS:
        text = mask(kind, text)
    return text


def masked(texts: pl.Series) -> pl.Series:
    """`mask_all` of each text; only those that may hold private data are read one by one."""
    may_hold = pl.any_horizontal(rule.may_hold(pl.col("text")) for rule in KINDS.values())
    places = all_in_ascii(texts).to_frame("text").select(may_hold.fill_null(value=False)).to_series().arg_true()
    return texts.clone().scatter(places, texts.gather(places).map_elements(mask_all, return_dtype=pl.String))


def mask_json(kind: str, text: str) -> str:
    """Like `mask` for a text that may be JSON, which it still is afterwards: a number becomes the placeholder's text."""
    try:
        value = json.loads(text)
    except ValueError:
        return mask(kind, text)
    masked = _masked_value(kind, value)
    return text if masked == value else json.dumps(masked, ensure_ascii=False)


def _with_masked_names(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """Of names that are alike afterwards all but the first are numbered, so that none is lost."""
    made: dict[str, Any] = {}
    numbers: Counter[str] = Counter()
    for name, part in value.items():
        alike = masked = mask(kind, name)
        while masked in made or (masked != name and masked in value):
            numbers[alike] += 1
            masked = f"{alike} {numbers[alike] + 1}"
        made[masked] = part
    return made


def _masked_value(kind: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _with_masked_names(kind, {name: _masked_value(kind, part) for name, part in value.items()})
    if isinstance(value, list):
        return [_masked_value(kind, part) for part in value]
    if isinstance(value, str):
        return mask_json(kind, value) if value.lstrip()[:1] in ("{", "[") else mask(kind, value)
    if isinstance(value, int) and not isinstance(value, bool) and mask(kind, str(value)) != str(value):
        return placeholder(kind)
    return value
