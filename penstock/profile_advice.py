"""What a profile sets, as a person may see it, and what one of its kind should have and lacks. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from penstock.profile import ALERT, REFERENCE, SECRET_NAMES, Line, Profile
from penstock.refs import Value


class Lack(Value):
    """``name``: a variable that the profile does not set; ``why``: what follows from that; ``mend``: a line for it."""

    name: str
    why: str
    mend: str


def shown(line: Line, environ: Mapping[str, str]) -> str:
    """`NAME=value`; of what is or may be a secret only whether it has a value in this process."""
    if not REFERENCE.search(line.text) and not any(word in line.name for word in SECRET_NAMES):
        return f"{line.name}={line.text}"
    if environ.get(line.name):
        return f"{line.name} is set"
    return f"{line.name} is not set here" + (
        "; Prefect keeps it once it was told" if line.name.startswith(ALERT) else ""
    )


def lacking(profile: Profile, others: Collection[str]) -> tuple[Lack, ...]:
    """What a profile of its kind should have, the most important first. ``others``: the environments with a profile."""
    has = {line.name: line.text for line in profile.lines if line.text}
    wants = []
    if profile.kind == "production":
        if has.get("PENSTOCK_APPROVAL") != "manual":
            wants.append(("PENSTOCK_APPROVAL", "no person lets a release in", "PENSTOCK_APPROVAL=manual"))
        if has.get("PENSTOCK_TARGET") != "gitops":  # there, the key is a Secret of the cluster
            wants.append(("PENSTOCK_API_KEY", "anybody on this machine may ask", "PENSTOCK_API_KEY=${NAME}"))
        for source in sorted({"staging"} & set(others)):
            why = f"releases come in that {source} has not found healthy"
            wants.append(("PENSTOCK_PROMOTE_FROM", why, f"PENSTOCK_PROMOTE_FROM={source}"))
    if profile.kind != "development":
        why = "data are pushed to the remote of .dvc/config, as development's are"
        wants.append(("PENSTOCK_REMOTE", why, "PENSTOCK_REMOTE=s3://..."))
    if has.get("PENSTOCK_PROMOTE_FROM"):
        why = f"{has['PENSTOCK_PROMOTE_FROM']}'s ledger and files can be read from one store alone"
        wants.append(("PENSTOCK_STORE", why, "PENSTOCK_STORE=s3://..., the same in both profiles"))
    return tuple(
        Lack(name=name, why=why, mend=mend)
        for name, why, mend in wants
        if name not in has or (name, has[name]) == ("PENSTOCK_APPROVAL", "auto")
    )
