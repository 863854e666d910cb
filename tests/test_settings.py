"""Settings: argument, then environment, then file, then default; what cannot be meant is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sextant.errors import UsageError
from sextant.settings import DEFAULT_MODEL, Settings, load


def test_an_argument_comes_before_the_environment_before_the_file_before_the_default(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("batch = 1\nthreads = 1\nflush_seconds = 1\n")
    found = load(file, environment={"SEXTANT_BATCH": "2", "SEXTANT_THREADS": "2"}, batch=3, model=None)
    assert (found.batch, found.threads, found.flush_seconds, found.model) == (3, 2, 1.0, DEFAULT_MODEL)
    assert {n: found.sources[n] for n in ("batch", "threads", "flush_seconds", "model")} == {
        "batch": "argument",
        "threads": "environment",
        "flush_seconds": str(file),
        "model": "default",
    }
    assert set(found.sources) == {f for f in Settings.__dataclass_fields__ if f != "sources"}


def test_nothing_said_is_all_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml", environment={}) == Settings()
    assert Settings().workers >= 1
    assert Settings(threads=3).workers == 3


@pytest.mark.parametrize(
    ("text", "environment", "arguments", "message"),
    [
        ("modle = 'x'", {}, {}, r"settings\.toml: unknown setting 'modle'; did you mean 'model'\?"),
        ("", {"SEXTANT_BACH": "1"}, {}, r"environment: unknown setting 'bach'; did you mean 'batch'\?"),
        ("", {}, {"zebra": 1}, "argument: unknown setting 'zebra'; known settings: actors, address, batch, catalog"),
        ("batch = 'many'", {}, {}, "setting 'batch' is 'many', but must be a whole number"),
        ("batch = true", {}, {}, "setting 'batch' is True, but must be a whole number"),
        ("batch = 2.5", {}, {}, "setting 'batch' is 2.5, but must be a whole number"),
        ("", {"SEXTANT_BATCH": "0"}, {}, "setting 'batch' is '0', but must be positive"),
        ("", {}, {"threads": -1}, "setting 'threads' is -1, but must be positive"),
        ("flush_seconds = nan", {}, {}, "setting 'flush_seconds' is nan, but must be a number"),
        ("model = 5", {}, {}, "setting 'model' is 5, but must be a text"),
        ("", {"SEXTANT_DEVICE": "gpu"}, {}, "setting 'device' is 'gpu', but must be one of auto, cpu, cuda"),
        ("[section]\nx = 1", {}, {}, "unknown setting 'section'"),
        ("batch = ", {}, {}, r"settings\.toml: cannot be read as TOML"),
    ],
)
def test_what_cannot_be_meant_is_an_error_that_names_key_and_source(
    tmp_path: Path, text: str, environment: dict[str, str], arguments: dict[str, Any], message: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        load(file, environment=environment, **arguments)


def test_variables_of_the_command_line_and_of_others_are_no_settings() -> None:
    found = load(environment={"SEXTANT_COLLECTION": "/x", "SEXTANT_DEBUG": "1", "PATH": "/bin", "SEXTANT_BATCH": "5"})
    assert found == Settings(batch=5)
    assert load(environment={}, threads=0).threads == 0
