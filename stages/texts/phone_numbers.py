"""How telephone numbers are written, as Python regular expressions to be read with re.ASCII."""

import re
from itertools import pairwise

# Words that announce a number, so that any number of digits enough is one. re.ASCII folds the case of ASCII alone.
_CALLED = (
    r"t[eé]l(?:[eé](?:ph|f)[oóô]n?[a-zóôàńłá]{0,10}|epon|em[oó]vel|no|nr)?|phone[ _-]?(?:numbers?|no|nr|num)?|mobil(?:e|nummer|telefon|nr)?|mobiel|m[oó]vil|mob|cell?(?:phone|ulare?)?|fax|"
    r"call|dial|sms|text me|ph|tlf|hotline|whatsapp|handy(?:nummer)?|rufnummer|portable|puhelin(?:numero)?|kom[oó]rka|hubungi|no[.] hp|"
    r"contact(?:[ _](?:me|us|number|no))?|reach (?:me|us|him|her|them)|ring (?:me|us|mig|meg)|(?:mich|uns) unter|appele[rz](?:-moi|-nous)?|ll[aá]m[ae]\w*|chiama\w*|ligue|bel (?:me|mij|ons)|"
    r"(?:my|mon|mi|mein|meine|il mio|o meu|mijn|m[oó]j) (?:number|num[eé]ro|n[uú]mero|nummer|numer)"
)
_CALLED_ELSEWHERE = (
    r"(?=[^\x00-\x7f])(?:电话|電話|手机|手機|联系方式|聯絡方式|热线|熱線|携帯|전화|연락처|휴대폰|핸드폰|[Тт]ел(?:ефон[а-яіу]{0,3})?|[Мм]об(?:ильн[а-я]{0,3})?|[Зз]вон[а-я]{1,4}|"
    r"[Ττ]ηλ(?:έφωνο)?|[Κκ]ινητό|هاتف|جوال|موبايل|تليفون|واتساب|تلفن|موبایل|טלפון|נייד|फ़ोन|फोन|मोबाइल|"
    "[Đđ]iện thoại|ĐT|โทร(?:ศัพท์)?)|SĐT|T[ÉÈ]L[ÉÈ]PHONE|TEL[ÉE]FONO"
)
_END = r"(?![\w/%:]|[.,-][0-9]|-[A-Za-z])"
_GROUPS_END = rf"(?![ ./-][0-9]){_END}"
# With a country code, as in +49 (0)30 / 90 18 20 and 0049 30 901820; +1.60217663, +0.5 and +12.345.678 are amounts.
_WITH_CODE = (
    r"(?:\+|(?<![\w)\]] )\+ )(?!0|[2-9][.][0-9]+(?![0-9. -])|1[.](?![2-9][0-9]{2}(?:[0-9]{7}(?![0-9])|[.-]))|[0-9]{1,2}[.][0-9]{3}[.][0-9]{3}(?![0-9 .-]))"
    r"[0-9]{1,3}[ ./-]?(?:\([0-9]{1,4}\)[ .-]?(?:/ ?)?)?[0-9]{1,5}(?:(?:[ .-]?| / |/)[0-9]{2,5}){1,4}",
    r"(?<![0-9A-Z][ -])00 ?[1-9][0-9]{0,2}(?:[ .-][0-9]{1,5})(?:[ .-][0-9]{2,7}){1,5}",
)
_NORTH_AMERICA = (
    r"(?:1[ .-])?(?:\([0-9]{3}\)[ -]?|[0-9]{3}[.-])[0-9]{3}[ .-][0-9]{4}",
    r"(?<![0-9A-Z][ -])[2-9][0-9]{2} [2-9][0-9]{2} [0-9]{4}(?! [0-9])",
)
# A trunk 0, an area, and one number or groups of it: 9 to 11 digits in all, so no date.
_WITH_TRUNK = (
    r"(?<![0-9A-Z][ -])(?=0(?:[ ./-]?[0-9]){8,10}(?![0-9]))0[1-9][0-9]{0,4}(?:[ /-][0-9]{6,8}|[ ./-][0-9]{2,4}([ .-])(?:[0-9]{2,4}\1){0,3}[0-9]{2,4}"
    rf"|[ -][0-9](?:[ -][0-9]{{3,4}}){{2}}){_GROUPS_END}",
    rf"0[1-9](?:[ .-][0-9]{{2}}){{4}}{_GROUPS_END}",
    rf"(?<![0-9A-Z][ -])08[0-9]{{2}}([ -])[0-9]{{4}}\2[0-9]{{4}}{_GROUPS_END}",
    r"0[1-9][0-9]{8,9}(?![0-9])",
    r"\(0[0-9]{1,4}\) ?[0-9]{2,4}[ -]?[0-9]{2,4}(?:[ -][0-9]{2,4})?",
    r"0[1-9][0-9]{0,3}\([0-9]{1,4}\)[0-9]{4}",
)
_ELSEWHERE = (
    r"[78] ?\([0-9]{3,5}\) ?[0-9]{1,3}-[0-9]{2}-[0-9]{2}",  # Russia
    r"(?<![0-9A-Z][ -])[78][ -][0-9]{3}[ -][0-9]{3}[ -][0-9]{2}[ -][0-9]{2}(?![ -]?[0-9])",
    r"89[0-9]{9}(?![0-9])",
    r"1[3-9][0-9][ -][0-9]{4}[ -][0-9]{4}|1[3-9][0-9]{9}(?![0-9])",  # China
    r"(?:\([1-9][0-9]\) ?|(?<![0-9A-Z][ -])[1-9][0-9] (?=9))(?!(?:1[5-9]|20)[0-9]{2}[ -])9?[0-9]{4}[ -][0-9]{4}",  # Brazil, Mexico
)
_BY_FORM = "|".join((*_WITH_CODE, *_NORTH_AMERICA, *_WITH_TRUNK, *_ELSEWHERE))
# First whole what only has the look of one.
PHONE = (
    rf"(?i:(?=[iedua])\b(?:isbn|issn|ean|upc|doi|arxiv)\b)[^0-9\n]{{0,12}}[0-9][0-9X -]{{7,20}}|(?=[+(0-9])(?<![\w.+/-])(?:{_BY_FORM}){_END}"
    rf"|(?:(?i:(?=[abcdfhklmnoprstuw])(?<![a-z])(?:{_CALLED})(?![a-z]))|{_CALLED_ELSEWHERE})[^0-9\n+]{{0,12}}?(?P<value>\+?\(?[0-9](?:[ ()./-]{{0,2}}[0-9]){{6,14}})(?![\w/%]|[.,-][0-9])"
)
MAY_HOLD_PHONE = r"[0-9](?:[ ()./-]{0,3}[0-9]){6}"  # true of every text with one
_EVERY_DIGIT = ("0123456789", "01234567890", "0987654321", "09876543210")


def is_phone(found: str) -> bool:
    """No number of a book, no amount such as 12 000 000, no bits, and none that counts up."""
    digits, groups = re.sub(r"\D", "", found), re.findall(r"[0-9]+", found)
    counts_up = len(groups) > 2 and all(int(after) - int(before) == 1 for before, after in pairwise(groups))
    is_amount = digits.endswith("000000") or found[:1].isalpha()
    few = 8 if found.startswith("+") else 7
    is_every_digit = found in _EVERY_DIGIT
    return few <= len(digits) <= 15 and len(set(digits)) > 2 and not (counts_up or is_amount or is_every_digit)
