"""The values that travel between the layers: plain frozen dataclasses and two protocols, nothing that computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sextant.errors import MissingExtra

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow as pa
    from PIL import Image

Floats = NDArray[np.float32]
Band = Literal["accepted", "tentative", "rejected", "unknown"]
Device = Literal["auto", "cpu", "cuda"]
Engine = Literal["local", "ray"]
"""Where work over many images is done: in this process, or spread over a Ray cluster."""
Precision = Literal["auto", "fp32", "bf16", "int8"]


@runtime_checkable
class Encoder(Protocol):
    """An image-text pair of towers. Rows are unit length; `logit = logit_scale · cosine + logit_bias`."""

    name: str
    revision: str
    dim: int
    logit_scale: float
    logit_bias: float

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        """RGB images of any size to (n, dim) float32 unit rows."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Texts to (n, dim) float32 unit rows."""
        ...


@runtime_checkable
class PreparingEncoder(Encoder, Protocol):
    """An encoder whose pixel work can run ahead in threads, apart from the network.

    `decode_side` is the least shortest side, in pixels, that a scaled decode must keep; None asks for every pixel.
    """

    decode_side: int | None

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """One RGB image to what the network takes, without the batch axis. Safe to call from several threads."""
        ...

    def encode_prepared(self, batch: Sequence[NDArray[Any]]) -> Floats:
        """Prepared images to (n, dim) float32 unit rows."""
        ...


@dataclass(frozen=True, slots=True)
class Skipped:
    """One input that was left out, and why, in words a person can act on."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A part of the work that ended its worker so many times that it was given up."""

    times: int


Spread = Callable[..., Iterator[Any]]
"""`spread(make, items, alone=False)`: the results of items, in order, by workers that `make` made; or `Lost`."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a file says of itself and what its pixels say at a glance.

    `darkness` is the share of pixels below 20/255 (0 to 1); `sharpness` the variance of the Laplacian of the luma, on
    a copy of at most 256 pixels' side; `brightness` the mean luma (0 to 1).
    """

    width: int
    height: int
    format: str
    taken_at: datetime | None
    camera: str | None
    gps: bool
    sharpness: float
    darkness: float
    brightness: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long run is. `total` is 0 while unknown; `seconds` since its start."""

    verb: str
    done: int
    total: int
    seconds: float
    encoded: int = 0
    skipped: int = 0

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds left at this rate, or None while unknown."""
        return (self.total - self.done) / self.rate if self.total and self.rate else None


@dataclass(frozen=True, slots=True)
class AddReport:
    """What `add` did. `added` counts new images, `copies` new paths of known ones, `encoded` runs of the encoder."""

    added: int
    copies: int
    unchanged: int
    changed: int
    moved: int
    missing_paths: tuple[str, ...]
    encoded: int
    skipped: tuple[Skipped, ...]
    seconds: float
    dropped: int = 0

    @property
    def missing(self) -> int:
        """How many known files are gone."""
        return len(self.missing_paths)


@dataclass(frozen=True, slots=True)
class TagReport:
    """What `tag` did, or with `dry_run` would do. `stale` names columns that still do not match the vocabulary."""

    columns: tuple[str, ...]
    cells: int
    stale: tuple[str, ...]
    derived: tuple[str, ...]
    kept: tuple[str, ...]
    seconds: float
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class CountEstimate:
    """How many images show an attribute, and the 95 % interval, from `n` labels."""

    code: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """One line of `columns`: how many images fall into each band, and how far that can be trusted.

    `trust` is the state with what was measured, such as `calibrated (25 labels, ECE .02 ± .01)`; `estimate` how many
    images really show it, where labels of a drawn sample say so.
    """

    code: str
    label: str
    kind: Literal["base", "derived", "removed"]
    state: str
    accepted: int
    tentative: int
    rejected: int
    unknown: int
    overridden: int
    calibration: str | None
    encoder: str
    trust: str = ""
    estimate: CountEstimate | None = None
    scorer: str = ""
    """What its logits come from: `prompts`, a head such as `probe (120 labels)`, or `rule`."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Exactly what is encoded for an attribute."""

    code: str
    prompts: tuple[str, ...]
    negatives: tuple[str, ...]
    prompt_hash: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One image of an answer. `matched` is the prompt, or the image, that it resembles.

    `confidence` is None for a likeness of pictures, which is no probability of anything. `margin` is the highest cosine
    with a positive prompt less the highest with a negative one, None without a negative. `said` tells that a person's
    tags or description say it. `folded` are the paths of near-duplicates that it stands for.
    """

    id: str
    path: str
    cosine: float
    logit: float
    confidence: float | None
    matched: str
    margin: float | None = None
    said: bool = False
    folded: tuple[str, ...] = ()

    @property
    def clip_score(self) -> float:
        """CLIPScore, max(100 · cosine, 0) (Hessel et al. 2021, with their weight at 1 and in per cent)."""
        return max(100.0 * self.cosine, 0.0)


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One value or range, as a person reads it: `count` images of the answer have it, and `rule` selects them."""

    value: str
    count: int
    rule: str


@dataclass(frozen=True, slots=True)
class Facet:
    """How an answer falls into the values of one name. `others` images have a value that is not listed.

    Of `missing` images nothing is known. Values of tags overlap, all others do not.
    """

    name: str
    kind: str
    values: tuple[FacetValue, ...]
    others: int
    missing: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A ranked answer; `state` says what its confidences are worth. `asked` are the query's positive terms, joined;
    `facets` count the images that are likelier than not to show it.
    """

    query: str
    state: str
    hits: tuple[Hit, ...]
    hints: tuple[str, ...] = ()
    asked: str = ""
    facets: tuple[Facet, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspection:
    """A column's logits: statistics, histogram (`counts[i]` between `edges[i]` and `edges[i + 1]`) and band counts."""

    code: str
    prompts: tuple[str, ...]
    n: int
    missing: int
    min: float
    mean: float
    max: float
    std: float
    counts: tuple[int, ...]
    edges: tuple[float, ...]
    calibration: dict[str, Any]
    state: str
    accepted: int
    tentative: int
    rejected: int
    accepted_from: float | None
    tentative_from: float | None
    scorer: str = "prompts"


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer in rows: an Arrow table that also iterates as dictionaries."""

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.table.to_batches(max_chunksize=4096):
            yield from batch.to_pylist()

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.table.column_names)

    def to_pandas(self) -> pandas.DataFrame:
        """As a pandas frame. Raises `MissingExtra` where pandas is not installed."""
        try:
            import pandas  # noqa: F401 – Arrow's own message would name no remedy
        except ImportError as error:
            raise MissingExtra("to_pandas()", "frames") from error
        frame: pandas.DataFrame = self.table.to_pandas()
        return frame

    def to_polars(self) -> polars.DataFrame:
        """As a polars frame. Raises `MissingExtra` where polars is not installed."""
        try:
            import polars
        except ImportError as error:
            raise MissingExtra("to_polars()", "frames") from error
        return polars.from_arrow(self.table)


@dataclass(frozen=True, slots=True)
class Asked:
    """An image to be labelled next: `confidence` now, and the `probability` with which it was drawn."""

    code: str
    id: str
    path: str
    confidence: float
    probability: float


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What labels did to one column. Brier and NLL are on labels that the fit did not see, before and after."""

    code: str
    n: int
    positives: int
    kind: str
    applied: bool
    reason: str
    brier_before: float
    brier_after: float
    nll_before: float
    nll_after: float
    ece: float | None
    ece_low: float | None
    ece_high: float | None


@dataclass(frozen=True, slots=True)
class ColumnEvaluation:
    """One row of `evaluate`; `curve` holds the bins of the reliability diagram.

    The figures that end in `_unlabelled` are of the same answers by the curves that were there before any label.
    """

    code: str
    n: int
    positives: int
    ece: float
    ece_low: float
    ece_high: float
    brier: float
    nll: float
    average_precision: float
    bins: int
    state: str
    curve: tuple[Any, ...] = ()
    ece_unlabelled: float = float("nan")
    brier_unlabelled: float = float("nan")


@dataclass(frozen=True, slots=True)
class Promise:
    """A confidence `threshold` from which `precision` holds, except with probability `failure`; or None and why."""

    code: str
    precision: float
    failure: float
    threshold: float | None
    n: int
    right: int
    bound: float
    tried: int
    reason: str
