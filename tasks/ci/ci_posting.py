"""Puts the report onto the pull request, by the API of the CI system that runs this; always into the same comment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from penstock.ci_report import MARKER
from penstock.errors import PlatformError
from tasks.ci import ci_run
from tasks.machine.redaction import redacted

if TYPE_CHECKING:
    import httpx

PAGE = 100
SECONDS = 30.0
NOT_ALLOWED = (401, 403, 404)


def post(text: str) -> str:
    """Write ``text`` where the report of before is, or as a new comment; returns what became of it, in words.

    Nothing is posted where there is no pull request, no API or no token, or where the token may not: a pull request
    from a fork has one that only reads. Raises PlatformError if the API cannot be reached or fails.
    """
    run = ci_run.running()
    token = os.environ.get("GITHUB_TOKEN" if run.system == "github" else "PENSTOCK_GITLAB_TOKEN", "")
    if run.system not in ("github", "gitlab") or not run.change:
        return "not posted: there is no pull request here"
    if not token:
        name = "GITHUB_TOKEN" if run.system == "github" else "PENSTOCK_GITLAB_TOKEN"
        return f"not posted: {name} is not set"
    return _github(run.change, token, text) if run.system == "github" else _gitlab(run.change, token, text)


def _github(number: str, token: str, text: str) -> str:
    address = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    repository = os.environ["GITHUB_REPOSITORY"]
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    comments = f"/repos/{repository}/issues/{number}/comments"
    return _written(address, headers, comments, f"/repos/{repository}/issues/comments/{{}}", "PATCH", text)


def _gitlab(number: str, token: str, text: str) -> str:
    project = os.environ["CI_PROJECT_ID"]
    notes = f"/projects/{project}/merge_requests/{number}/notes"
    return _written(os.environ["CI_API_V4_URL"], {"PRIVATE-TOKEN": token}, notes, f"{notes}/{{}}", "PUT", text)


def _written(address: str, headers: dict[str, str], listed: str, one: str, verb: str, text: str) -> str:
    """``listed``: where comments are listed and added; ``one``: where one of them is changed, by its id."""
    import httpx

    try:
        with httpx.Client(
            base_url=address, headers=headers, timeout=SECONDS, transport=httpx.HTTPTransport(retries=2)
        ) as client:
            known = _known(client, listed)
            said = (
                client.request(verb, one.format(known), json={"body": text})
                if known
                else client.post(listed, json={"body": text})
            )
            said.raise_for_status()
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in NOT_ALLOWED:
            return f"not posted: the API answered {status}, so the token may not"
        raise _failed(address, f"{status} {error.response.reason_phrase}") from None
    except (httpx.HTTPError, ValueError) as error:
        raise _failed(address, str(error) or type(error).__name__) from None
    return "posted, in the place of the one before" if known else "posted"


def _known(client: httpx.Client, listed: str) -> Any:
    """The id of the comment that begins with our marker, or None."""
    page = 1
    while True:
        said = client.get(listed, params={"per_page": PAGE, "page": page})
        said.raise_for_status()
        comments = said.json()
        for comment in comments:
            if str(comment.get("body", "")).startswith(MARKER):
                return comment["id"]
        if len(comments) < PAGE:
            return None
        page += 1


def _failed(address: str, found: str) -> PlatformError:
    return PlatformError(
        "The report could not be posted; it is in .penstock/ci/.",
        where=address,
        found=redacted(found)[:300],
        next_step="run the stage again",
    )
