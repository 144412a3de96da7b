"""An environment's profile: where its things are. Checked line by line; it holds no secret, only names of variables.

`tasks/machine/environments.py` reads the file and puts what these functions return into the process's environment.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NoReturn
from urllib.parse import parse_qsl, urlsplit

from penstock.errors import ConfigError
from penstock.refs import Value

Kind = Literal["development", "staging", "production"]
KINDS: tuple[Kind, ...] = ("development", "staging", "production")
KIND = "PENSTOCK_ENV_KIND"
ALERT = "PENSTOCK_ALERT_"  # optional: Prefect keeps an alert's address once it was told, the variable need not stay
# what else says where things are, by the libraries' own names
OTHERS = ("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "STORAGE_EMULATOR_HOST", "MLFLOW_", "PREFECT_")
# by whom the process is told which environment it is in, and where the profile was found: a profile cannot say it
NOT_HERE = ("PENSTOCK_ENV", "PENSTOCK_CONFIRM_ENV", "PENSTOCK_ENV_LOADED", "PENSTOCK_ROOT")
SECRET_NAMES = ("PASSWORD", "SECRET", "TOKEN", "_KEY", "CREDENTIAL", "AUTH_STRING", "CUSTOM_HEADERS",
                "CONNECTION_STRING", ALERT)  # fmt: skip
OF_FILES = ("_FILE", "GOOGLE_APPLICATION_CREDENTIALS")  # variables so named say where a secret is
SECRET_SHAPES = re.compile(
    r"(AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_\w{20}|xox[abp]-|hooks\.slack(-gov)?\.com/|-----BEGIN |"
    r"\b(AccountKey|SharedAccessSignature|sig)="
)
REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
# An environment other than development takes these from its profile alone: what another one's shell left set would
# read, write or log in at the wrong place.
PLACES = (
    "PENSTOCK_HOME",
    "PENSTOCK_REMOTE",
    "PENSTOCK_STORE",
    "PENSTOCK_MLFLOW_URI",
    "PENSTOCK_API_KEY",
    "PENSTOCK_PROMOTE_FROM",
    "PENSTOCK_WORK_POOL",
    "PENSTOCK_APPROVAL",
    "PENSTOCK_TARGET",
    "PENSTOCK_MANIFESTS",
    "PENSTOCK_MANIFESTS_PATH",
    "PENSTOCK_MANIFESTS_REMOTE",
    "PENSTOCK_KUBERNETES_API",
    "PREFECT_API_URL",
    "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
    "STORAGE_EMULATOR_HOST",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TENANT_ID",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
)


class Line(Value):
    """One line of a profile. ``text``: as it stands there, with `${NAME}` for what the environment has."""

    name: str
    text: str
    number: int


class Profile(Value):
    """An environment's profile. ``path``: its file, as errors name it."""

    name: str
    kind: Kind
    path: str
    lines: tuple[Line, ...]


def profile(name: str, path: str, lines: Iterable[Line], known: Collection[str]) -> Profile:
    """The profile of environment ``name``. ``known``: the names of variables that Penstock reads.

    Raises ConfigError, with file and line and without the value, for a name that nothing reads, one that stands twice,
    a secret, and a kind that there is not.
    """
    seen: dict[str, Line] = {}
    for line in lines:
        where = f"{path}:{line.number}"
        if line.name in seen:
            raise ConfigError(f"{line.name} stands twice.", where=where, found=f"also in line {seen[line.name].number}")
        _require_known(line.name, where, known)
        _require_no_secret(line, where)
        seen[line.name] = line
    given = seen.get(KIND)
    found = given.text if given else name
    for kind in KINDS:
        if found == kind:
            return Profile(name=name, kind=kind, path=path, lines=tuple(seen.values()))
    raise ConfigError(
        f"The environment `{name}` does not say what kind it is.",
        where=f"{path}:{given.number}" if given else path,
        found=f"{KIND}={found}" if given else "",
        allowed=", ".join(f"{KIND}={kind}" for kind in KINDS),
        next_step="production kinds have to be named by every command that changes what serves",
    )


def taken(profile: Profile, environ: Mapping[str, str]) -> dict[str, str]:
    """What the process's environment gets from the profile.

    In development, a variable that is set wins. Elsewhere, one that says otherwise is an error, and so is one that says
    where things are and is not in the profile. Raises ConfigError for these, and for a `${NAME}` that is not set.
    """
    found: dict[str, str] = {}
    strict = profile.kind != "development"
    for line in profile.lines:
        where = f"{profile.path}:{line.number}"
        own = environ.get(line.name) or None
        if own is not None and not strict:
            continue
        value = _resolved(line, where, environ)
        if value is None:
            continue
        if own is not None and own != value:
            _contradicted(profile, line, own, where)
        found[line.name] = value
    if strict:
        _require_no_strangers(profile, environ)
    return {KIND: profile.kind} | found


def _require_known(name: str, where: str, known: Collection[str]) -> None:
    if name in NOT_HERE:
        raise ConfigError(
            f"{name} cannot be set by a profile.",
            where=where,
            next_step="name the environment where the command is typed: --env NAME, or PENSTOCK_ENV",
        )
    if name in known or name.startswith((ALERT, *OTHERS)):
        return
    near = difflib.get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.6)
    raise ConfigError(
        f"Nothing reads {name}.",
        where=where,
        allowed="PENSTOCK_* variables of docs/environments.md, PREFECT_*, MLFLOW_*, AWS_*, AZURE_*, GOOGLE_*",
        next_step=f"did you mean {near[0]}?" if near else "take the line out",
    )


def _require_no_secret(line: Line, where: str) -> None:
    """A profile is in git. The value is not shown: this may be a log."""
    rest = REFERENCE.sub("", line.text)
    if not rest:
        return
    why = ""
    if any(word in line.name for word in SECRET_NAMES) and not line.name.endswith(OF_FILES):
        why = "its name says so"
    elif SECRET_SHAPES.search(rest):
        why = "its value looks like a key or a webhook"
    elif _password(rest):
        why = "its address has a password or a token in it"
    if why:
        raise ConfigError(
            f"{line.name} is a secret, and profiles are kept in git.",
            where=where,
            found=why,
            allowed=f"{line.name}=${{NAME}}: the value of the variable NAME, wherever the command runs",
            next_step="if it was committed, change it where it is valid",
        )


def _password(text: str) -> bool:
    try:
        parts = urlsplit(text)
        query = parse_qsl(parts.query, keep_blank_values=False)
    except ValueError:
        return "@" in text
    words = ("token", "secret", "password", "key", "sig", "signature")
    return bool(parts.password) or any(any(word in name.lower() for word in words) for name, _ in query)


def _resolved(line: Line, where: str, environ: Mapping[str, str]) -> str | None:
    """The value; None for an alert's address that is not set here. Raises ConfigError for anything else not set."""
    missing = [name for name in REFERENCE.findall(line.text) if not environ.get(name)]
    if not missing:
        return REFERENCE.sub(lambda found: environ[found[1]], line.text)
    if line.name.startswith(ALERT):
        return None
    raise ConfigError(
        f"{line.name} has no value: the variable {missing[0]} is not set.",
        where=where,
        next_step=f"set {missing[0]} where this command runs",
    )


def _contradicted(profile: Profile, line: Line, own: str, where: str) -> NoReturn:
    shown = not REFERENCE.search(line.text) and not _password(own) and not SECRET_SHAPES.search(own)
    raise ConfigError(
        f"{line.name} is set to something else than the profile of `{profile.name}` says.",
        where=where,
        found=f"{own!r} in the environment, {line.text!r} in the profile" if shown else "two values, not shown here",
        allowed="the profile alone says where things are, in staging and production",
        next_step=f"unset {line.name}",
    )


def _require_no_strangers(profile: Profile, environ: Mapping[str, str]) -> None:
    mine = {line.name for line in profile.lines}
    strangers = [name for name in PLACES if environ.get(name) and name not in mine]
    if strangers:
        name = strangers[0]
        raise ConfigError(
            f"{name} is set, and the profile of `{profile.name}` does not know it.",
            where=profile.path,
            found=", ".join(strangers),
            allowed="the profile alone says where things are, in staging and production",
            next_step=f"unset {' '.join(strangers)}; or, if it is meant, write {name}=${{{name}}} into the profile",
        )
