"""What a change is compared with where nobody says it: in a job of GitHub Actions, what its event says that it stands on."""

import json
import os
from pathlib import Path
from typing import Any

from mpcore.ab.git import RevisionError, git

EVENT = "GITHUB_EVENT_PATH"
"""The variable that names the file of the event."""


def event_base() -> str | None:
    """The commit that a merge group or a pull request stands on; None where this is no job for one. Whether this clone holds it
    is not looked at. Raises RevisionError for an event that cannot be read, and for one whose change is not checked out.

    A group of a queue stands on the group before it, or on its branch. Squashed, rebased or merged, that is the group's base;
    the commit before HEAD is another one where a pull request with several commits is rebased.
    """
    event = _event()
    if group := event.get("merge_group"):
        _left(group["base_sha"], "the merge group")
        return str(group["base_sha"])
    if pull_request := event.get("pull_request"):
        return _base_of(pull_request["base"]["sha"], pull_request["head"]["sha"])
    return None


def _event() -> dict[str, Any]:
    path = os.environ.get(EVENT)
    if not path:
        return {}
    try:
        event = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise RevisionError(f"${EVENT}, {path!r}: expected the event of the job as JSON ({error})") from error
    return event if isinstance(event, dict) else {}


def _base_of(base: str, head: str) -> str:
    """Of the merge that GitHub makes of a pull request, its first parent, which may be newer than `base`; where the pull
    request itself is checked out, the commit at which it left its branch."""
    parents = [line.split()[1] for line in git("cat-file", "commit", "HEAD").stdout.splitlines() if line.startswith("parent ")]
    if parents[1:] == [head]:
        return parents[0]
    return _left(base, "the pull request or its merge")


def _left(base: str, change: str) -> str:
    """The commit at which HEAD left `base`, which is `base` where this clone does not say. Raises RevisionError where HEAD has
    nothing more."""
    left = git("merge-base", "HEAD", base).stdout.strip() or base
    if left == git("rev-parse", "HEAD").stdout.strip():
        raise RevisionError(f"HEAD has nothing that {left[:12]} has not: expected a checkout of {change}")
    return left
