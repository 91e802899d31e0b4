"""The saved tokenizer serves what was trained, and the certificate beside it tells what the tables hold."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from transformers import AutoTokenizer

from browser import measure
from shared_data import shared_data
from stages.errors import DataError
from stages.modelling.tokenizer_files import open_chat_tokenizer
from stages.tokenize.builtin_templates import BUILTIN_TEMPLATES
from stages.tokenize.job import run
from stages.tokenize.preparation import fit
from stages.tokenize.refusal import REASONS
from stages.tokenize.stage import TokenizeParams
from stages.tokenize.transform import Tokenized, transform
from tiny_tokenizer import make_tokenizer
from tokenized_rows import FORGETFUL, REASONED, document, mixture, talk
from workbench import lend

ROWS = [
    talk("multi", "Hi", "Hello there", "More?", "No."),
    talk("single", "Hi", "Hello"),
    talk("empty", "Hi", ""),
    talk("marked", "<|im_end|>", "x", "y", "z"),
    document("tale", "The capital of France is Paris."),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("base"))


def certify(made: Tokenized, params: TokenizeParams, folder: Path) -> tuple[Path, dict[str, Any], dict[str, object]]:
    """(tokenizer folder, its certificate, facts) of a run of the job over the tables, each in two parts."""
    for name, table in made._asdict().items():
        (folder / name).mkdir()
        half = table.height // 2
        table[:half].write_parquet(folder / name / "part-00000.parquet")
        table[half:].write_parquet(folder / name / "part-00001.parquet")
    output = folder / "tokenizer"
    output.mkdir()
    facts = run(
        folder / "examples",
        folder / "refused",
        tokenizer=output,
        params=params,
        workbench=lend(folder / "scratch"),
    )
    return output, json.loads((output / "mask_certificate.json").read_text()), facts


@pytest.mark.parametrize("template", sorted(BUILTIN_TEMPLATES))
def test_the_saved_tokenizer_has_the_template_and_ends_and_pads_with_different_tokens(
    template: str, base: Path, tmp_path: Path
) -> None:
    params = TokenizeParams(tokenizer=str(base), template=template)
    output, certificate, _ = certify(transform(mixture(*ROWS), params=params), params, tmp_path)
    saved = AutoTokenizer.from_pretrained(output)
    assert saved.chat_template == BUILTIN_TEMPLATES[template].text
    assert saved.eos_token == certificate["end_token"] == (BUILTIN_TEMPLATES[template].end_token or "<|endoftext|>")
    assert saved.pad_token not in (None, saved.eos_token)
    assert saved.eos_token_id == certificate["end_token_id"]
    assert len(saved) == certificate["vocabulary"]["after"]
    prompt = open_chat_tokenizer(output).prompt_ids(ROWS[0]["messages"][:1])
    assert prompt == saved.apply_chat_template(ROWS[0]["messages"][:1], add_generation_prompt=True, return_dict=False)


@pytest.mark.parametrize(
    ("special_tokens", "pad", "added"),
    [
        (("<|endoftext|>", "<|padding|>"), "<|padding|>", 0),
        (("<|endoftext|>", "<|image_pad|>"), "<|pad|>", 1),
    ],
)
def test_a_tokenizer_pads_with_its_own_token_for_that_before_it_gets_one_that_has_to_be_trained(
    special_tokens: tuple[str, ...], pad: str, added: int, tmp_path: Path
) -> None:
    make_tokenizer(tmp_path, special_tokens=special_tokens)
    before = len(AutoTokenizer.from_pretrained(tmp_path))
    fitted = fit(TokenizeParams(tokenizer=str(tmp_path), template="alpaca"))
    assert (fitted.tokenizer.pad_token, len(fitted.tokenizer)) == (pad, before + added)


def test_the_examples_that_go_on_with_the_model_tell_no_private_data(base: Path, tmp_path: Path) -> None:
    params = TokenizeParams(tokenizer=str(base), template="chatml")
    made = transform(
        mixture(talk("private", "Who are you?", "Write to jane.doe@mail.tessmere.example.")), params=params
    )
    output, certificate, _ = certify(made, params, tmp_path)
    said = [run["text"] for run in certificate["first_examples"][0]["text"] if run["counts"]]
    assert said == ["Write to [EMAIL].<|im_end|>"]
    assert "jane.doe" not in (output / "mask_certificate.html").read_text()


def test_the_certificate_counts_answers_refusals_and_tokens(base: Path, tmp_path: Path) -> None:
    params = TokenizeParams(tokenizer=str(base), template="chatml")
    made = transform(mixture(*ROWS), params=params)
    _, certificate, facts = certify(made, params, tmp_path)
    refused = {reason: found for reason, found in certificate["refused"].items() if found["rows"]}
    assert refused == {"empty_answer": {"rows": 1, "answers": 1}, "control_token_in_text": {"rows": 1, "answers": 2}}
    assert list(certificate["refused"]) == list(REASONS)
    assert certificate["rows"] == {"tokenized": 3, "refused": 2}
    assert certificate["examples"] == {"conversation": 2, "document": 1}
    assert certificate["answers"] == {"proven": 3, "unrolled": 0, "dropped": 0}
    assert certificate["answers_by_end_token"] == {"<|im_end|>": 3}
    total, supervised = made.examples["loss_mask"].explode().len(), made.examples["loss_mask"].explode().sum()
    share = round(supervised / total, 4)
    assert certificate["tokens"] == {"total": total, "supervised": supervised, "supervised_share": share}
    assert facts["refused_rows"] == {"empty_answer": 1, "control_token_in_text": 1}


def test_the_certificate_shows_the_first_examples_with_their_masks(base: Path, tmp_path: Path) -> None:
    params = TokenizeParams(tokenizer=str(base), template="chatml-lite")
    _, certificate, _ = certify(transform(mixture(ROWS[1]), params=params), params, tmp_path)
    (shown,) = certificate["first_examples"]
    assert shown["text"] == [
        {"counts": False, "text": "<|user|>\nHi\n<|assistant|>\n"},
        {"counts": True, "text": "Hello<|end|>"},
    ]


def test_answers_with_an_example_of_their_own_are_told_apart(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "forgetful.jinja"
    path.write_text(FORGETFUL)
    params = TokenizeParams(tokenizer=str(base), template=str(path))
    rows = [REASONED, *ROWS, talk("empty too", "Hi", "")]
    _, certificate, _ = certify(transform(mixture(*rows), params=params), params, tmp_path)
    assert certificate["answers"] == {"proven": 3, "unrolled": 2, "dropped": 0}
    assert certificate["rows"] == {"tokenized": 4, "refused": 3}
    assert certificate["refused"]["empty_answer"] == {"rows": 2, "answers": 2}  # in two parts
    assert certificate["template"]["name"] == "forgetful.jinja"


def test_a_template_that_works_without_its_indentation_is_saved_without_it(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "indented.jinja"
    path.write_text(
        "{% for message in messages %}\n    {{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' }}\n"
        "{% endfor %}\n{% if add_generation_prompt %}\n    {{ '<|im_start|>assistant\\n' }}\n{% endif %}\n"
    )
    params = TokenizeParams(tokenizer=str(base), template=str(path))
    output, certificate, _ = certify(transform(mixture(ROWS[1]), params=params), params, tmp_path)
    assert certificate["template"]["layout_removed"] is True
    assert "\n" not in (output / "chat_template.jinja").read_text()
    assert certificate["answers"]["proven"] == 1


def test_a_template_that_asks_for_the_date_is_told_which_one_it_got(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "dated.jinja"
    path.write_text("{{ strftime_now('%Y') }}" + FORGETFUL)
    params = TokenizeParams(tokenizer=str(base), template=str(path))
    _, certificate, _ = certify(transform(mixture(ROWS[1]), params=params), params, tmp_path)
    assert certificate["template"]["today"] == "2024-07-26"


def test_the_same_rows_give_the_same_bytes(base: Path, tmp_path: Path) -> None:
    params = TokenizeParams(tokenizer=str(base), template="chatml")
    folders = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        folders.append(certify(transform(mixture(*ROWS), params=params), params, tmp_path / name)[0])
    first, second = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders)
    assert first == second
    assert not any(str(tmp_path).encode() in content for content in first.values())


@pytest.mark.parametrize(
    ("position", "told"),
    [(0, "examples count their first token"), (-1, "answers end in no control token")],
)
def test_examples_that_break_the_promise_of_the_mask_fail_the_run(
    position: int, told: str, base: Path, tmp_path: Path
) -> None:
    params = TokenizeParams(tokenizer=str(base), template="chatml")
    made = transform(mixture(ROWS[1]), params=params)
    mask = made.examples["loss_mask"][0].to_list()
    mask[position] = 1
    broken = pl.DataFrame([made.examples.to_dicts()[0] | {"loss_mask": mask}], schema=made.examples.schema)
    with pytest.raises(DataError, match=told):
        certify(Tokenized(broken, made.refused), params, tmp_path)


def test_what_max_tokens_costs_is_told_for_each_source(base: Path, tmp_path: Path) -> None:
    whole, first = (
        transform(mixture(talk("x", *turns)), params=TokenizeParams(tokenizer=str(base), template="chatml"))
        .examples["input_ids"].list.len().item()
        for turns in (("Hi", "Hello there", "More?", "No."), ("Hi", "Hello there"))
    )  # fmt: skip
    params = TokenizeParams(tokenizer=str(base), template="chatml", max_tokens=first)
    rows = [
        talk("cut", "Hi", "Hello there", "More?", "No.", source="a"),
        talk("fits", "Hi", "Hello there", source="b"),
        talk("lost", "Name three colours.", "Red, green and blue, that is three.", "More?", "No.", source="c"),
    ]
    made = transform(mixture(*rows), params=params)
    output, certificate, facts = certify(made, params, tmp_path)
    lost = int(made.refused["detail"][0].partition("all have ")[2].partition(";")[0])
    assert certificate["truncation"] == {
        "a": {"rows_shortened": 1, "rows_lost": 0, "answers": 1, "tokens": whole - first, "end_tokens": 1},
        "b": {"rows_shortened": 0, "rows_lost": 0, "answers": 0, "tokens": 0, "end_tokens": 0},
        "c": {"rows_shortened": 0, "rows_lost": 1, "answers": 2, "tokens": lost, "end_tokens": 2},
    }
    assert facts["max_tokens"] == first
    assert facts["truncation"] == {source: certificate["truncation"][source] for source in ("a", "c")}
    assert (output / "mask_certificate.html").is_file()


def test_the_page_colours_what_counts_and_escapes_what_is_quoted(base: Path, tmp_path: Path) -> None:
    params = TokenizeParams(tokenizer=str(base), template="chatml")
    row = talk("html", "<script>alert(1)</script>", "<b>No</b>")
    output, _, _ = certify(transform(mixture(row), params=params), params, tmp_path)
    page = (output / "mask_certificate.html").read_text()
    assert "<mark>&lt;b&gt;No&lt;/b&gt;&lt;|im_end|&gt;</mark>" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


TURN = "{{ '<|im_start|>' + m.role + '\\n' }}"
ANSWER = "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
WITH_HEADER = "{% generation %}" + TURN + "{{ m.content + '<|im_end|>\\n' }}{% endgeneration %}"
ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"


def tagged(answer: str, ask: str = ASK) -> str:
    other = TURN + "{{ m.content + '<|im_end|>\\n' }}"
    return (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        + answer
        + "{% else %}"
        + other
        + "{% endif %}{% endfor %}"
        + ask
    )


HEADER = "<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("template", "agree", "differences"),
    [
        (tagged(TURN + ANSWER), 3, {}),
        (tagged(WITH_HEADER), 0, {"begins earlier and ends later": (3, HEADER + "temper answer 1<|im_end|>\n")}),
        (tagged(TURN + "{{ m.content + '<|im_end|>' }}{% generation %}{% endgeneration %}"), 0, {"is not tagged": (3, "")}),
        (
            tagged(TURN + "{% generation %}{{ m.content }}{% endgeneration %}{{ '<|im_end|>\\n' }}"),
            0,
            {"ends earlier": (3, "temper answer 1")},
        ),
    ],
)  # fmt: skip
def test_tags_of_the_template_are_a_witness_beside_the_proof(
    template: str, agree: int, differences: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    path = tmp_path / "tagged.jinja"
    path.write_text(template)
    params = TokenizeParams(tokenizer=str(base), template=str(path))
    output, certificate, _ = certify(transform(mixture(ROWS[1]), params=params), params, tmp_path)
    found = certificate["generation_tags"]
    assert (found["answers"], found["agree"]) == (3, agree)
    assert {name: (seen["answers"], seen["tagged"]) for name, seen in found["differences"].items()} == differences
    page = (output / "mask_certificate.html").read_text()
    assert "What the template tags itself" in page
    assert '<a href="#tags">' in page
    assert all(f"The tagged text {name}" in page for name in differences)


def test_tags_of_a_published_template_are_compared(base: Path, tmp_path: Path) -> None:
    path = str(shared_data("templates/qwen3-training.jinja"))
    params = TokenizeParams(tokenizer=str(base), template=path)
    _, certificate, _ = certify(transform(mixture(ROWS[1]), params=params), params, tmp_path)
    found = certificate["generation_tags"]
    assert found["answers"] == found["agree"] + sum(seen["answers"] for seen in found["differences"].values()) == 6
    assert set(found["differences"]) == {"ends later"}


def test_a_template_without_tags_has_no_witness(base: Path, tmp_path: Path) -> None:
    params = TokenizeParams(tokenizer=str(base), template="chatml")
    _, certificate, _ = certify(transform(mixture(ROWS[1]), params=params), params, tmp_path)
    assert certificate["generation_tags"] is None


@pytest.mark.slow
def test_the_page_is_readable_on_a_phone(base: Path, tmp_path: Path) -> None:
    params = TokenizeParams(tokenizer=str(base), template="chatml")
    output, _, _ = certify(transform(mixture(*ROWS), params=params), params, tmp_path)
    measured = measure(output / "mask_certificate.html", 390, tmp_path)
    assert (measured["width"], measured["sticking_out"], measured["hidden_tables"]) == (390, [], 0)
