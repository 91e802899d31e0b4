"""Telephone numbers, cards and keys as they are written in many countries and tools, and what only looks like them."""

import polars as pl
import pytest

from stages.texts.private_data import KINDS, count_of, mask

KEY = "MIIEowIBAAKCAQEAx7" * 4
CARD = "4111 1111 1111 1111"


def found(text: str) -> dict[str, int]:
    counts = pl.select(count_of(kind, pl.lit(text)).alias(kind) for kind in KINDS).row(0, named=True)
    return {kind: count for kind, count in counts.items() if count}


BY_THEIR_FORM = """
+49 (0) 30 / 90 18 20 | 030/901820 | 0475/12.34.56 | 0664 1234567 | 020-1234567 | 06-12345678 | 030 901820 | 01711234567
0142685300 | 07700900123 | 01-42-68-53-00 | 079 123 45 67 | 08-123 456 78 | 070-123 45 67 | 06 1 123 4567 | 06-30-123-4567
8-495-123-45-67 | 8 800 555 35 35 | 89161234567 | (044) 123-45-67 | 0532 123 45 67 | (0212) 123 45 67 | 03-1234567
022-23456789 | 010-65529988 | 13800138000 | 03(1234)5678 | 0812-3456-7890 | (11) 91234-5678 | 11 91234-5678 | (55) 1234 5678
+49/30/901820 | +44.2079460018 | +1.2125550123 | +33142685300 | 0412345678 | 123-456-7890
"""
CALLED = """
Tél. : {} | Numéro de téléphone : {} | Appelez-moi au {} | Telefonnummer: {} | Handynummer: {} | Rufen Sie mich unter {} an
Móvil: {} | Llámame al {} | Telefono: {} | Cellulare: {} | Telefone: {} | Ligue para {} | Telefoonnummer: {} | Bel me op {}
Puhelin: {} | Tlf. {} | Ring mig på {} | Numer telefonu: {} | Telefonszám: {} | Cep telefonu: {} | Телефон: {} | Моб.: {}
联系方式：{} | 携帯：{} | 연락처: {} | נייד: {} | Số điện thoại: {} | Nomor telepon: {} | โทร. {} | Κινητό: {}
Reach me at {}. | Contact number: {} | Text me at {} | My number is {} | Ph. {} | phoneNumber: "{}" | contact_number={}
"""
NO_NUMBERS = [
    "ISBN 0142685300", "0123456789abcdef", '"0123456789"', "01 02 03 04 05", "05.12.2023 10:30", "05-12-2023 10:30",
    "0101 0101 0101", "matrix 010 101 010", "E = +1.60217663", "off by +0.123456", "rose by +12.345.678", "+1234567 units",
    "x + 12 345 678", "(10) 2010-2015", "mobile users: 5 000 000", "The phone costs 12 000 000", "1696508445123",
    "0644 755", "tell 12 of 1000",
]  # fmt: skip
CARDS = [
    f"{CARD} 12/27",
    f"{CARD} 123",
    "4111.1111.1111.1111",
    "4111  1111  1111  1111",
    "2200 1234 5678 9019",
    f"1. {CARD}",
]
SECRETS = [
    f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B\n\n{KEY}\n-----END RSA PRIVATE KEY-----",
    f"PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nPublic-Lines: 1\nAAAA\nPrivate-Lines: 1\n{KEY}\nPrivate-MAC: 0a1b",
    '"SecretAccessKey": "' + "aB3d" * 10 + '"',
    "sk-lf-" + "0a1b2c3d-" * 4 + "0a1b",
    "pcsk_" + "aB3d5" * 12,
    "SSWS 00" + "aB3d" * 10,
    "access_token$production$" + "0a1b" * 4 + "$" + "0a1b" * 8,
    "eyJhbGciOiJSU0EtT0FFUCJ9" + ".aB3dE5fG7hJ9" * 4,
]
PASSWORDS = ['"dbPassword": "Tr0ub4dor9"', "PGPASSWORD=Tr0ub4dor9", 'userPassword = "Tr0ub4dor9"']


def listed(lines: str) -> list[str]:
    return [form.strip() for line in lines.strip().splitlines() for form in line.split(" | ")]


@pytest.mark.parametrize(("forms", "text"), [(listed(BY_THEIR_FORM), "Take {} here."), (listed(BY_THEIR_FORM), "{}")])
def test_numbers_are_told_by_their_form(forms: list[str], text: str) -> None:
    assert [form for form in forms if found(text.format(form)) != {"phone": 1}] == []
    assert [form for form in forms if mask("phone", text.format(form)) != text.format("[PHONE]")] == []


@pytest.mark.parametrize("number", ["9123456784", "2345 6784"])
def test_any_number_is_one_where_a_word_says_so(number: str) -> None:
    assert [text for text in listed(CALLED) if found(text.format(number)) != {"phone": 1}] == []


def test_books_dates_bits_and_amounts_are_no_numbers() -> None:
    assert [text for text in NO_NUMBERS if found(text)] == []


def test_cards_are_told_whatever_follows_them() -> None:
    assert [text for text in CARDS if found(text) != {"card": 1}] == []
    assert found(f"{CARD} 1111 1111") == {}  # groups of a longer number
    assert found(f"4111111111111111 {CARD}") == {"card": 2}


def test_keys_are_told_in_the_files_of_tools() -> None:
    assert [text for text in SECRETS if found(text).get("secret") != 1] == []
    assert [text for text in PASSWORDS if found(text) != {"password": 1}] == []
