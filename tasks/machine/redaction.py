"""Takes secrets out of other libraries' words, before they become an error message, a log line or a record."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

WORDS = ("PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "ACCESS_KEY", "CREDENTIAL", "PRIVATE_KEY", "SAS", "DSN",
         "ACCOUNT_KEY", "STORAGE_KEY", "CONNECTION_STRING")  # fmt: skip
NO_SECRET = ("GOOGLE_APPLICATION_CREDENTIALS",)  # where one is
# of an Azure connection string, and of the signed addresses of Azure, Google and Amazon: whoever has these is let in
PARTS = re.compile(
    r"\b((?:AccountKey|SharedAccessSignature|sig|X-Goog-Signature|X-Amz-Signature)=)[^&;\s'\"<>]+", re.IGNORECASE
)
SHORTEST = 4  # a shorter value would blot out half of any message
MASK = "***"


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without ``secrets``, and without the value of any environment variable that is named like one, or the
    secret parts of that value; and without whatever stands where addresses and connection strings have a key.

    A secret is found as it is and as URLs write it.
    """
    named = [value for name, value in os.environ.items() if any(word in name.upper() for word in WORDS)
             and name not in NO_SECRET]  # fmt: skip
    named += [part.group().partition("=")[2] for value in named for part in PARTS.finditer(value)]
    known = {value for value in (*secrets, *named) if len(value) >= SHORTEST} | {value for value in secrets if value}
    forms = {form for value in known for form in (value, quote(value, safe=""), quote_plus(value), repr(value)[1:-1])}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return PARTS.sub(rf"\1{MASK}", text)


def without_secrets(text: str) -> str:
    """``text`` with neither user and password nor query in any address; it need not be an address itself."""
    return re.sub(r"\?[^\s?]*=\S*", "", re.sub(r"://\S*@", "://", text))
