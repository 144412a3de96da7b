"""Channels of alerts as blocks on the Prefect server, which keeps their addresses encrypted.

A channel with a slash in its name (`slack-webhook/ops`) is a block that somebody saved there. Any other is made from
the environment variable PENSTOCK_ALERT_<CHANNEL>, once: afterwards the block has it, and the variable need not be set.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from penstock.errors import ConfigError
from penstock.profile import ALERT
from penstock.refs import Value
from tasks.platform.changes import Done
from tasks.platform.prefect_names import block as block_name

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

SLACK = ("https://hooks.slack.com/", "https://hooks.slack-gov.com/")
MAIL = ("mailto://", "mailtos://")
WEB = ("https://", "http://")
WEBHOOK = "webhook"  # Prefect's plain webhook: called with JSON, where a notification block is sent a text
APPRISE = "slack-webhook"
KINDS = (WEBHOOK, APPRISE)
JSON = {"Content-Type": "application/json"}


class Reached(Value):
    """A channel's block on the server."""

    channel: str
    block: str  # its id
    type: str  # the block type's slug


def variable(channel: str) -> str:
    """The environment variable that has the channel's address."""
    return ALERT + channel.upper().replace("-", "_")


def ensure_channel(client: SyncPrefectClient, channel: str) -> tuple[Reached, Done]:
    """The channel's block and what was done to it.

    Raises ConfigError, without the address, if there is neither block nor variable, or if either is of no use.
    """
    if "/" in channel:
        return _reached(channel, _saved(client, channel)), "kept"
    address = SecretStr(os.environ.get(variable(channel), ""))
    there = _made(client, channel)
    if not address.get_secret_value():
        if there:
            return _reached(channel, there[0]), "kept"
        raise _unreached(channel, f"{variable(channel)} is not set")
    kind = _kind(channel, address)
    for found in there:
        if found.block_type.slug == kind and found.data.get("url") == address.get_secret_value():
            return _reached(channel, found), "kept"
    _save(channel, kind, address)
    for found in there:
        if found.block_type.slug != kind:
            client.delete_block_document(found.id)
    return _reached(channel, _read(client, kind, block_name(channel))), "updated" if there else "created"


def remove_channel(client: SyncPrefectClient, channel: str) -> bool:
    """Delete the block that was made for ``channel``; whether there was one."""
    there = _made(client, channel)
    for found in there:
        client.delete_block_document(found.id)
    return bool(there)


def _made(client: SyncPrefectClient, channel: str) -> list[Any]:
    """The blocks that were made for ``channel``, with their secrets: one, or one of each type if a change broke off."""
    found = [_read(client, kind, block_name(channel), include_secrets=True) for kind in KINDS]
    return [each for each in found if each is not None]


def _reached(channel: str, block: Any) -> Reached:
    return Reached(channel=channel, block=str(block.id), type=block.block_type.slug)


def _save(channel: str, kind: str, address: SecretStr) -> None:
    try:
        block = _block(channel, kind, address)
    except ValueError:  # pydantic's message has the address in it
        raise _unusable(channel) from None
    block.save(block_name(channel), overwrite=True)


def _block(channel: str, kind: str, address: SecretStr) -> Any:
    if kind == WEBHOOK:
        from prefect.blocks.webhook import Webhook

        return Webhook.model_validate({"url": address, "headers": JSON})
    from prefect.blocks.notifications import SlackWebhook

    block = SlackWebhook(url=address)
    if not len(block._apprise_client):  # what it could not read, Apprise leaves out
        raise _unusable(channel)
    return block


def _kind(channel: str, address: SecretStr) -> str:
    """The type of the block. Prefect has none for SMTP; its Slack block hands any address on to Apprise, mail too."""
    text = address.get_secret_value()
    if text.startswith((*SLACK, *MAIL)):
        return APPRISE
    if text.startswith(WEB):
        return WEBHOOK
    raise _unusable(channel)


def _read(client: SyncPrefectClient, kind: str, name: str, include_secrets: bool = False) -> Any:
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_block_document_by_name(name, kind, include_secrets=include_secrets)
    except ObjectNotFound:
        return None


def _saved(client: SyncPrefectClient, channel: str) -> Any:
    """The block that somebody saved."""
    kind, _, name = channel.partition("/")
    found = _read(client, kind, name)
    if found is None:
        raise _unreached(channel, "there is no such block on the server")
    if kind != WEBHOOK and "notify" not in (found.block_schema.capabilities or []):
        raise _unreached(channel, "this block sends no notifications")
    return found


def _unusable(channel: str) -> ConfigError:
    return _unreached(channel, f"{variable(channel)} holds no address that alerts can be sent to")


def _unreached(channel: str, found: str) -> ConfigError:
    return ConfigError(
        f"Alerts for the channel `{channel}` reach nobody.",
        where="alerts, in the projects' YAML",
        found=found,
        allowed=f"a notification or webhook block that is saved in Prefect, {channel}"
        if "/" in channel
        else "https://... (a webhook, Slack's too), mailtos://USER:PASSWORD@HOST?to=...",
        next_step="mend it, then: penstock deploy-flows",
    )
