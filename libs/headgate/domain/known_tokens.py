"""Finds secrets that show by their own form what they are: tokens of well-known services, and headers with a secret.

The forms are those that the services document for secret scanners.
"""

import re

MASK = "***"
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"gh[oprsu]_[A-Za-z0-9]{20,}"  # GitHub
    r"|github_pat_\w{20,}"
    r"|gl(?:pat|dt|rt|ptt|cbt|oas)-[\w-]{20,}"  # GitLab
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|AIza[\w-]{35}"  # Google
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|hf_[A-Za-z0-9]{30,}"  # Hugging Face
    r"|hgt_[\w-]{43}"  # Headgate
    r"|npm_[A-Za-z0-9]{36}"
    r"|pypi-[\w-]{50,}"
    r"|sk-(?:[a-z]+-)?[A-Za-z0-9_]{20,}[\w-]*"  # providers of language models
    r"|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"  # Stripe
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}(?:\.[\w-]*)?"  # a JSON Web Token
    r")",
    re.ASCII,
)
_SIGNS = (
    *("gh", "github_pat_", "gl", "AKIA", "ASIA", "AIza", "xox", "hf_", "hgt_"),
    *("npm_", "pypi-", "sk-", "k_live_", "k_test_", "eyJ"),
)
"""Every token has one of them, and most texts have none. To look for all takes a fraction of the expression's time."""
_HOOK = re.compile(r"(hooks\.slack\.com/services/)[\w/-]+", re.IGNORECASE)
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)(?! \*\*\*)"
    r".*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_HEADER = re.compile(
    r"""((?:authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:basic|bearer|token|digest)|\bbearer)\s{1,4})"""
    r"""(?!\*\*\*)[\w.~+/=-]{8,}""",
    re.IGNORECASE,
)
_USER_OPTION = re.compile(r"""((?<!\S)(?:-u|--user)[\s=]\s{0,4}["']?)[^\s:"'*][^\s:"']*:[^\s"']+""")


def without_tokens(text: str) -> str:
    """The text with *** in place of each such secret."""
    folded = text.lower() if text.isascii() else text.casefold()
    if "hooks.slack.com" in folded:
        text = _HOOK.sub(rf"\1{MASK}", text)
    if any(map(text.__contains__, _SIGNS)):
        text = _TOKEN.sub(MASK, text)
    if "PRIVATE KEY-----" in text:
        text = _PRIVATE_KEY.sub(rf"\1 {MASK}", text)
    if "bearer" in folded or "authorization" in folded:
        text = _HEADER.sub(rf"\1{MASK}", text)
    if "-u" in text:
        text = _USER_OPTION.sub(rf"\1{MASK}", text)
    return text
