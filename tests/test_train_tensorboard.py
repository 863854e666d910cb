"""The log of a run as TensorBoard reads it."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path

import pytest

from sextant.train import tensorboard
from sextant.types import Progress


def log(run: Path, *epochs: int) -> None:
    (run / "train").mkdir(exist_ok=True)
    with (run / "train" / "log.jsonl").open("a") as file:
        for epoch in epochs:
            line = {"stage": "heads", "epoch": epoch, "loss": 2.0 - epoch, "accuracy": 0.5, "time": 1_700_000_000.0}
            file.write(json.dumps(line) + "\n")


def scalars(run: Path) -> list[tuple[str, int, float]]:
    """Every (name, step, value) of the event files, by the format's own description."""
    pytest.importorskip("tensorboardX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboardX.proto.event_pb2 import Event
    found = []
    for path in sorted((run / tensorboard.FOLDER).glob("events.out.tfevents.*")):
        data, place = path.read_bytes(), 0
        while place < len(data):  # length, its checksum, the record, its checksum
            (length,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + length])
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
            place += 12 + length + 4
    return found


def test_every_epoch_is_there_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    heard: list[Progress] = []
    log(tmp_path, 0)
    with tensorboard.Mirror(tmp_path, heard.append) as mirror:
        mirror.progress(Progress("train heads", 1, 2, 0.1))
        log(tmp_path, 1)
        mirror.update()
    wanted = [("heads/loss", 0, 2.0), ("heads/accuracy", 0, 0.5), ("heads/loss", 1, 1.0), ("heads/accuracy", 1, 0.5)]
    assert scalars(tmp_path) == wanted
    assert len(heard) == 1


def test_a_run_that_goes_on_begins_the_file_anew(tmp_path: Path) -> None:
    log(tmp_path, 0)
    for epoch in (1, 2):
        with tensorboard.Mirror(tmp_path):
            log(tmp_path, epoch)
    assert [step for name, step, _ in scalars(tmp_path) if name == "heads/loss"] == [0, 1, 2]


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    log(tmp_path, 0)
    with (tmp_path / "train" / "log.jsonl").open("a") as file:
        file.write('{"stage": "heads", "epoch": 1, ')
    with tensorboard.Mirror(tmp_path):
        pass
    assert {step for _, step, _ in scalars(tmp_path)} == {0}


def test_without_the_library_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    log(tmp_path, 0)
    with tensorboard.Mirror(tmp_path) as mirror:
        mirror.progress(Progress("train heads", 1, 2, 0.1))
    assert not (tmp_path / tensorboard.FOLDER).exists()


def test_a_run_without_a_log_has_no_file(tmp_path: Path) -> None:
    with tensorboard.Mirror(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
