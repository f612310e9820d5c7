"""Keys as they look, made up; and what only looks like them."""

from __future__ import annotations

import json

# Put together here, so that no scanner takes this file for a leak.
_MIXED = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4hJ6kL8nP0rS2tU4vX6zA8cD0eF2gH4iJ6kL8mN0oP2qR4sT6uV8wX0yZ"
_HEX = "0123456789abcdef" * 8
_UPPER = "A1B2C3D4E5F6G7H8J9K0L1M2N3P4Q5R6S7T8U9V0W1X2Y3Z4A5B6C7D8E9F0"
_BODY = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7" + "x" * 12] * 6)
_PUBLIC = "\n".join(["MIIDqTCCApGgAwIBAgIUQ2VydGlmaWNhZG8gZGUgcHJ1ZWJhIDEy" + "x" * 12] * 6)


def mixed(length: int) -> str:
    return _MIXED[:length]


# name → (text, what may not be left of it)
SECRETS: dict[str, tuple[str, str]] = {
    name: (secret, secret)
    for name, secret in {
        "groq": "gsk_" + mixed(52),
        "anthropic": "sk-ant-" + "api03-" + mixed(80),
        "anthropic, admin": "sk-ant-" + "admin01-" + mixed(80),
        "openai": "sk-" + mixed(48),
        "openai, project": "sk-" + "proj-" + mixed(60),
        "openrouter": "sk-" + "or-v1-" + _HEX[:64],
        "nanobot": "nanobot" + "_" + _HEX[:12] + "_" + mixed(43),
        "github": "gh" + "p_" + mixed(36),
        "github, oauth": "gh" + "o_" + mixed(36),
        "github, app": "gh" + "s_" + mixed(36),
        "github, fine-grained": "github" + "_pat_11AAAAAAA0_" + mixed(59),
        "gitlab": "glpat" + "-" + mixed(20),
        "gitlab, deploy": "gldt" + "-" + mixed(20),
        "gitlab, runner": "GR1348941" + mixed(20),
        "gitlab, job": "glcbt" + "-64_" + mixed(20),
        "aws": "AKIA" + "IOSFODNN7EXAMPLE",
        "aws, temporary": "ASIA" + "IOSFODNN7EXAMPLE",
        "slack": "xoxb" + "-1234567890-1234567890123-" + mixed(24),
        "slack, app": "xapp" + "-1-A0123456789-1234567890123-" + _HEX[:64],
        "telegram": "1234567890" + ":" + "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1",
        "google": "AIza" + mixed(35),
        "google, client": "GOCSPX" + "-" + mixed(28),
        "google, access": "ya29" + "." + mixed(70),
        "google, refresh": "1//0" + mixed(60),
        "stripe": "sk" + "_live_" + mixed(24),
        "stripe, restricted": "rk" + "_live_" + mixed(40),
        "stripe, test": "sk" + "_test_" + mixed(24),
        "stripe, hook": "whsec" + "_" + mixed(32),
        "npm": "npm" + "_" + mixed(36),
        "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + mixed(70),
        "rubygems": "rubygems" + "_" + _HEX[:48],
        "docker": "dckr" + "_pat_" + mixed(27),
        "hugging face": "hf" + "_" + mixed(34),
        "xai": "xai" + "-" + mixed(80),
        "perplexity": "pplx" + "-" + mixed(48),
        "replicate": "r8" + "_" + mixed(37),
        "tavily": "tvly" + "-dev-" + mixed(32),
        "langsmith": "lsv2" + "_pt_" + _HEX[:32] + "_" + _HEX[:10],
        "azure, entra": "abc" + "8Q~" + mixed(34),
        "sendgrid": "SG" + "." + mixed(22) + "." + mixed(43),
        "mailgun": "key" + "-" + _HEX[:32],
        "mailchimp": _HEX[:32] + "-us" + "12",
        "twilio, key": "SK" + _HEX[:32],
        "digitalocean": "dop" + "_v1_" + _HEX[:64],
        "digitalocean, refresh": "dor" + "_v1_" + _HEX[:64],
        "shopify": "shpat" + "_" + _HEX[:32],
        "square": "sq0atp" + "-" + mixed(22),
        "linear": "lin" + "_api_" + mixed(40),
        "notion": "ntn" + "_" + mixed(46),
        "notion, older": "secret" + "_" + mixed(43),
        "vault": "hvs" + "." + mixed(90),
        "terraform": mixed(14) + "." + "atlasv1" + "." + mixed(67),
        "databricks": "dapi" + _HEX[:32],
        "new relic": "NRAK" + "-" + _UPPER[:27],
        "grafana": "glsa" + "_" + mixed(32) + "_" + _HEX[:8],
        "sentry": "sntrys" + "_" + mixed(80),
        "supabase": "sbp" + "_" + _HEX[:40],
        "planetscale": "pscale" + "_pw_" + mixed(43),
        "postman": "PMAK" + "-" + _HEX[:24] + "-" + _HEX[:34],
        "atlassian": "ATATT3" + mixed(80),
        "airtable": "pat" + mixed(14) + "." + _HEX[:64],
        "tailscale": "tskey" + "-auth-" + mixed(12) + "-" + mixed(32),
        "discord": "M" + mixed(23) + "." + "GhIjKl" + "." + mixed(38),
        "age": "AGE-SECRET-KEY-" + "1" + _UPPER[:58],
        "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + mixed(43),
        "pem": f"-----BEGIN PRIVATE KEY-----\n{_BODY}\nAbC=\n-----END PRIVATE KEY-----",
        "pem, rsa": f"-----BEGIN RSA PRIVATE KEY-----\n{_BODY}\n-----END RSA PRIVATE KEY-----",
        "ssh": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{_BODY}\n-----END OPENSSH PRIVATE KEY-----",
        "pgp": f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{_BODY}\n=AbCd\n-----END PGP PRIVATE KEY BLOCK-----",
        "pem in json": json.dumps(f"-----BEGIN EC PRIVATE KEY-----\n{_BODY}\n-----END EC PRIVATE KEY-----")[1:-1],
    }.items()
}  # fmt: skip

_AWS = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
_SAS = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE%3D"
# Secrets that only their surroundings give away.
BY_CONTEXT: dict[str, tuple[str, str]] = {
    "aws, ini": (f"[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = {_AWS}\n", _AWS),
    "aws, env": (f"export AWS_SECRET_ACCESS_KEY={_AWS}", _AWS),
    "aws, json": (json.dumps({"SecretAccessKey": _AWS}), _AWS),
    "aws, yaml": (f"secret_access_key: '{_AWS}'", _AWS),
    "aws, csv": (f"AKIAIOSFODNN7EXAMPLE,{_AWS}\n", _AWS),
    "aws, beside": (f"AKIAIOSFODNN7EXAMPLE / {_AWS}", _AWS),
    "aws, session": (f"aws_session_token = {mixed(40)}{_AWS}{mixed(60)}", _AWS),
    "azure, storage": (f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={mixed(86)}==;", mixed(86)),
    "azure, bus": (f"Endpoint=sb://x/;SharedAccessKeyName=r;SharedAccessKey={mixed(43)}=", mixed(43)),
    "azure, signed": (f"https://x.blob.core.windows.net/a?sv=2022&sr=b&sig={_SAS}&se=2026", _SAS),
    "twilio": (f"TWILIO_AUTH_TOKEN={_HEX[:32]}", _HEX[:32]),
    "cloudflare": (f"CLOUDFLARE_API_TOKEN={mixed(40)}", mixed(40)),
    "bearer": (f"Authorization: Bearer {mixed(30)}", mixed(30)),
    "basic": ("curl -H 'Authorization: Basic dXN1YXJpbzpjb250cmFzZcOxYQ=='", "dXN1YXJpbzpjb250cmFzZcOxYQ"),
    "header in json": (json.dumps({"authorization": f"Bearer {mixed(30)}"}), mixed(30)),
    "address": ("https://ana:Tr0ub4dor@git.example/x.git", "Tr0ub4dor"),
    "address, token": (f"https://x-access-token:{mixed(30)}@github.com/a/b", mixed(30)),
    "postgres": ("DATABASE_URL=postgres://app:s3gura!@db:5432/x", "s3gura!"),
    "postgresql": ("postgresql+asyncpg://app:pass@localhost/x", ":pass@"),
    "mysql": ("mysql://root:hola%40adios@127.0.0.1/x", "hola%40adios"),
    "redis": ("redis://:clave-larga@cache:6379/0", "clave-larga"),
    "mongodb": ("mongodb+srv://u:p4ss_word@c.mongodb.net/", "p4ss_word"),
    "amqp": ("amqps://user:pa:ss@mq", "pa:ss"),
    "alone": ("postgres://user:pass@", ":pass@"),
    "slack, hook": (f"https://hooks.slack.com/services/T00000000/B00000000/{mixed(24)}", mixed(24)),
    "discord, hook": (f"https://discord.com/api/webhooks/123456789012345678/{mixed(68)}", mixed(68)),
    "putty": (f"PuTTY-User-Key-File-3: x\nPrivate-Lines: 2\n{mixed(64)}\n{mixed(40)}=\nPrivate-MAC: x", mixed(40)),
}  # fmt: skip

ORDINARY = {
    "git commit": "d670460b4b4aece5915caf5c68d12f560a9fe3e4",
    "git log": "commit d670460b4b4aece5915caf5c68d12f560a9fe3e4 (HEAD -> main)\nAuthor: Ana <ana@example.org>",
    "git tree": "100644 blob e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\tREADME.md",
    "git sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "md5": "d41d8cd98f00b204e9800998ecf8427e  vacío.txt",
    "docker image": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "npm integrity": '"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvU=="',
    "yarn": 'resolved "https://registry.yarnpkg.com/a/-/a-1.0.0.tgz#d41d8cd98f00b204e9800998ecf8427e00000000"',
    "pip hashes": "requests==2.32.3 --hash=sha256:70761cfe03c773ceb22aa2f671b4757976145175cdfca038c02654d061d6dcc6",
    "go.sum": "golang.org/x/net v0.1.0 h1:hZ/3BUoy5aId7sCpA/Tc5lt8DkFgdVS2onTpJsZ/fl0=",
    "cargo": 'checksum = "f2b0e1b8e1c4b1f0e0a6d2e3c4b5a69788796a5b4c3d2e1f00112233445566aa"',
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "etag": 'ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4"',
    "trace": "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "public ssh key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl yo@casa",
    "fingerprint": "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8",
    "certificate": f"-----BEGIN CERTIFICATE-----\n{_PUBLIC}\n-----END CERTIFICATE-----",
    "public pem": f"-----BEGIN PUBLIC KEY-----\n{_PUBLIC}\n-----END PUBLIC KEY-----",
    "age recipient": "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    "data image": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhg==",
    "about keys": "La clave empieza por gsk_ o sk-ant-; las de GitHub, por ghp_. Nunca la escribas.",
    "placeholders": "GROQ_API_KEY=gsk_... ANTHROPIC_API_KEY=<tu clave> TOKEN=${TOKEN}",
    "code": "if text.startswith('-----BEGIN PRIVATE KEY-----'):\n    pass  # sk-learn, sk-toolbar",
    "kebab names": "sk-proj-my-kebab-case-branch-name task-runner-of-the-project-alpha-beta",
    "address": "https://example.com:8443/a/b?c=d@e#f",
    "address with a user": "ssh://git@github.com/a/b.git y git@github.com:a/b.git",
    "address, to be filled in": "postgres://${USER}:${PASSWORD}@db y https://user:<password>@host y x://u:{{pw}}@h",
    "time": "12:34:56 2026-01-01T10:00:00 10.0.0.1:8080 00:11:22:33:44:55",
    "assignment": "secret_access_key = os.environ['AWS_SECRET_ACCESS_KEY']",
    "header names": "Authorization: Bearer TOKEN y proxy-authorization: Basic",
    "names": "npm_config_registry hf_hub_download secret_key_base pat_manager key-value SG.x dapi ya29 glossary",
    "dotted": "com.example.application.module.submodule.ClassName.methodName(Foo.java:42)",
    "versions": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.6099.129",
    "hex dump": "00000000: 7f45 4c46 0201 0100 0000 0000 0000 0000  .ELF............",
    "minified": "function(a,b){return a.b.c(d,e)||f[g]?h:i};var j=Math.round(k*1e3)/1e3;",
    "spanish": "Contraseña: ¿la has olvidado? Escribe a soporte@example.es. 1234567890: pedido",
    "snowflake": "1234567890123456789 user:123456789012345678",
}  # fmt: skip
