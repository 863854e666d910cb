"""`export`: a selection of a collection goes out, as a table, a document, a folder of pictures, or sidecars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from sextant import coco, documents, exchange, fiftyone, imagefolder, sidecars
from sextant.edges import Edges
from sextant.errors import ExchangeError, UsageError
from sextant.maths import rules
from sextant.selection import Selection
from sextant.sidecars import SidecarReport
from sextant.types import Skipped

DOCUMENTS = ("coco", "fiftyone")


def select(
    edges: Edges, where: str | None, codes: Sequence[str] | None, bands: Sequence[str], *, narrow: bool = True
) -> Selection:
    """The images of a rule or of bands, and their attributes."""
    rule = rules.parse(where, edges.known()) if where else None
    view = edges.view_of(codes) if codes else edges.view(edges.codes())
    return Selection(view, rule=rule, codes=codes, bands=bands, narrow=narrow)


def to_file(
    edges: Edges,
    target: Path,
    *,
    format: str | None,
    shape: str,
    where: str | None,
    codes: Sequence[str] | None,
    bands: Sequence[str],
    force: bool,
) -> int:
    """Writes a table or a document; how many rows, or images."""
    if format is None and target.suffix.lower() == ".json":
        raise ExchangeError(f"{target}: say the format with --format coco or fiftyone")
    kind = format if format in DOCUMENTS else exchange.format_of(target, format)
    if shape not in ("wide", "long"):
        raise UsageError(f"a table is 'wide' or 'long', not {shape!r}")
    selection = select(edges, where, codes, bands)
    if kind in DOCUMENTS:
        document = coco.document(selection) if kind == "coco" else fiftyone.document(selection, edges.folder)
        documents.save(document, target, force=force)
        return len(selection)
    documents.refuse_existing(target, force=force)
    table = _wide(selection, codes) if shape == "wide" else _long(selection, codes)
    exchange.write(table, target, exchange.format_of(target, format))
    return int(table.num_rows)


def to_folder(
    edges: Edges,
    target: Path,
    *,
    where: str | None,
    codes: Sequence[str] | None,
    bands: Sequence[str],
    link: bool,
    force: bool,
) -> tuple[int, tuple[Skipped, ...]]:
    """Writes a Hugging Face imagefolder; how many images, and which were left out."""
    selection = select(edges, where, codes, bands)
    count, skipped = imagefolder.write(selection, edges.folder, target, link=link, force=force)
    return count, tuple(skipped)


def to_sidecars(
    edges: Edges, *, where: str | None, codes: Sequence[str] | None, bands: Sequence[str], naming: str
) -> SidecarReport:
    """Writes the XMP sidecars of all images of a rule: what no longer holds is withdrawn from theirs."""
    selection = select(edges, where, codes, bands, narrow=False)
    return sidecars.write(selection, edges.folder, edges.located().items(), naming=naming)


def _wide(selection: Selection, codes: Sequence[str] | None) -> pa.Table:
    """Without `codes` also the columns that have left the vocabulary."""
    return selection.view.wide(selection.codes if codes else None).take(pa.array(selection.rows))


def _long(selection: Selection, codes: Sequence[str] | None) -> pa.Table:
    table = exchange.long_table(selection.view)
    if not table.num_rows:
        return table
    table = exchange.only(table, "image_id", pa.chunked_array([selection.view.ids.take(pa.array(selection.rows))]))
    if codes:
        table = table.filter(pc.is_in(table["attribute_code"], value_set=pa.array(selection.codes)))
    if selection.narrowed:
        table = table.filter(pc.is_in(table["band"], value_set=pa.array(sorted(selection.bands))))
    return table
