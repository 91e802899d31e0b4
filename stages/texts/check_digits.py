"""The check digits of payment card numbers and of international bank account numbers."""

import re

# Lengths that a card number may have, by its first digits (issuer ranges of ISO/IEC 7812).
CARD_LENGTHS = (
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|8[12]|9792"), (16,)),
    (re.compile(r"220[0-4]"), (16, 17, 18, 19)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"30[0-5]|3[689]"), (14, 16, 19)),
    (re.compile(r"35(?:2[89]|[3-8])"), (16, 19)),
    (re.compile(r"6(?:011|4[4-9]|5|2|0|3|7)|5[0678]"), (16, 17, 18, 19)),
)
# Characters of an IBAN by country (SWIFT IBAN registry, release 99).
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip

MIN_DIGITS = 12  # of an IBAN in lower case, where words in a row have the look of one


def is_card_number(text: str) -> bool:
    """Whether the digits of `text` are a card number of a known issuer range whose last digit is right (Luhn)."""
    digits = re.sub(r"[^0-9]", "", text)
    lengths = {length for prefix, lengths in CARD_LENGTHS if prefix.match(digits) for length in lengths}
    return len(digits) in lengths and len(set(digits)) > 1 and _luhn_sum(digits) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether `text` is an IBAN of its country's length whose number leaves 1 when divided by 97 (ISO 13616)."""
    code = text.replace(" ", "").replace("-", "").upper()
    if IBAN_LENGTHS.get(code[:2]) != len(code):
        return False
    if text != text.upper() and sum(map(str.isdigit, text)) < MIN_DIGITS:
        return False
    return int("".join(str(int(character, 36)) for character in code[4:] + code[:4])) % 97 == 1


def _luhn_sum(digits: str) -> int:
    """The sum of the digits, every second from the right doubled and its own digits added (ISO/IEC 7812-1)."""
    plain, doubled = digits[::-1][::2], digits[::-1][1::2]
    return sum(map(int, plain)) + sum(sum(divmod(2 * int(digit), 10)) for digit in doubled)
