"""Sextant turns a collection of images into a database of calibrated confidences.

import sextant
photos = sextant.open("~/photos", create=True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sextant.collection import Collection as Collection
    from sextant.collection import open_collection as open

__version__ = "0.1.0"

__all__ = ["Collection", "SextantError", "__version__", "open"]


def __getattr__(name: str) -> Any:
    """Loads the collection when it is first asked for, so that `import sextant` stays light."""
    if name in ("open", "Collection"):
        from sextant import collection

        return collection.open_collection if name == "open" else collection.Collection
    if name == "SextantError":
        from sextant.errors import SextantError

        return SextantError
    raise AttributeError(f"module 'sextant' has no attribute {name!r}")
