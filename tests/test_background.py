from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sextant.background import background_hash, background_prompts
from sextant.errors import CollectionError


def test_there_are_two_hundred_different_prompts():
    prompts = background_prompts()
    assert len(prompts) == len(set(prompts)) == 200
    assert all(prompt.startswith("a photo of a") for prompt in prompts)


def test_the_hash_notices_a_word_and_the_order():
    prompts = background_prompts()
    assert background_hash() == background_hash(prompts)
    assert background_hash(prompts[::-1]) != background_hash()
    assert background_hash((*prompts[:-1], "a photo of a cloud")) != background_hash()


def test_a_file_that_cannot_be_opened_ends_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    background_prompts.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", failing)
        with pytest.raises(CollectionError, match=r"Too many open files\. .*ulimit -n"):
            background_prompts()
    assert len(background_prompts()) == 200
