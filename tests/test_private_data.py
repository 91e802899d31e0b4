"""Personal data and secrets: what is found, what is not, and what a text looks like when it is masked."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rows import conversation, table
from stages.filter.masking import POLICY_OF
from stages.filter.stage import FilterParams
from stages.filter.transform import transform
from stages.score.stage import ScoreParams
from stages.score.transform import transform as score
from stages.texts.check_digits import is_card_number, is_iban
from stages.texts.private_data import KINDS, count_of, mask, mask_json

KEEP_ALL = dict.fromkeys(POLICY_OF.values(), "keep")
KEY = "sk-" + "a1B2" * 8
DRAWN = "aB3dE5fG7hJ9kL1mN3pQ5rS7"
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEAx7" * 4 + "\n-----END RSA PRIVATE KEY-----"


def found(text: str) -> dict[str, int]:
    counts = pl.select(count_of(kind, pl.lit(text)).alias(kind) for kind in KINDS).row(0, named=True)
    return {kind: count for kind, count in counts.items() if count}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Write to jane.doe+bell@mail.tessmere.example, please.", "email"),
        ("Call +44 20 7946 0958 now", "phone"),
        ("(555) 123-4567", "phone"),
        ("555-123-4567", "phone"),
        ("Tel: 030 1234567", "phone"),
        ("030/1234567", "phone"),
        ("电话：13812345678", "phone"),
        ("06 12 34 56 78", "phone"),
        ("from 8.8.8.8 on", "ip"),
        ("请写信到jane@mail.tessmere.example给我", "email"),
        ("mailto:jürgen@bücher.example", "email"),
        ("请拨打138 1234 5678联系", "phone"),
        ("0049 170 1234567", "phone"),
        ("03-1234-5678", "phone"),
        ("8 (495) 123-45-67", "phone"),
        ("服务器是93.184.216.34，", "ip"),
        ("2606:4700:85a3:0000:0000:8a2e:0370:7334", "ip"),
        ("卡号4111111111111111。", "card"),
        ("账号DE89370400440532013000。", "iban"),
        ("密钥AKIAIOSFODNN7EXAMPLE是", "secret"),
        ("密码：Tr0ub4dor9。", "password"),
        ("Passwort: Tr0ub4dor9", "password"),
        ("at 93.184.216.34:8080", "ip"),
        ("(02) 1234 5678", "phone"),
        ("020 7946 0958", "phone"),
        ("The password is Tr0ub4dor&3.", "password"),
        ("at 2001:4860:4860::8888", "ip"),
        ("4111 1111 1111 1111", "card"),
        ("5500-0055-5555-5559", "card"),
        ("378282246310005", "card"),
        ("DE89 3704 0044 0532 0130 00", "iban"),
        ("GB82WEST12345698765432", "iban"),
        ("to gb82west12345698765432 please", "iban"),
        ("de89 3704 0044 0532 0130 00 bitte", "iban"),
        ("BE68 5390 0754 7034 PAID BACK", "iban"),
        ("DE89-3704-0044-0532-0130-00", "iban"),
        ("Python 3.8.10.1 runs at 93.184.216.34", "ip"),
        ("if ip == '8.8.8.8'", "ip"),
        ("AKIAIOSFODNN7EXAMPLE", "secret"),
        ("ghp_" + "aB3" * 12, "secret"),
        ("xoxb-123456789012-abcdefGHIJ", "secret"),
        (f"export OPENAI_KEY={KEY}", "secret"),
        ("AIza" + "Sy0" * 11 + "AB", "secret"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVPmB92K27u", "secret"),
        (PEM, "secret"),
        ("dapi" + "0a1b" * 8, "secret"),
        ("Authorization: glsa_" + "aB3d" * 8 + "_0a1b2c3d", "secret"),
        ("https://discord.com/api/webhooks/123456789012345678/" + "aB3-" * 17, "secret"),
        ("Authorization: Bearer aB3dE5fG7hJ9kL1m", "password"),
        ("-H 'authorization: Basic dXNlcjpwYXNzd29yZDE='", "password"),
        ('password = "hunter2x"', "password"),
        ("Password: Tr0ub4dor.", "password"),
        ("postgres://bell:s3cret9@db/orders", "password"),
        (f"discord_token={DRAWN}.Gx2a.{DRAWN}", "password"),
        (f"TF_TOKEN_app_terraform_io={DRAWN}", "password"),
        (f"const jwtSecret = '{DRAWN}';", "password"),
        (f"SECRET_KEY_BASE={DRAWN}", "password"),
        (f"export DATADOG_APP_KEY='{DRAWN}'", "password"),
        (f'"encryption_key": "{DRAWN}"', "password"),
        (f"AZURE_STORAGE_KEY={DRAWN}==", "password"),
        ("app-key: " + "0a1b" * 8, "password"),
        ("DB_PASS=Tr0ub4dor9x", "password"),
        ("redis://:Tr0ub4dor9@cache.tessmere.example:6379/0", "password"),
        ("mongodb+srv://bell:Tr0ub4dor9@db.tessmere.example/orders", "password"),
        ("password=mice22", "password"),
        ("202 555 0143", "phone"),
        ("0171 1234567", "phone"),
        ("(202)-555-0143", "phone"),
        ("هاتف: 0501234567", "phone"),
        ("+49\u00a0170\u00a01234567 or", "phone"),
        ("卡号４１１１ １１１１ １１１１ １１１１。", "card"),
        ("رقم ٤١١١١١١١١١١١١١١١", "card"),
        ("ｊａｎｅ＠ｔｅｓｓｍｅｒｅ．ｅｘａｍｐｌｅ", "email"),
        ("jane.doe@example.com", "email"),
        ('password = "a9B7$#fG3(Z1"', "password"),
    ],
)
def test_each_kind_is_found_once_and_nothing_else_with_it(text: str, kind: str) -> None:
    assert found(text) == {kind: 1}
    assert f"[{kind.upper()}]" in mask(kind, text)
    assert found(mask(kind, text)) == {}


@pytest.mark.parametrize(
    "text",
    [
        "Meet me @ 5 pm", "the decorator @app.route", "1976-1979", "12345678", "2020-01-15 10:30", "3.14159265",
        "10.0.0.1, 192.168.1.7 and 127.0.0.1", "256.1.1.1", "8.8.8.0/24", "version 1.2.3.4.5", "12:30:45",
        "4111 1111 1111 1112", "1234567890123456", "0000000000000000", "ISBN 978-0-306-40615-7",
        "DE89 3704 0044 0532 0130 01", "GB82 WEST", "sk-learn-is-a-library-for-python", "password = input()",
        'password = "your_password"', "password: must be long", "api_key = os.environ['KEY']", "AKIA", "ghp_short",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----", "https://a.example:8080/b@c", "call 3 times",
        "next_token=probs.argmax1(dim=-1)", "primary_key=aB3dE5fG7hJ9kL1mN3pQ5", "token_type=bearer_token_type_2", "token: the_next_word_in_the_text_12345",
        "git clone git@github.example.org:bell/orders.git", "ssh://git@github.example.org/bell/orders", "https://user:pass@tessmere.example/",
        "scp a.txt bob@host.tessmere.example:/tmp/x", "model 800-555-1234-X", "rev 1.2.3.4", "The numbers 100 200 3000 4000", "500 100 2000 units", "version 2.0.1.5", "Sections 1.2.3.4 and 5", "iOS 15.4.1.2", "5.10.0.21-amd64",
        "Python 3.8.10.1", "version is 3.8.10.1", "releases 1.2.3.4, 1.2.3.5 and 8.8.8.8", "Chrome/91.0.44.124", "numpy==1.2.3.4", "upgraded to 3.8.10.1", "Oracle 11.2.0.4",
        "no26 letters of words that are in lower case", "is14 0159 2600 7654 5510 7303 38",
        "api_key=sk-xxxxxxxxxxxxxxxxxxxxxxxx", "xoxb-your-token-here", "AKIAXXXXXXXXXXXXXXXX", "client_secret: 'dummy-secret'", "secret_key = 'my-secret-key'",
        "tokenizer=AutoTokenizer123FromPretrained456", "secret = load_secret_from_vault_V123(name)", "app_key=00000000000000000000000000000000",
        "user@example.com, Your.Name@tessmere.example", "203.0.113.7, 192.0.2.1 and 2001:db8::1", "1976\u20131979",
        'password = "$DB_PASSWORD"', 'password = "{password}"', 'password = "load_password(3)"',
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert found(text) == {}


def test_of_an_assignment_only_the_value_is_masked() -> None:
    assert mask("password", 'password = "hunter2x"') == 'password = "[PASSWORD]"'
    assert mask("secret", "aws_secret_access_key = " + "aB1/" * 10) == "aws_secret_access_key = [SECRET]"
    assert mask("phone", "Tel: 030 1234567.") == "Tel: [PHONE]."


@given(st.integers(0, 10**14 - 1), st.integers(0, 9))
def test_of_ten_last_digits_exactly_one_makes_a_card_number(body: int, digit: int) -> None:
    numbers = [f"4{body:014d}{last}" for last in range(10)]
    assert sum(map(is_card_number, numbers)) == 1
    assert not is_card_number(numbers[digit][:-4]), "too short for any issuer"


@given(st.integers(0, 10**18 - 1), st.integers(1, 96))
def test_an_iban_with_other_check_digits_is_none(body: int, off: int) -> None:
    check = 98 - int(f"{body:018d}131400") % 97  # DE = 13 14
    assert is_iban(f"DE{check:02d}{body:018d}")
    assert not is_iban(f"DE{(check - 2 + off) % 97 + 2:02d}{body:018d}")


texts = st.lists(
    st.sampled_from(["a@b.example", "4111111111111111", KEY, "x", " ", "\n", "+44 20 7946 0958", '"', ","])
)


@given(texts.map(" ".join), st.sampled_from(sorted(KINDS)))
def test_masking_leaves_nothing_behind_and_changes_nothing_else(text: str, kind: str) -> None:
    masked = mask(kind, text)
    assert mask(kind, masked) == masked
    assert kind not in found(masked)
    assert len(masked.split("\n")) == len(text.split("\n"))


def test_a_call_of_a_tool_is_json_after_masking() -> None:
    arguments = json.dumps({"card": 4111111111111111, "note": "card 4111 1111 1111 1111", "n": 3, "ok": True})
    call = json.dumps([{"function": {"name": "pay", "arguments": arguments}}])
    [masked] = json.loads(mask_json("card", call))
    assert json.loads(masked["function"]["arguments"]) == {"card": "[CARD]", "note": "card [CARD]", "n": 3, "ok": True}
    assert mask_json("email", call) == call
    found = {"ann@corp.de": {"age": 40}, "bob@corp.de": {"age": 50}, "by": "ann@corp.de"}
    masked = {"[EMAIL]": {"age": 40}, "[EMAIL] 2": {"age": 50}, "by": "[EMAIL]"}
    assert json.loads(mask_json("email", json.dumps(found))) == masked


def filtered(*turns: str, task: str | None = None, repairs: list[str] | None = None, **params: Any) -> Any:
    rows = table("unique", [conversation("row", *turns, task=task, repairs=repairs)])
    scored = score(rows, params=ScoreParams()).scored
    rated = table("rated", scored.to_dicts())
    return rated, transform(rated, params=FilterParams(**KEEP_ALL | params))


TURNS = ("My mail is a@b.example and my card 4111 1111 1111 1111.", "Thanks, a@b.example!")


def test_masked_rows_are_kept_with_a_placeholder_and_say_so() -> None:
    rated, made = filtered(*TURNS, repairs=["preamble_removed"], emails="mask", cards="mask")
    kept = made.kept.row(0, named=True)
    assert [turn["content"] for turn in kept["messages"]] == [
        "My mail is [EMAIL] and my card [CARD].",
        "Thanks, [EMAIL]!",
    ]
    assert kept["repairs"] == ["preamble_removed", "masked_email", "masked_card"]
    assert made.kept.drop("messages", "repairs").equals(rated.drop("messages", "repairs"))


def test_kept_private_data_changes_nothing() -> None:
    rated, made = filtered(*TURNS)
    assert made.kept.equals(rated)


def test_rejected_private_data_names_the_kind_and_how_often() -> None:
    rated, made = filtered(*TURNS, emails="reject")
    assert made.rejected.select("reason", "value", "threshold").rows() == [("has_email", 2.0, 0.0)]
    assert made.rejected.select(rated.columns).equals(rated), "set aside whole, so that it can be taken back"


def test_a_task_type_may_have_a_policy_of_its_own() -> None:
    by_task = {"extraction": {"emails": "keep"}}
    assert filtered(*TURNS, task="extraction", emails="mask", by_task=by_task)[1].kept["repairs"].to_list() == [None]
    assert filtered(*TURNS, emails="mask", by_task=by_task)[1].kept["repairs"].to_list() == [["masked_email"]]


def test_by_default_accounts_and_keys_are_masked_and_addresses_kept() -> None:
    rows = table("unique", [conversation("row", *TURNS, f"And {KEY}?", "password = 'hunter2x', call 555-123-4567")])
    rated = table("rated", score(rows, params=ScoreParams()).scored.to_dicts())
    assert transform(rated, params=FilterParams()).kept["repairs"].to_list() == [["masked_card", "masked_secret"]]


def test_private_data_in_system_turns_and_reasoning_counts_and_is_masked() -> None:
    turns = [{"role": "system", "content": "Serve a@b.example"}, {"role": "user", "content": "Hi"},
             {"role": "tool", "content": '{"card": 4111111111111111}'},
             {"role": "assistant", "content": "Hello", "reasoning_content": "it is a@b.example"}]  # fmt: skip
    rows = table("unique", [conversation("row", messages=turns)])
    scored = score(rows, params=ScoreParams()).scored
    assert scored["email_count"].to_list() == [2]
    made = transform(table("rated", scored.to_dicts()), params=FilterParams(emails="mask"))
    assert "a@b" not in str(made.kept["messages"].to_list())
    assert made.kept["messages"][0][2]["content"] == '{"card": "[CARD]"}'
