"""A path as a person writes it, with `~` for a home, as one that the system knows. Looks at no file but that."""

from __future__ import annotations

import os
from pathlib import Path

from sextant.errors import UsageError


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with `~` and `~NAME` replaced by a home folder; a file may be called `~draft.png` all the same.

    Raises:
        UsageError: `~NAME/...` where there is neither such a user nor such a folder.
    """
    given = os.fspath(path)
    found = Path(os.path.expanduser(given))  # noqa: PTH111 – Path's raises for a file that is called `~draft.png`
    head = found.parts[0] if found.parts else ""
    if head.startswith("~") and len(found.parts) > 1 and not Path(head).is_dir():
        raise UsageError(f"'{given}': there is no user '{head[1:]}', and no folder '{head}' here")
    return found
