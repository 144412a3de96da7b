"""No key, token or signature of a cloud's store is shown, whole or in part, whoever says it."""

from __future__ import annotations

import pytest

from tasks.machine.redaction import redacted

KEY = "aHVudGVyMi9odW50ZXIyK2h1bnRlcjI="
CONNECTION = f"DefaultEndpointsProtocol=https;AccountName=ours;AccountKey={KEY};EndpointSuffix=core.windows.net"
SIGNED = "?sv=2026-10-06&sp=rw&sig=aHVudGVy%2FMg%3D"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY, f"cannot sign with {KEY}"),
        ("AZURE_STORAGE_CONNECTION_STRING", CONNECTION, f"bad: {CONNECTION}"),
        ("AZURE_STORAGE_CONNECTION_STRING", CONNECTION, f"cannot sign with {KEY}"),
        ("AZURE_STORAGE_SAS_TOKEN", SIGNED, f"https://ours.blob.core.windows.net/team{SIGNED}"),
        ("AZURE_STORAGE_SAS_TOKEN", SIGNED, "the signature aHVudGVy%2FMg%3D did not match"),
        ("AZURE_CLIENT_SECRET", "aHVudGVyMg", "AADSTS7000215: aHVudGVyMg"),
        ("UNRELATED", "", f"https://ours.blob.core.windows.net/team/x{SIGNED}&se=2027"),
        ("UNRELATED", "", f"BlobEndpoint=https://x;SharedAccessSignature={SIGNED[1:]}"),
        ("UNRELATED", "", f"no such account: {CONNECTION}"),
        ("UNRELATED", "", "https://storage.googleapis.com/team/x?X-Goog-Signature=aHVudGVyMg&x=1"),
    ],
)
def test_secrets_of_a_store_are_not_shown(monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    shown = redacted(said)
    assert "aHVudGVy" not in shown
    assert "***" in shown


def test_where_a_key_is_kept_and_what_is_no_secret_stays(monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/run/secrets/google.json")
    said = "File /run/secrets/google.json was not found; design=nice, AccountName=ours; b/team/o?ifGenerationMatch=0"
    assert redacted(said) == said
