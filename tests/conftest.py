"""Fixtures that many test files share."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real photos and real CLIP vectors that lies beside the repository."""
    if not REAL.is_dir():
        pytest.skip(f"no real photos at {REAL}")
    return REAL
