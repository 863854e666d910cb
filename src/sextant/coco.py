"""A selection as a COCO document: attributes are categories, and an annotation says that an image as a whole shows one.

COCO knows boxes. An attribute of a whole image has the box of the whole image, so that tools which expect one work;
`score` is the confidence, and `band` and `source` are kept beside it.
"""

from __future__ import annotations

from typing import Any

from sextant.selection import Selection


def document(selection: Selection) -> dict[str, Any]:
    """`info`, `images`, `categories` and `annotations`. `file_name` is the path from the collection's folder."""
    facts = selection.facts(["width", "height", "taken_at"])
    categories = {code: number for number, code in enumerate(selection.codes, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, picked in enumerate(selection, 1):
        width, height = facts["width"][picked.row] or 0, facts["height"][picked.row] or 0
        taken = facts["taken_at"][picked.row]
        image = {"id": number, "file_name": picked.path, "width": width, "height": height, "sextant_id": picked.id}
        images.append(image | ({"date_captured": taken.isoformat(" ")} if taken else {}))
        for shown in picked.shown:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": categories[shown.code],
                    "score": shown.confidence,
                    "band": shown.band,
                    "source": shown.source,
                    "bbox": [0, 0, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "segmentation": [],
                }
            )
    return {
        "info": {"description": "Attributes of whole images by Sextant; score is a calibrated confidence"},
        "licenses": [],
        "images": images,
        "categories": [
            {"id": n, "name": c, "supercategory": selection.kind(c), "label": selection.label(c)}
            for c, n in categories.items()
        ],
        "annotations": annotations,
    }
