from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sextant import vocabulary
from sextant.errors import VocabularyError
from sextant.maths.tree import METADATA_KINDS
from sextant.vocabulary import KEYWORDS, METADATA, RESERVED, Derived, RuleTree, Thresholds

SPACE = """\
thresholds: {accepted: 0.9, tentative: 0.4}
center: 24
base_attributes:
  - code: earth
    label: Earth
    description: Earth visible in the image
    type: celestial_body
  - {code: moon, description: the Moon, accepted: 0.7, center: 22, scale: 3}
  - {code: crew, prompts: [astronauts, a photo of a crew], negatives: [an empty room]}
derived_attributes:
  - {code: pair_alone, rule: {all_of: [pair], none_of: [crew]}}
  - {code: pair, label: Both, rule: {all_of: [earth, moon]}}
"""


DOCS = Path(__file__).resolve().parents[1] / "docs" / "vocabulary.md"


def problems(text: str) -> list[str]:
    with pytest.raises(VocabularyError) as caught:
        vocabulary.parse(text, "v.yaml")
    return str(caught.value).splitlines()


def attributes(*entries: str, then: str = "") -> str:
    return "base_attributes:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries) + then


def test_an_attribute_needs_only_a_code_and_a_description() -> None:
    read = vocabulary.parse(attributes("code: deep_space, description: deep space"), "v.yaml")
    (entry,) = read.attributes
    assert (entry.code, entry.label, entry.type) == ("deep_space", "Deep space", "")
    assert entry.prompts == ("a photo of deep space",)
    assert entry.thresholds == Thresholds(0.8, 0.5)
    assert (entry.center, entry.scale, entry.group, entry.control, entry.line) == (None, None, None, None, 2)


def test_what_the_top_says_holds_for_every_attribute_that_does_not_say_otherwise() -> None:
    read = vocabulary.parse(SPACE, "some/where/space.yaml")
    earth, moon, crew = read.attributes
    assert read.name == "space.yaml"
    assert read.text == SPACE
    assert earth.thresholds == Thresholds(0.9, 0.4)
    assert moon.thresholds == Thresholds(0.7, 0.4)
    assert (earth.center, earth.scale) == (24.0, None)
    assert (moon.center, moon.scale) == (22.0, 3.0)
    assert crew.prompts == ("astronauts", "a photo of a crew")
    assert crew.negatives == ("an empty room",)
    assert read.codes() == ("earth", "moon", "crew", "pair", "pair_alone")
    assert "moon" in read
    assert "mars" not in read


def test_prompts_are_encoded_as_written() -> None:
    """The letters keep their case: what lower-cases is the tokenizer of an encoder that wants it."""
    assert vocabulary.parse(SPACE, "v").attributes[0].prompts == ("a photo of Earth visible in the image",)


def test_a_template_may_be_set_for_all_and_for_one() -> None:
    text = 'template: "art of {description}"\n' + attributes(
        "code: a, description: x", 'code: b, description: y, template: "{description}, a sketch of {description}"'
    )
    assert [entry.prompts for entry in vocabulary.parse(text, "v").attributes] == [("art of x",), ("y, a sketch of y",)]


def test_derived_attributes_follow_what_they_read() -> None:
    derived = vocabulary.parse(SPACE, "v").derived
    assert [entry.code for entry in derived] == ["pair", "pair_alone"]
    assert derived[1].rule == RuleTree(all_of=("pair",), none_of=("crew",))
    assert derived[0].label == "Both"


def test_rules_nest_and_name_their_codes_once() -> None:
    then = "derived_attributes: [{code: z, rule: {any_of: [a, {all_of: [b, a], none_of: [{any_of: [c]}]}]}}]"
    text = attributes(*(f"code: {code}, description: {code}" for code in "abc"), then=then)
    entry = vocabulary.parse(text, "v")["z"]
    assert isinstance(entry, Derived)
    inner = RuleTree(all_of=("b", "a"), none_of=(RuleTree(any_of=("c",)),))
    assert entry.rule == RuleTree(any_of=("a", inner))
    assert entry.rule.codes() == ("a", "b", "c")


def test_the_photographs_vocabulary_loads_unchanged(real: Path) -> None:
    read = vocabulary.load(real / "caltech101.yaml")
    assert len(read.attributes) == 43
    assert read["dalmatian"].line > 1
    assert [entry.code for entry in read.derived] == ["sea_animal", "insect"]
    assert read.attributes[0].prompts == ("a photo of leopard",)


def test_groups_have_a_temperature() -> None:
    members = [f"code: {code}, description: {code}, group: {group}" for code, group in zip("abcd", "xxyy", strict=True)]
    read = vocabulary.parse(attributes(*members, then="groups: {x: {temperature: 2.5}}"), "v")
    assert read.groups == {"x": 2.5, "y": 1.0}


def test_the_prompt_hash_follows_the_encoded_texts_and_nothing_else() -> None:
    def hashes(entry: str) -> str:
        read = vocabulary.parse(attributes(entry), "v").attributes[0]
        return read.prompt_hash

    plain = hashes("code: a, description: x")
    assert plain == hashes("code: b, label: Other, accepted: 0.9, prompts: [a photo of x]")
    others = ["description: y", "description: x, negatives: [y]", "prompts: [a photo of x, y]"]
    assert len({plain, *(hashes(f"code: a, {other}") for other in others)}) == 4


def test_two_hundred_attributes_are_nothing_special() -> None:
    read = vocabulary.parse(attributes(*(f"code: c{i}, description: thing {i}" for i in range(250))), "v")
    assert read.attributes[249].prompts == ("a photo of thing 249",)


def test_words_that_yaml_takes_for_something_else_stay_words() -> None:
    read = vocabulary.parse(attributes("code: on, label: 1984, description: no"), "v").attributes[0]
    assert (read.code, read.label, read.prompts) == ("on", "1984", ("a photo of no",))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("code: b, description: x}\n  - {code: b, description: y", "v.yaml:4: code 'b': duplicate: line 3 has it too"),
        ("code: id, description: x", "v.yaml:3: code 'id': reserved"),
        ("code: Earth, description: x", "v.yaml:3: code 'Earth': a code is a lower-case letter"),
        (f"code: {'b' * 64}, description: x", "up to 62"),
        ("description: x", "v.yaml:3: an entry without a code"),
        ("code: b", "v.yaml:3: code 'b': empty prompt: add a description"),
        ("code: b, description: ' '", "v.yaml:3: code 'b': empty prompt"),
        ("code: b, prompts: [x, '']", "v.yaml:3: code 'b': prompts has an empty prompt"),
        ("code: b, prompts: []", "v.yaml:3: code 'b': prompts must be a list of texts"),
        ("code: b, description: x, negatives: y", "code 'b': negatives must be a list of texts"),
        ("code: b, description: x, template: a photo", "code 'b': template 'a photo' has no {description}"),
        ("code: b, prompts: [x], template: '{description}'", "code 'b': has prompts and a template"),
        (
            "code: b, description: x, accepted: 0.4",
            "code 'b': thresholds out of order: tentative 0.5 is above accepted",
        ),
        ("code: b, description: x, tentative: 0.81", "thresholds out of order"),
        ("code: b, description: x, accepted: 1.5", "accepted is 1.5, but must be a number above 0 and at most 1"),
        ("code: b, description: x, tentative: 0", "tentative is 0, but must be a number above 0 and at most 1"),
        ("code: b, description: x, accepted: high", "accepted is high, but must be a number"),
        ("code: b, description: x, accepted: .nan", "accepted is .nan, but must be a number"),
        ("code: b, description: x, scale: -1", "scale is -1, but must be a number above 0"),
        ("code: b, description: x, center: .inf", "center is .inf, but must be a number"),
        ("code: b, description: x, group: g", "code 'b': group 'g' has this one member"),
        ("code: b, description: x, control: maybe", "code 'b': control is 'maybe', but must be positive or negative"),
        ("code: b, describtion: x", "code 'b': unknown key 'describtion' in the entry. Did you mean 'description'?"),
        ("code: b, description: x, description: y", "code 'b': key 'description' stands twice in the entry"),
        ("code: b, description: [x]", "code 'b': description must be one text"),
    ],
)
def test_a_wrong_attribute_is_named_with_file_line_and_code(entry: str, expected: str) -> None:
    found = problems(attributes("code: a, description: x", entry))
    assert any(expected in problem for problem in found), found
    assert all(problem.startswith("v.yaml:") for problem in found)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{all_of: [a, erth]}", "v.yaml:4: code 'z': unknown code 'erth' in its rule. Did you mean 'earth'?"),
        ("{all_of: [z]}", "v.yaml:4: code 'z': rules in a circle, z → z"),
        ("{all_of: []}", "code 'z': all_of is empty"),
        ("{}", "code 'z': an empty rule"),
        ("{most_of: [a]}", "code 'z': unknown key 'most_of' in the rule"),
        ("{all_of: a}", "code 'z': all_of must be a list"),
        ("[a]", "code 'z': the rule must be a mapping"),
        ("{all_of: [a], none_of: [a]}", "code 'z': can never hold: 'a' stands in all_of and in none_of"),
        ("{all_of: [a]}, accepted: 0.9", "unknown key 'accepted' in the entry"),
    ],
)
def test_a_wrong_rule_is_named_with_file_line_and_code(rule: str, expected: str) -> None:
    then = f"derived_attributes: [{{code: z, rule: {rule}}}]"
    found = problems(attributes("code: a, description: x", "code: earth, description: x", then=then))
    assert any(expected in problem for problem in found), found


def test_a_circle_of_rules_is_shown_as_it_runs() -> None:
    rules = [("p", "q"), ("q", "r"), ("r", "p"), ("s", "p")]
    then = "derived_attributes:\n" + "".join(f"  - {{code: {a}, rule: {{all_of: [{b}]}}}}\n" for a, b in rules)
    assert problems(attributes("code: a, description: x", then=then)) == [
        "v.yaml:4: code 'p': rules in a circle, p → q → r → p: take one of them out"
    ]


def test_all_problems_are_reported_together_in_the_order_of_the_lines() -> None:
    text = "templat: x\n" + attributes("code: path, description: x", "code: b", then="thresholds: {accepted: 2}\n")
    lines = [int(problem.split(":")[1]) for problem in problems(text)]
    assert lines == [1, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "v.yaml:1: the vocabulary must be a mapping"),
        ("- a\n", "v.yaml:1: the vocabulary must be a mapping"),
        ("name: x\n", "v.yaml:1: no base_attributes"),
        ("base_attributes: []\n", "v.yaml:1: base_attributes is empty"),
        ("base_attributes: {a: b}\n", "v.yaml:1: base_attributes must be a list"),
        ("a: [1,\n", "v.yaml:2: not valid YAML"),
        ("a: b\n---\nb: c\n", "v.yaml:2: not valid YAML"),
        ("a: \0", "v.yaml:1: not valid YAML"),
        ("a: b\nc: \ud800", "v.yaml:2: character 8 is no text"),
        ("[" * 20_000, "v.yaml:1: nested deeper than 40"),
        ("a: &a [x]\nb: [" + ", ".join(["*a"] * 2_000) + "]", "over 1000 aliases"),
        (attributes("code: a, description: x") + "groups: {g: {temperature: 0}}", "temperature is 0, but must be"),
        (attributes("code: a, description: x") + "groups: {g: {temperature: 1}}", "group 'g' has no member"),
        (attributes("code: a, description: x") + "groups: 3", "groups must be a mapping"),
        (attributes("code: a, description: x") + "base_attributes: []", "key 'base_attributes' stands twice"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(text)), problems(text)


def test_aliases_that_multiply_or_hold_themselves_end_in_a_message() -> None:
    levels = ["  - {code: d0, rule: &r0 {any_of: [a, a, a, a, a, a, a, a, a]}}"]
    levels += [f"  - {{code: d{i}, rule: &r{i} {{any_of: [{', '.join([f'*r{i - 1}'] * 9)}]}}}}" for i in range(1, 9)]
    bomb = attributes("code: a, description: x", then="derived_attributes:\n" + "\n".join(levels))
    assert any("over 10,000 parts" in problem for problem in problems(bomb))
    loop = attributes("code: a, description: x", then="derived_attributes: [{code: d, rule: &r {any_of: [*r]}}]")
    assert any("40 levels" in problem for problem in problems(loop))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    latin, huge, marked = tmp_path / "latin.yaml", tmp_path / "huge.yaml", tmp_path / "marked.yaml"
    latin.write_bytes(b"base_attributes:\n  - {code: a, description: caf\xe9}\n")
    huge.write_bytes(b"#" * 5_000_001)
    marked.write_bytes(b"\xef\xbb\xbf" + attributes("code: a, description: café").encode())
    with pytest.raises(VocabularyError, match=r"latin\.yaml:2: byte 47 is not UTF-8"):
        vocabulary.load(latin)
    with pytest.raises(VocabularyError, match=r"huge\.yaml: larger than 5,000,000 bytes"):
        vocabulary.load(huge)
    with pytest.raises(VocabularyError, match=r"missing\.yaml: cannot be read: No such file"):
        vocabulary.load(tmp_path / "missing.yaml")
    with pytest.raises(VocabularyError, match="cannot be read: Is a directory"):
        vocabulary.load(tmp_path)
    assert vocabulary.load(marked).attributes[0].prompts == ("a photo of café",)


def test_reserved_words_cover_the_metadata_and_the_words_of_rules() -> None:
    assert set(METADATA) == set(METADATA_KINDS)
    assert {*METADATA, *KEYWORDS, "vector", "background", "image_id", "source"} <= RESERVED
    assert "camera" not in RESERVED, "the thing in the picture; the device is camera_model"


def test_an_unknown_code_is_answered_with_the_nearest() -> None:
    with pytest.raises(VocabularyError, match=r"has no code 'erth'\. Did you mean 'earth'\?"):
        vocabulary.parse(SPACE, "space.yaml")["erth"]


@given(st.text(max_size=60))
def test_any_text_is_a_vocabulary_or_a_message(text: str) -> None:
    with pytest.raises(VocabularyError, match=r"^v\.yaml:\d+: "):
        vocabulary.parse(f"base_attributes: {text}\nbase_attributes: 1", "v.yaml")


def test_importing_the_words_brings_no_yaml() -> None:
    code = "import sys, sextant.vocabulary; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_examples_of_the_documentation_load() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert [vocabulary.parse(text, "v").codes()[-1] for text in examples] == ["earth_and_moon", "dusk", "keeper"]


def test_the_documentation_lists_every_key_and_every_reserved_code() -> None:
    text = DOCS.read_text(encoding="utf-8")
    listed = text.split("<!-- reserved -->")[1].split("<!-- end -->")[0]
    assert re.findall(r"`(\w+)`", listed) == sorted(RESERVED)
    section = text.split("## An attribute")[1].split("## For")[0]
    keys = {key for cell in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for key in re.findall(r"`(\w+)`", cell)}
    (message,) = problems(attributes("code: a, description: x, zzzzz: 1"))
    assert keys == set(message.split("It may have: ")[1].rstrip(".").split(", "))
