"""Every target of the fuzzer but the requests, by name."""

from __future__ import annotations

from fuzz_binary import Bundles, Images, Vectors
from fuzz_documents import Cursors, Labels, Manifests, Results, Sidecars
from fuzz_target import Target
from fuzz_words import Expansions, GoldenSets, Rules, Searches, Statements, Vocabularies

TARGETS: dict[str, type[Target]] = {
    "images": Images,
    "vocabularies": Vocabularies,
    "rules": Rules,
    "searches": Searches,
    "sql": Statements,
    "cursors": Cursors,
    "bundles": Bundles,
    "sidecars": Sidecars,
    "expansions": Expansions,
    "labels": Labels,
    "results": Results,
    "golden": GoldenSets,
    "manifests": Manifests,
    "vectors": Vectors,
}
