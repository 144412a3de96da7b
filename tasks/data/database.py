"""Reaches a database by SQLAlchemy, so that no secret of its URL is ever shown.

A URL comes without a password, which the environment then has as PENSTOCK_SQL_PASSWORD; or it comes whole from an
environment variable or a Prefect Secret block. Errors name driver, host and database, and nothing else of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from penstock.errors import ConfigError, DataError
from penstock.source_config import SqlConfig
from tasks.machine.redaction import redacted

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

PASSWORD = "PENSTOCK_SQL_PASSWORD"  # noqa: S105  # the variable's name


def database_url(sql: SqlConfig) -> URL:
    """The whole URL, its secret included. Raises ConfigError when it is not to be had, without repeating any of it."""
    if sql.url is not None:
        url = parsed(sql.url, "data.source.sql.url")
        secret = os.environ.get(PASSWORD, "")
        return url.set(password=secret) if secret else url
    if sql.url_env is not None:
        text = os.environ.get(sql.url_env, "")
        if not text:
            raise ConfigError(
                f"The environment variable {sql.url_env} is not set, and the database's URL is to be there.",
                where="data.source.sql.url_env",
                next_step=f"export {sql.url_env}=dialect://user:password@host:port/database",
            )
        return parsed(text, f"the environment variable {sql.url_env}")
    return parsed(_block(str(sql.url_block)), f"the Prefect Secret block {sql.url_block}")


def parsed(text: str, where: str) -> URL:
    import sqlalchemy

    try:
        return sqlalchemy.engine.make_url(text)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # the message has the whole text
        raise ConfigError(
            "This is no database's URL.", where=where, allowed="dialect://user@host:port/database, as SQLAlchemy's"
        ) from None


def shown(url: URL) -> str:
    """What may be seen of a URL."""
    return f"{url.drivername}://{url.host or ''}/{url.database or ''}"


@contextlib.contextmanager
def connection(url: URL) -> Iterator[Connection]:
    """A connection on which nothing is committed. What SQLAlchemy raises becomes DataError, without any secret."""
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(url, hide_parameters=True)
        try:
            with engine.connect() as open_connection:
                yield open_connection
        finally:
            engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        said = (str(getattr(error, "orig", None) or error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            "The database did not answer the query.",
            where=shown(url),
            found=redacted(said, _secrets(url))[:300],
            next_step="check the query, the address and the password; a driver may have to be installed",
        ) from None


def _secrets(url: URL) -> list[str]:
    """What of ``url`` no message may have: the password, every option's value, and the whole."""
    values = [value for option in url.query.values() for value in ([option] if isinstance(option, str) else option)]
    whole = url.render_as_string(hide_password=False)
    return [text for text in (whole, str(url.password or ""), *values) if text]


def _block(name: str) -> str:
    from tasks.platform import platform

    with platform.connected():
        from prefect.blocks.system import Secret

        try:
            value: Any = Secret.load(name, _sync=True).get()  # type: ignore[call-arg,union-attr]
        except ValueError:
            raise ConfigError(
                f"There is no Prefect Secret block `{name}`.",
                where="data.source.sql.url_block",
                next_step="make it in the Prefect UI (Blocks, Secret), or correct the name",
            ) from None
    return str(value)
