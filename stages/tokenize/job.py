"""Saves the tokenizer as it was used, and beside it the mask certificate of the examples made with it."""

import json
from pathlib import Path
from typing import Any

from stages.contract import Workbench
from stages.modelling.template_sandbox import TODAY
from stages.tokenize.certificate import Count, count_examples, count_refused, refuse_unended, show_masks
from stages.tokenize.certificate_page import certificate_page
from stages.tokenize.generation_tags import compare_tags
from stages.tokenize.preparation import Fitted, fit
from stages.tokenize.stage import TokenizeParams
from stages.tokenize.truncation import truncation_ledger

CERTIFICATE = "mask_certificate.json"
PAGE = "mask_certificate.html"


def run(
    examples: Path, refused: Path, *, tokenizer: Path, params: TokenizeParams, workbench: Workbench
) -> dict[str, object]:
    """Writes the tokenizer folder: template, end token as eos_token, padding token, and the certificate as JSON and as a page.

    Raises DataError when the examples, counted again, break a promise of the mask.
    """
    fitted = fit(params)
    prepared = fitted.preparation
    parts, refused_parts = sorted(examples.glob("*.parquet")), sorted(refused.glob("*.parquet"))
    count, refusals = count_examples(parts), count_refused(refused_parts)
    certificate = _describe(fitted, params) | {
        "rows": {"tokenized": count.rows, "refused": sum(found["rows"] for found in refusals.values())},
        "examples": dict(sorted(count.examples.items())),
        "answers": _answers(count),
        "refused": refusals,
        "tokens": _tokens(count),
        "truncation": truncation_ledger(parts, refused_parts),
        "examples_by_prompt_settings": dict(sorted(count.settings.items())),
        "answers_by_end_token": refuse_unended(count.ends, prepared.chat),
        "generation_tags": compare_tags(prepared),
        "first_examples": show_masks(parts, prepared.chat),
    }
    fitted.tokenizer.save_pretrained(tokenizer)
    text = json.dumps(certificate, indent=2, ensure_ascii=False)
    (tokenizer / CERTIFICATE).write_text(text + "\n", encoding="utf-8")
    (tokenizer / PAGE).write_text(certificate_page(certificate), encoding="utf-8")
    return _facts(certificate)


def _describe(fitted: Fitted, params: TokenizeParams) -> dict[str, Any]:
    tokenizer, prepared = fitted
    chat = prepared.chat
    return {
        "template": {
            "name": prepared.template_name,
            "sha256": prepared.template_sha256,
            "layout_removed": prepared.layout_removed,
            "today": TODAY.date().isoformat() if chat.template.asks_for_the_date else None,
        },
        "end_token": chat.end_token,
        "end_token_id": None if chat.end_token is None else chat.token_id(chat.end_token),
        "document_end_token": prepared.document_end,
        "padding_token": tokenizer.pad_token,
        "control_tokens": sorted(chat.control_tokens),
        "vocabulary": {"before": prepared.tokens_before, "after": len(tokenizer)},
        "max_tokens": params.max_tokens,
        "supervise": params.supervise,
    }


def _answers(count: Count) -> dict[str, int]:
    """Answers that count: proven in one sequence, repaired by an example of their own, and left out as too long."""
    return {
        "proven": count.answers["conversation"],
        "unrolled": count.answers["unrolled"],
        "dropped": count.answers_dropped,
    }


def _tokens(count: Count) -> dict[str, float]:
    share = round(count.supervised_tokens / count.tokens, 4) if count.tokens else 0.0
    return {"total": count.tokens, "supervised": count.supervised_tokens, "supervised_share": share}


def _facts(certificate: dict[str, Any]) -> dict[str, object]:
    """The certificate's numbers for the receipt."""
    refused = {reason: found["rows"] for reason, found in certificate["refused"].items() if found["rows"]}
    return {
        "template": certificate["template"]["name"],
        "template_sha256": certificate["template"]["sha256"],
        "rows": certificate["rows"],
        "end_token": certificate["end_token"],
        "answers": certificate["answers"],
        "refused_rows": refused,
        "tokens": certificate["tokens"],
        "vocabulary": certificate["vocabulary"],
        "max_tokens": certificate["max_tokens"],
        "truncation": {source: lost for source, lost in certificate["truncation"].items() if any(lost.values())},
    }
