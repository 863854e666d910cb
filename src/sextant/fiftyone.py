"""A selection as FiftyOne's JSON of image classifications, several to an image.

The document is the `labels.json` of a `FiftyOneImageClassificationDataset`: absolute paths stand in the place of names,
so no picture is copied. `label` is a place in `classes`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sextant.place import is_url
from sextant.selection import Selection


def document(selection: Selection, folder: Path) -> dict[str, Any]:
    """`classes`, and by absolute path the `labels` of every image of the collection in `folder`."""
    classes = {code: number for number, code in enumerate(selection.codes)}
    labels = {
        picked.path if is_url(picked.path) else os.path.normpath(folder / picked.path): [
            {
                "label": classes[shown.code],
                "confidence": shown.confidence,
                "attributes": {"band": shown.band, "source": shown.source},
            }
            for shown in picked.shown
        ]
        for picked in selection
    }
    return {"classes": list(classes), "labels": labels}
