"""How keys, tokens and passwords look, as Python regular expressions; each service's own format, as it publishes it."""

import re

import polars as pl

from stages.texts.conversation_text import read_where

KEYS = {
    "aws": r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b",
    "aws_secret": r"(?i:aws.{0,20}?secret[^=:\n]{0,20}|secret_?access_?key[\"']?\s{0,3})[=:]\s*[\"']?(?P<aws>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])",
    "github": r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b|\bgithub_pat_[A-Za-z0-9_]{50,255}\b",
    "gitlab": r"\bglpat-[A-Za-z0-9_-]{20,64}",
    "slack": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,250}"
    r"|\bxapp-[0-9]-[A-Z0-9]{8,16}-[0-9]{8,16}-[a-f0-9]{32,}|hooks\.slack\.com/services/T[A-Z0-9]{6,16}/B[A-Z0-9]{6,16}/[A-Za-z0-9]{16,32}",
    "openai": r"\bsk-(?:[A-Za-z0-9]{20,}|(?:proj|ant|svcacct|admin|or|lf|None)-[A-Za-z0-9_-]{20,})",
    "google": r"\bAIza[0-9A-Za-z_-]{35}|\bGOCSPX-[A-Za-z0-9_-]{28}|\bya29\.[A-Za-z0-9_-]{30,}",
    "stripe": r"\b[sr]k_(?:live|test)_[0-9A-Za-z]{16,}|\bwhsec_[0-9A-Za-z+/]{24,}",
    "shopify": r"\bshp(?:at|ca|pa|ss)_[0-9a-f]{32}\b",
    "digitalocean": r"\bdo[opr]_v1_[0-9a-f]{64}\b",
    "telegram": r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",
    "groq": r"\bgsk_[A-Za-z0-9]{40,}",
    "xai": r"\bxai-[A-Za-z0-9]{60,}",
    "huggingface": r"\bhf_[A-Za-z0-9]{30,}",
    "npm": r"\bnpm_[A-Za-z0-9]{36}\b",
    "pypi": r"\bpypi-[A-Za-z0-9_-]{40,}",
    "sendgrid": r"\bSG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50}",
    "azure": r"\bAccountKey=(?P<azure>[A-Za-z0-9+/]{60,}={0,2})",
    "jwt": r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|\beyJ[A-Za-z0-9_-]{16,}(?:\.[A-Za-z0-9_-]{8,}){4}",
    "private_key": r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----(?s:.{0,400}?)[A-Za-z0-9+/]{24}[^-]*"
    r"(?:-----END [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----)?"
    r"|PuTTY-User-Key-File-[23]:(?s:.{0,4000}?)Private-Lines: [0-9]+\s+[A-Za-z0-9+/=\s]{24,}(?:Private-MAC: [0-9a-f]+)?",
}  # fmt: skip
PREFIXED = {  # what a key begins with -> what follows; formats as gitleaks.io lists them
    "discord.com/api/webhooks/": "[0-9]{17,20}/[A-Za-z0-9_-]{60,}",
    "discordapp.com/api/webhooks/": "[0-9]{17,20}/[A-Za-z0-9_-]{60,}",
    "SK": "[0-9a-f]{32}",  # Twilio
    "key-": "[0-9a-f]{32}",  # Mailgun
    "sk_": "[0-9a-f]{48}",  # ElevenLabs
    "dapi": "[0-9a-f]{32}",  # Databricks
    "secret_": "[A-Za-z0-9]{43}",  # Notion
    "ntn_": "[A-Za-z0-9]{40,}",
    "lin_api_": "[A-Za-z0-9]{40}",
    "hvs.": "[A-Za-z0-9_-]{24,}",  # HashiCorp Vault
    "sq0atp-": "[A-Za-z0-9_-]{22,}",  # Square
    "sq0csp-": "[A-Za-z0-9_-]{40,}",
    "PMAK-": "[0-9a-f]{24}-[0-9a-f]{34}",  # Postman
    "NRAK-": "[A-Z0-9]{27}",  # New Relic
    "ATATT3": "[A-Za-z0-9_=-]{60,}",  # Atlassian
    "sbp_": "[0-9a-f]{40}",  # Supabase
    "pscale_tkn_": "[A-Za-z0-9_.=-]{32,}",
    "pscale_pw_": "[A-Za-z0-9_.=-]{32,}",
    "dp.pt.": "[A-Za-z0-9]{40,}",  # Doppler
    "pul-": "[0-9a-f]{40}",  # Pulumi
    "glsa_": "[A-Za-z0-9]{32}_[0-9a-f]{8}",  # Grafana
    "glc_": "[A-Za-z0-9+/]{32,}={0,2}",
    "sntrys_": "[A-Za-z0-9+/=_-]{40,}",  # Sentry
    "r8_": "[A-Za-z0-9]{37}",  # Replicate
    "pplx-": "[A-Za-z0-9]{40,}",
    "figd_": "[A-Za-z0-9_-]{38,}",
    "sl.": "[A-Za-z0-9_-]{130,}",  # Dropbox
    "AGE-SECRET-KEY-1": "[0-9A-Z]{58}",
    "dckr_pat_": "[A-Za-z0-9_-]{27}",
    "FlyV1 fm": "[0-9]_[A-Za-z0-9+/=,_-]{60,}",
    "xkeysib-": "[0-9a-f]{64}-[A-Za-z0-9]{16}",  # Brevo
    "nvapi-": "[A-Za-z0-9_-]{60,}",
    "tvly-": "[A-Za-z0-9-]{30,}",
    "lsv2_pt_": "[0-9a-f]{32}_[0-9a-f]{10}",  # LangSmith
    "lsv2_sk_": "[0-9a-f]{32}_[0-9a-f]{10}",
    "HRKU-": "[A-Za-z0-9_-]{36,}",  # Heroku
    "rubygems_": "[0-9a-f]{48}",
    "EZAK": "[A-Za-z0-9]{54}",  # EasyPost
    "EAA": "[A-Za-z0-9]{90,}",  # Facebook
    "glrt-": "[A-Za-z0-9_-]{20,64}",  # GitLab's other tokens
    "gldt-": "[A-Za-z0-9_-]{20,64}",
    "glptt-": "[A-Za-z0-9_-]{20,64}",
    "v1.0-": "[0-9a-f]{24}-[0-9a-f]{146}",  # Cloudflare
    "pcsk_": "[A-Za-z0-9_]{50,}",  # Pinecone
    "jina_": "[A-Za-z0-9_-]{50,}",
    "vercel_blob_rw_": "[A-Za-z0-9]{16}_[A-Za-z0-9]{30}",
    "rzp_live_": "[A-Za-z0-9]{14,}",  # Razorpay
    "FLWSECK-": "[0-9a-f]{32}-X",  # Flutterwave
    "CLOJARS_": "[0-9a-f]{60}",
    "squ_": "[0-9a-f]{40}",  # SonarQube
    "AKCp": "[A-Za-z0-9]{69}",  # JFrog
    "aio_": "[A-Za-z0-9]{28}",  # Adafruit
    "tfp_": "[A-Za-z0-9_-]{40,}",  # Typeform
    "napi_": "[A-Za-z0-9]{60,}",  # Neon
    "SSWS ": "[A-Za-z0-9_-]{40,}",  # Okta
    "access_token$production$": "[0-9a-z]{16}\\$[0-9a-f]{32}",  # Braintree
    "webhook.office.com/webhookb2/": "[0-9a-f-]{36}@[0-9a-f-]{36}/IncomingWebhook/[0-9a-f]{32}/[0-9a-f-]{36}",
}  # fmt: skip
_PREFIXED = [re.escape(sign) + rest for sign, rest in PREFIXED.items()]
KEYS["prefixed"] = rf"(?<![A-Za-z0-9])(?:{'|'.join(_PREFIXED)})(?![A-Za-z0-9])"
# One of them is in every key.
_SIGNS_OF_KEY = [
    "AKIA", "ASIA", "ABIA", "ACCA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "xapp-", "hooks.slack.com",
    "sk-", "AIza", "GOCSPX-", "ya29.", "k_live_", "k_test_", "whsec_", "shpat_", "shpca_", "shppa_", "shpss_", "_v1_", ":AA",
    "gsk_", "xai-", "hf_", "npm_", "pypi-", "SG.", "AccountKey=", "eyJ", "PRIVATE KEY", "aws",
    "AWS", "Aws", "ccessKey", "ccess_key", "ACCESS_KEY", "PuTTY-User-Key", *PREFIXED,
]  # fmt: skip
_MAY_BE_KEY = (
    r"xapp-|ya29\.|whsec_|shp(?:at|ca|pa|ss)_|do[opr]_v1_|[0-9]{8}:AA|gsk_[A-Za-z0-9]{40}|xai-[A-Za-z0-9]{60}"
    r"|A[KSBC][IC]A[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30}|github_pat_|glpat-|xox[abeoprs]-|hooks\.slack\.com"
    r"|sk-[A-Za-z0-9_-]{20}|AIza|GOCSPX-|[sr]k_(?:live|test)_|hf_[A-Za-z0-9]{30}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{40}"
    r"|SG\.[A-Za-z0-9_-]{20}|AccountKey=|eyJ[A-Za-z0-9_-]{8}|PRIVATE KEY|(?i:aws)[^\n]{0,20}(?i:secret)|(?i:secret_?access_?key)|PuTTY-User-Key-File|"
    + "|".join(_PREFIXED)
)


def may_hold_key(text: pl.Expr) -> pl.Expr:
    """True for every text with a key, and for few others."""
    return read_where(text.str.contains_any(_SIGNS_OF_KEY), text).str.contains(_MAY_BE_KEY)


_FOREIGN = r"passwort|kennwort|mot de passe|contraseña|contrasinal|senha|wachtwoord|hasło|пароль|密码|密碼|口令|パスワード|비밀번호"
_NAME = rf"(?:{_FOREIGN}|passw(?:or)?d|pwd|passphrase|secret(?:[_-]?key)?|api[_-]?key|(?:access|auth|api|bearer|refresh)[_-]?token|client[_-]?secret|(?:db|database|mysql|postgres|redis|smtp|e?mail|ftp|ssh|admin|root|user|login)_pass)"
# A name that ends in one of these, perhaps with more behind an underscore, has a key as its value where that looks drawn by lot.
_ENDS_OF_NAME = r"(?:token|secret|(?:api|app|application|secret|private|signing|encryption|account|storage|global|master|service|access|auth|admin|client)[_-]?key)"
_NAMES_KEY = rf"{_ENDS_OF_NAME}(?:[_-][A-Za-z0-9_-]{{1,40}})?[\\\"']{{0,3}}\s*(?::=|=>|=|:)\s*[\\\"']{{0,2}}"
_LETTERS_OF_KEY = "[A-Za-z0-9+/_.=-]"
_DRAWN = (
    rf"(?:(?=(?:[A-Za-z+/_.=-]*[0-9]){{3}})(?={_LETTERS_OF_KEY}*[A-Z])(?={_LETTERS_OF_KEY}*[a-z]){_LETTERS_OF_KEY}{{19,400}}[A-Za-z0-9=]"
    r"|(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{32,128})(?![A-Za-z0-9+/_=(\[-]|\.[A-Za-z0-9])"
)
_BEGINS = r"(?:(?<![A-Za-z])(?i:pg|my|db|user|admin|root|login|mysql|smtp)?|(?<=[a-z])(?=[A-Z]))"  # also dbPassword, PGPASSWORD
# name = "value", "name": "value", name=value without blanks, Authorization: Bearer value, scheme://user:value@host
PASSWORD = re.compile(
    rf"{_BEGINS}(?i:{_NAME})[\\\"']{{0,3}}\s*(?::=|=>|=|:)\s*(?P<quote>\\?[\"'])(?P<value>[^\s\"'\\]{{6,200}})(?P=quote)"
    rf"|{_BEGINS}(?i:{_NAME})(?:\s?[=:：]| is:?|是|为|は)\s?(?P<bare>(?=[^\s]{{0,80}}[0-9])(?=[^\s]{{0,80}}[A-Za-z])[^\s\"'<>(){{}}\[\],;，。；]{{5,199}}[^\s\"'<>(){{}}\[\],;.?，。；])(?![\w(\[])"
    r"|(?i:authorization)[\"']{0,3}\s*[:=]\s*[\"']{0,2}(?i:bearer|basic|token)\s+"
    r"(?P<header>(?=[^\s\"']{0,80}[0-9])[A-Za-z0-9+/._~=-]{16,500})"
    rf"|(?i:{_NAMES_KEY})(?P<drawn>{_DRAWN})"
    r"|\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"']{0,64}:(?P<userinfo>[^\s:/@\"']{3,64})@"
)
_SIGNS_OF_PASSWORD = [  # in any case of ASCII; other letters as a text writes them
    *(word for name in _FOREIGN.split("|") for word in dict.fromkeys((name, name.capitalize(), name.upper()))),
    "passw",
    "pwd",
    "passphrase",
    "secret",
    "api_key",
    "api-key",
    "apikey",
    "token",
    "_key",
    "-key",
    "_pass",
]


def may_hold_password(text: pl.Expr) -> pl.Expr:
    """True for every text with a password, and for few others."""
    named = read_where(text.str.contains_any(_SIGNS_OF_PASSWORD, ascii_case_insensitive=True), text)
    # One pattern, as `named` is made anew for each that reads it.
    given = named.str.contains(
        rf"(?i){_NAMES_KEY}{_LETTERS_OF_KEY}{{20}}|(?:{_NAME})[\\\"']{{0,3}}\s*(?:[=:：]|is|是|为|は)"
    )
    header = text.str.contains(r"(?i)authorization[\"']{0,3}\s*[:=]")
    return given | header | (text.str.contains("://", literal=True) & text.str.contains("@", literal=True))


# What stands for a password without being one.
STANDS_FOR_ONE = re.compile(
    r"(?i)your|example|change|placeholder|dummy|sample|fake|x{3}|\*{2}|\.{2}|^<|>$|^\$|\$[({]|^[\[{]|\{\{|%s|%\(|environ|getenv|config|null|none|true|false"
    r"|input|request|self\.|[a-z_]\(.*\)$|[a-z_]\[.*\]$|\(\)|^(?:my|the|a|new|old|user)?[_-]?(?:pass(?:word|wd)?|pwd|secret|token|api[_-]?key)(?:[_-]?key)?$"
)


def is_drawn_key(found: str) -> bool:
    """A key in a service's format, and none that a manual fills in with x's or with words to the reader."""
    return not re.search(r"(?i)x{6}|your[_-]", found)


def is_given_secret(value: str) -> bool:
    """A value, and no name, call or blank that stands for one."""
    return not STANDS_FOR_ONE.search(value)
