"""What of a provider's own words may be repeated to a caller: all but the operator's keys, accounts and addresses.

A path into a request (`messages.0.content`), a model's name and a version are none of these. Each pattern begins only
where a word does and reads it at most a few times, so that a text of any kind takes time in proportion.
"""

import re
from typing import Final

LONGEST_QUOTE: Final = 500
LONGEST_READ: Final = 4 * LONGEST_QUOTE

_KEYED: Final = r"(?:key|token|secret|password|passwd|credentials?|authorization|signature)"
_OWNED: Final = r"(?:project|organi[sz]ation|workspace|tenant|subscription|account|org)"
_OWNERS: Final = (
    r"(?:projects|organi[sz]ations|folders|billingAccounts|tenants|subscriptions|resourceGroups|workspaces"
    r"|serviceAccounts|accounts)"
)
_DOMAINS: Final = (
    r"(?:com|net|org|io|ai|dev|app|cloud|co|edu|gov|mil|biz|info|tech|xyz|online"
    r"|cn|de|uk|fr|jp|kr|eu|ru|us|ca|au|br|nl|ch|se|pl|tw|hk|sg"
    r"|example|test|invalid|localhost|internal|intranet|private|home|local|localdomain|lan|corp|svc|cluster|arpa)"
)
_HOSTS: Final = r"(?:api|www|host|db|gw|gateway|proxy|node|vpn|mail|srv|prod|staging)"
_MIXED: Final = r"(?=[\w+/=-]{0,80}\d)(?=[\w+/=-]{0,80}[a-z])[\w+/=-]{12,}"
_GROUP: Final = r"[0-9a-f]{1,4}"

_IPV6: Final = (
    rf"(?<![\w:])(?=[a-f:]*\d)(?:(?:{_GROUP}:){{7}}{_GROUP}"
    rf"|(?:{_GROUP}:){{1,7}}:(?:{_GROUP}(?::{_GROUP}){{0,6}})?"
    rf"|::{_GROUP}(?::{_GROUP}){{0,6}})(?:(?:\.\d{{1,3}}){{3}})?(?:%\w+)?(?:/\d{{1,3}})?(?![\w:])"
)

_KEYS: Final = (
    r"\bBearer\s+\S+",
    r"\bBasic\s+(?-i:(?=[A-Za-z0-9+/]*(?:\d|=|[a-z][A-Z]))[A-Za-z0-9+/]{6,}={0,2})",
    r"\b(?:sk|pk|rk|gsk|xai|hf|nvapi)[-_][\w*.-]{6,}",
    r"(?<![\w-])(?:key|csk|pplx|sess|r8|fw|tgp)[-_](?=[\w*.-]*[\d*])[\w*.-]{6,}",
    r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|ya29\.)[\w.-]{6,}",
    r"\b(?:AIza|eyJ)[\w.-]{10,}",
    r"\b(?-i:A[A-Z]{2}A[A-Z0-9]{12,})\b",  # AWS: AKIA, ASIA, AROA, AIDA
    r"(?<![\w-])(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{16,}(?!\w)",
    r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{32,}",
)
_ACCOUNTS: Final = (
    r"(?<![\w.+-])[\w.+-]+@[\w.-]+",
    r"\barn:[\w:/.*+=@-]+",
    rf"\b{_OWNERS}/(?!fireworks/)[^\s\"'`,;()<>]+",
    r"\b(?:org|proj|project|wrkspc|acct|user|team|cus|sub)[-_](?-i:(?=[A-Za-z0-9]*[A-Z0-9])[A-Za-z0-9]{6,})",
)
_ADDRESSES: Final = (
    r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://\S+",
    r"(?<![\w.:])(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?",
    r"\[[0-9a-f:.%]*:[0-9a-f:.%]*\](?::\d+)?",
    _IPV6,
    r"(?<![\w.-])(?=[a-z0-9.-]*[a-z])[a-z0-9-]+(?:\.[a-z0-9-]+)*:\d{2,5}\b",
    rf"(?<![\w.@-])(?:[a-z0-9-]+\.)+{_DOMAINS}\b(?!\.?[\w(\[])",
    r"(?<![\w.@-])(?=[a-z0-9.]*[a-z0-9]-[a-z0-9])(?:[a-z0-9-]+\.){2,}[a-z]{2,}\b(?![\w(\[-])",
    rf"(?<![\w.@-]){_HOSTS}\d*\.[a-z0-9-]+(?:\.[a-z0-9-]+)+\b(?![\w(\[])",
    r"\blocalhost\b",
)
_BESIDE: Final = (
    rf"(?<![a-z0-9]){_KEYED}\b[\"'`]?\s{{0,3}}(?:[:=]|is)?\s{{0,3}}[\"'`]?{_MIXED}",
    rf"\b{_OWNED}\b(?:\s+(?:id|number))?\s{{0,3}}[:=]?\s{{0,3}}[\"'`]?(?=[\w:.-]{{0,80}}\d)[a-z0-9][\w:.-]*",
)
"""A word that may be anything, beside one that says what it is."""

HIDDEN: Final = re.compile("|".join((*_KEYS, *_ACCOUNTS, *_ADDRESSES)), re.IGNORECASE)
HIDDEN_BESIDE: Final = re.compile("|".join(_BESIDE), re.IGNORECASE)
_LABEL: Final = re.compile(r"\w+")


def quoted(reason: str) -> str:
    """A provider's sentence, without what looks like a secret, an account or an address, and not too long."""
    if len(reason) > LONGEST_READ:  # half a word might pass for a whole one
        reason = (reason[:LONGEST_READ].rsplit(None, 1) or [""])[0] + " …"
    text = hidden(" ".join(reason.split()))
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…"


def hidden(text: str) -> str:
    """`text`, where each identifier is an ellipsis."""
    return HIDDEN_BESIDE.sub(_labelled, HIDDEN.sub("…", text))


def _labelled(found: "re.Match[str]") -> str:
    label = _LABEL.match(found[0])
    return f"{label[0] if label else ''} …"
