from __future__ import annotations

from sextant.background import background_hash, background_prompts


def test_there_are_two_hundred_different_prompts():
    prompts = background_prompts()
    assert len(prompts) == len(set(prompts)) == 200
    assert all(prompt.startswith("a photo of a") for prompt in prompts)


def test_the_hash_notices_a_word_and_the_order():
    prompts = background_prompts()
    assert background_hash() == background_hash(prompts)
    assert background_hash(prompts[::-1]) != background_hash()
    assert background_hash((*prompts[:-1], "a photo of a cloud")) != background_hash()
