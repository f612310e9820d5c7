"""How the keys of well-known services look. Every pattern is anchored or bounded: time grows with the text alone.

A `hint` is what each match holds for certain: where none of them is, nothing is searched. A group `secret` is what is
hidden of a match; without one all of it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Where a key may begin: not inside a word, but after an escape such as %3D or \n.
_EDGE = r"(?:(?<![A-Za-z0-9_-])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))"
_END = r"(?![A-Za-z0-9])"
_WORD = r"[A-Za-z0-9_-]"
_BREAK = r"(?:\s|\\[nr]){1,8}"  # lines joined by spaces and escaped ones count
_LINE = r"(?:\r?\n|(?:\\r)?\\n)[ \t]{0,16}"
_IS = r"\\?[\"']?\s{0,8}(?:[:=]|=>|\s)\s{0,8}\\?[\"']?"  # between a name and its value
_BASE64 = r"[A-Za-z0-9/+]"

_PEM = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rf"(?:{_BREAK}[A-Za-z-]{{4,20}}: [^\n\\]{{1,120}}){{0,4}}"
    rf"(?:{_BREAK}[A-Za-z0-9+/]{{40,}}={{0,2}})+"
    rf"(?:{_LINE}[A-Za-z0-9+/=]{{1,76}}(?![^\s\\\"'])){{0,3}}"  # a key cut in the middle
    rf"(?:(?:{_BREAK}[A-Za-z0-9+/=]{{1,39}})?{_BREAK}-----END [A-Z0-9 ]{{0,40}}-----)?"
)

# A private key as tools show it: numbered, behind a file's name, or without its first line.
_BODY = rf"[^\n]{{0,80}}?{_BASE64}{{16,76}}={{0,2}}[ \t]*"
_PEM_SHOWN = rf"-----BEGIN [A-Z0-9 ]{{0,40}}PRIVATE KEY-----[ \t]*(?:\r?\n{_BODY}){{1,120}}"
_PEM_END = rf"(?m:^)(?:{_BODY}\r?\n){{1,120}}[^\n]{{0,80}}-----END [A-Z0-9 ]{{0,40}}PRIVATE KEY-----"
_PEM_BODY = (
    r"(?:b3BlbnNzaC1rZXktdjE|MC4CAQAwBQYDK2Vw|MHcCAQEEI|MII[A-Za-z0-9+/]{2,4}IBA(?:AKC|DANBgkqhkiG9w0))"
    rf"{_BASE64}{{10,}}={{0,2}}(?:[ \t]*\r?\n{_BODY}){{0,120}}"
)


@dataclass(frozen=True, slots=True, eq=False)
class KeyForm:
    pattern: re.Pattern[str]

    def pieces(self, text: str) -> list[str]:
        """What stays of the text, around what is hidden."""
        kept, end = list[str](), 0
        group = "secret" if self.pattern.groupindex else 0
        for found in self.pattern.finditer(text):
            start, stop = found.span(group)
            kept.append(text[end:start])
            end = stop
        return [*kept, text[end:]]


# What is only told by the words around it: looked for first, while those still stand there.
_BY_CONTEXT: dict[str, Sequence[str]] = {
    "AWS's secret half, by its name": (
        rf"(?i:secret_?access_?key|aws_?secret_?key|secretkey){_IS}(?P<secret>{_BASE64}{{40}})(?![A-Za-z0-9/+=])",
        "ecret", "ECRET",
    ),
    "the same, beside the key's id": (
        (rf"(?:AKIA|ASIA)[A-Z0-9]{{16}}{_END}[^A-Za-z0-9+]{{1,12}}(?:[A-Za-z_]{{1,40}}[^A-Za-z0-9/+]{{1,12}}){{0,2}}"
        rf"(?P<secret>(?![0-9a-f]{{40}}){_BASE64}{{40}})(?![A-Za-z0-9/+=])"),
        "AKIA", "ASIA",
    ),
    "AWS, a session's": (
        rf"(?i:session_?token|security-token){_IS}(?P<secret>[A-Za-z0-9/+=%]{{100,}})",
        "oken", "OKEN",
    ),
    "Azure, a storage account's": (
        rf"(?i:AccountKey|SharedAccessKey){_IS}(?P<secret>{_BASE64}{{43,86}}={{1,2}})",
        "AccountKey", "AccessKey", "accountkey", "accesskey",
    ),
    "Azure, a signed address": (r"[?&]sig=(?P<secret>[A-Za-z0-9%/+]{43,100}(?:%3[Dd]|=){1,2})", "sig="),
    "Twilio": (r"(?i:twilio_?auth_?token)" + _IS + r"(?P<secret>[0-9a-f]{32})" + _END, "wilio", "WILIO"),
    "Cloudflare, Datadog, Heroku": (
        (rf"(?i:cloudflare_?api_?(?:token|key)|cf_api_token|dd_api_key|datadog_api_key|heroku_api_key){_IS}"
        rf"(?P<secret>[A-Za-z0-9_-]{{32,64}}){_END}"),
        "api", "API",
    ),
    "a header": (
        (r"(?i:authorization)\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?(?i:bearer|basic|token)\s{1,4}"
        r"(?P<secret>[A-Za-z0-9._~+/=-]{16,})"),
        "uthorization", "UTHORIZATION",
    ),
    "a password in an address": (
        (r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@\"'<>\\]{0,128}:"
        r"(?P<secret>(?![$<{%*[]|\.{3}|x{3,}@)[^\s/@\"'<>\\]{1,256})@"),
        "://",
    ),
    "PuTTY": (
        (rf"Private-Lines: \d{{1,3}}{_LINE}"
        rf"(?P<secret>{_BASE64}{{1,64}}={{0,2}}(?:{_LINE}{_BASE64}{{20,64}}={{0,2}}){{0,100}})"),
        "Private-Lines",
    ),
}  # fmt: skip

_BY_THEMSELVES: dict[str, Sequence[str]] = {
    "Groq": (r"gsk_[A-Za-z0-9]{20,}", "gsk_"),
    "Anthropic": (r"sk-ant-[A-Za-z0-9_-]{20,}", "sk-ant-"),
    "OpenAI, OpenRouter": (
        _EDGE + rf"sk-(?:proj|svcacct|admin|or|None)-(?={_WORD}*[0-9]){_WORD}{{20,}}", "sk-",
    ),
    "OpenAI": (_EDGE + r"sk-(?=[A-Za-z0-9]*[0-9])[A-Za-z0-9]{32,}", "sk-"),
    "Nanobot": (r"nanobot_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", "nanobot_"),
    "GitHub": (r"gh[pousr]_[A-Za-z0-9]{36,}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    "GitHub, fine-grained": (r"github_pat_[A-Za-z0-9_]{22,}", "github_pat_"),
    "GitLab": (
        _EDGE
        + r"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|ffct|oas)-[A-Za-z0-9_-]{20,}(?:\.[a-z0-9]{2}\.[a-z0-9]{9})?",
        "gl",
    ),
    "GitLab, a runner": (r"GR1348941[A-Za-z0-9_-]{20}", "GR1348941"),
    "AWS": (_EDGE + r"(?:AKIA|ASIA)[A-Z0-9]{16}" + _END, "AKIA", "ASIA"),
    "Slack": (r"xox[abceoprs]-[A-Za-z0-9-]{10,}", "xox"),
    "Slack, an app": (r"xapp-[0-9]-[A-Za-z0-9-]{20,}", "xapp-"),
    "Slack, a hook": (r"(?<=hooks\.slack\.com/)[a-z]{4,12}/T[A-Za-z0-9_]{6,}/[A-Za-z0-9_/]{20,}", "hooks.slack.com"),
    "Discord": (_EDGE + r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}", "."),
    "Discord, a hook": (r"(?<=/api/webhooks/)[0-9]{15,20}/[A-Za-z0-9_-]{60,}", "/api/webhooks/"),
    "Telegram": (rf"(?<![0-9])[0-9]{{8,10}}(?::|%3[Aa]){_WORD}{{35}}(?!{_WORD})", ":", "%3"),
    "Google": (r"AIza[A-Za-z0-9_-]{35}", "AIza"),
    "Google, OAuth": (r"GOCSPX-[A-Za-z0-9_-]{28}", "GOCSPX-"),
    "Google, access": (r"ya29\.[A-Za-z0-9_-]{20,}", "ya29."),
    "Google, refresh": (_EDGE + r"1//0[A-Za-z0-9_-]{40,}", "1//0"),
    "Stripe": (_EDGE + r"[rs]k_(?:live|test)_[A-Za-z0-9]{20,}", "k_live_", "k_test_"),
    "Stripe, a hook": (_EDGE + r"whsec_[A-Za-z0-9+/]{24,}={0,2}", "whsec_"),
    "npm": (r"npm_[A-Za-z0-9]{36}", "npm_"),
    "PyPI": (r"pypi-(?:AgEIcHlwaS5vcmc|AgENdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{50,}", "pypi-"),
    "RubyGems": (r"rubygems_[0-9a-f]{48}", "rubygems_"),
    "Docker": (r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}", "dckr_"),
    "Hugging Face": (_EDGE + r"(?:hf_|api_org_)[A-Za-z0-9]{30,}", "hf_", "api_org_"),
    "xAI": (_EDGE + r"xai-[A-Za-z0-9]{60,}", "xai-"),
    "Perplexity": (_EDGE + r"pplx-[A-Za-z0-9]{40,}", "pplx-"),
    "Replicate": (_EDGE + r"r8_[A-Za-z0-9]{37}", "r8_"),
    "Cerebras": (_EDGE + r"csk-[a-z0-9]{40,}", "csk-"),
    "Tavily": (_EDGE + r"tvly-(?:dev-|prod-)?[A-Za-z0-9]{30,}", "tvly-"),
    "LangSmith": (r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}", "lsv2_"),
    "Azure, Entra": (_EDGE + r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}", "Q~"),
    "SendGrid": (_EDGE + r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,64}", "SG."),
    "Mailgun": (_EDGE + r"key-[0-9a-f]{32}" + _END, "key-"),
    "Mailchimp": (_EDGE + r"[0-9a-f]{32}-us[0-9]{1,2}" + _END, "-us"),
    "Twilio, a key": (_EDGE + r"SK[0-9a-f]{32}" + _END, "SK"),
    "DigitalOcean": (r"do[opr]_v1_[a-f0-9]{64}", "_v1_"),
    "Shopify": (_EDGE + r"shp(?:at|ca|pa|ss|ua)_[A-Fa-f0-9]{32}", "shp"),
    "Square": (_EDGE + r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,}", "sq0"),
    "Linear": (r"lin_(?:api|oauth)_[A-Za-z0-9]{40,}", "lin_"),
    "Notion": (_EDGE + r"(?:ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}" + _END + ")", "ntn_", "secret_"),
    "Vault": (_EDGE + r"hv[sbr]\.[A-Za-z0-9_-]{24,}", "hvs.", "hvb.", "hvr."),
    "Terraform": (_EDGE + r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}", ".atlasv1."),
    "Databricks": (_EDGE + r"dapi[0-9a-f]{32}", "dapi"),
    "New Relic": (r"NRAK-[A-Z0-9]{27}", "NRAK-"),
    "Grafana": (r"(?:glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|glc_eyJ[A-Za-z0-9+/=]{40,})", "glsa_", "glc_"),
    "Sentry": (r"sntry[su]_[A-Za-z0-9_=+/-]{40,}", "sntry"),
    "Supabase": (_EDGE + r"(?:sbp_[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{20,})", "sbp_", "sb_secret_"),
    "PlanetScale": (r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,}", "pscale_"),
    "Postman": (r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}", "PMAK-"),
    "Atlassian": (r"ATATT3[A-Za-z0-9_=-]{50,}", "ATATT3"),
    "Airtable": (_EDGE + r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", "pat"),
    "Tailscale": (r"tskey-[a-z]{2,12}-[A-Za-z0-9]{6,}-[A-Za-z0-9]{16,}", "tskey-"),
    "Fly": (r"fm[12][ar]?_[A-Za-z0-9+/=_-]{60,}", "fm1", "fm2"),
    "age": (r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{58,}", "AGE-SECRET-KEY-"),
    "JWT": (_EDGE + rf"eyJ{_WORD}{{8,}}\.eyJ{_WORD}{{8,}}\.{_WORD}{{8,}}", "eyJ"),
    "PEM": (_PEM, "-----BEGIN "),
    "PEM, numbered": (_PEM_SHOWN, "-----BEGIN "),
    "PEM, its end": (_PEM_END, "PRIVATE KEY-----"),
    "PEM, without its first line": (_PEM_BODY, "b3BlbnNz", "MC4CAQAw", "MHcCAQEE", "IBAAKC", "IBADANBg"),
}  # fmt: skip


def _made(described: dict[str, Sequence[str]]) -> list[tuple[str, KeyForm]]:
    forms = [(KeyForm(re.compile(pattern)), hints) for pattern, *hints in described.values()]
    return [(hint, form) for form, hints in forms for hint in hints]


# In this order.
_FORMS = [*_made(_BY_CONTEXT), *_made(_BY_THEMSELVES)]


def forms_in(text: str) -> list[KeyForm]:
    """Those that may be in it."""
    return list(dict.fromkeys(form for hint, form in _FORMS if hint in text))
