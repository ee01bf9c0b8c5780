"""Training records: the product's own prompts, true answers, labels under any name and in any order."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engines import constraints
from agent.engines.checking import mismatch
from agent.extraction.member import YES_NO
from prompts import load, render
from tests.finetuning.gold import GOLD, LABELS, made
from tools.annotation import NONE_CODE, LabelSet, Span, model_text
from tools.annotation.answers import read_spans, read_typed
from tools.annotation.grounding import locate
from tools.finetuning import records
from tools.finetuning.records import Branch, Gold, Mix, Record, RecordMaker, vary_labels
from tools.prompting import label_views

seeds = st.integers(0, 10**6)
RICH = Mix(classify=8, negatives=6, verify=8)


def record(index: int, seed: int, mix: Mix = RICH, gold: list[Gold] | None = None) -> Record:
    return RecordMaker(gold or GOLD, LABELS, mix, random.Random(seed)).make(index)


def codes_shown(branch: Branch) -> dict[str, str]:
    """Code to the words it stands for, as the system prompt says."""
    found = {}
    for line in branch.messages[0][1].split("Types:\n")[1].split("\n"):
        matched = re.fullmatch(r"- (\S+?)(?:: (.*))?", line)
        assert matched is not None, line
        found[matched[1]] = matched[2] or matched[1]
    return found


# -- labels -----------------------------------------------------------------------------------------


@given(seeds)
def test_varied_labels_are_the_same_types_in_other_words(seed: int) -> None:
    varied, names = vary_labels(LABELS, Mix(), random.Random(seed))
    assert set(names) <= set(LABELS.names) and len(names) == len(varied)
    assert sorted(names.values()) == sorted(varied.names)
    assert len(names) >= max(1, len(LABELS) // 2)
    for old, new in names.items():
        assert new in (old, *LABELS[old].aliases)
        assert varied[new].description in ("", LABELS[old].description)


def test_varying_really_shuffles_renames_strips_and_drops() -> None:
    drawn = [vary_labels(LABELS, Mix(), random.Random(seed)) for seed in range(80)]
    assert len({varied.names for varied, _ in drawn}) > 40
    assert {len(varied) for varied, _ in drawn} >= {2, 3, 4, 5}
    assert any(old != new for _, names in drawn for old, new in names.items())
    assert any(all(not label.description for label in varied) for varied, _ in drawn)


def test_nothing_varies_but_the_order_where_the_mix_says_so() -> None:
    still = Mix(rename=0, bare=0, drop_types=0)
    for seed in range(20):
        varied, names = vary_labels(LABELS, still, random.Random(seed))
        assert names == {name: name for name in LABELS.names}
        assert {label.name: label.description for label in varied} == {x.name: x.description for x in LABELS}


@given(seeds)
def test_aliases_that_collide_never_merge_two_types(seed: int) -> None:
    from tools.annotation import Label

    clashing = LabelSet(
        (Label("a", aliases=("b", "x")), Label("b", aliases=("a", "x")), Label("c", aliases=("a", "b", "x")))
    )
    varied, names = vary_labels(clashing, Mix(rename=1.0), random.Random(seed))
    assert len(set(names.values())) == len(names) == len(varied)


def test_large_sets_are_cut_to_what_a_prompt_holds() -> None:
    many = LabelSet.of(*(f"type{chr(97 + n)}" for n in range(20)))
    assert {len(vary_labels(many, Mix(drop_types=0), random.Random(s))[0]) for s in range(5)} == {12}


# -- branches ---------------------------------------------------------------------------------------


def truth(index: int, made: Record) -> tuple[str, dict[str, str]]:
    """The shown text, and code to label name of the original set."""
    by_words: dict[str, str] = {}
    for name in LABELS.names:
        for spelling in (name, *LABELS[name].aliases):
            by_words.setdefault(LabelSet.of(spelling).labels[0].words.casefold(), name)
    codes = {}
    for code, words in codes_shown(made.branches[0]).items():
        plain = re.sub(r" \(.*\)$", "", words)
        meant = by_words.get(plain.casefold()) or by_words.get(code.casefold())
        assert meant is not None, (code, words)
        codes[code] = meant
    return model_text(GOLD[index].text), codes


@given(st.sampled_from(range(len(GOLD))), seeds)
def test_every_answer_is_true_readable_and_one_the_engine_could_have_given(index: int, seed: int) -> None:
    made = record(index, seed)
    shown, codes = truth(index, made)
    spans = {(s.text_in(shown), s.label) for s in GOLD[index].spans if s.label in codes.values()}
    assert [b.step for b in made.branches[:2]] == ["extract", "extract"]
    plain, typed = made.branches[0].answer, made.branches[1].answer
    assert set(read_spans(plain)) == {mention for mention, _ in spans}
    assert {(mention, codes[code]) for code, mention in read_typed(typed)} == spans
    assert mismatch(constraints.spans_grammar(shown), plain) == ""
    assert mismatch(constraints.typed_grammar(shown, tuple(codes)), typed) == ""
    for branch in made.branches[2:]:
        options = (*codes, NONE_CODE) if branch.step == "classify" else YES_NO
        assert mismatch(constraints.choice(options), branch.answer) == ""


@given(st.sampled_from(range(len(GOLD))), seeds)
def test_classify_answers_are_gold_types_and_negatives_are_never_gold(index: int, seed: int) -> None:
    made = record(index, seed)
    shown, codes = truth(index, made)
    places: dict[tuple[int, int], set[str]] = {}
    for span in GOLD[index].spans:
        if span.label in codes.values():
            places.setdefault((span.start, span.end), set()).add(span.label)
    for branch in (b for b in made.branches if b.step == "classify"):
        place = asked_place(branch, shown)
        if branch.answer == NONE_CODE:
            assert not place & set(places), (shown, branch)
        else:
            assert any(places.get(p) == {codes[branch.answer]} for p in place)


@given(st.sampled_from(range(len(GOLD))), seeds)
def test_verify_claims_are_truthful(index: int, seed: int) -> None:
    made = record(index, seed)
    shown, codes = truth(index, made)
    true = {(s.start, s.end, s.label) for s in GOLD[index].spans if s.label in codes.values()}
    for branch in (b for b in made.branches if b.step == "verify"):
        claimed = re.search(r"of the type (\S+), with", branch.messages[1][1].split("\n")[-1])
        assert claimed is not None
        said = {(*place, codes[claimed[1]]) for place in asked_place(branch, shown)}
        assert (branch.answer == "yes") == bool(said & true), (shown, branch)


def asked_place(branch: Branch, shown: str) -> set[tuple[int, int]]:
    """Where the candidate of a prompt stands; several places only if the prompt does not tell them apart."""
    last = branch.messages[1][1].split("\n")
    if asked := re.fullmatch(r'In "(.*)", what does "(.*)" name\? Answer with .*', last[-1]):
        around, mention = asked[1], asked[2]
        begin = shown.find(around)
        assert begin >= 0
        return {
            (s.start, s.end) for s in locate(shown, mention)[0] if begin <= s.start and s.end <= begin + len(around)
        }
    before, mention, after = cut(last[-2], last[-1])
    return {
        (s.start, s.end)
        for s in locate(shown, mention)[0]
        if shown[: s.start].endswith(before) and shown[s.end :].startswith(after)
    }


def cut(line: str, question: str) -> tuple[str, str, str]:
    """The marked line split at its mention, which the question names again."""
    named = re.match(r"(?:Which type is|Is) \[(.*?)\](?:\? Write one| of the type)", question)
    assert named is not None
    before, bracket, after = line.partition(f"[{named[1]}]")
    assert bracket
    return before, named[1], after


def test_all_kinds_of_branches_occur_with_both_answers() -> None:
    branches = [b for seed in range(30) for b in record(seed % len(GOLD), seed).branches]
    answers = {step: {b.answer for b in branches if b.step == step} for step in ("classify", "verify")}
    assert answers["verify"] == {"yes", "no"}
    assert NONE_CODE in answers["classify"] and len(answers["classify"]) > 4
    assert any(b.answer == "-" for b in branches if b.step == "extract")


def test_prompts_are_those_that_the_product_sends() -> None:
    mix = Mix(rename=0, bare=0, drop_types=0, no_demonstrations=1.0, classify=0, negatives=0, verify=0)
    made = record(0, 4, mix)
    order = [name for line in made.branches[0].messages[0][1].split("\n") for name in LABELS.names if line.startswith(f"- {LABELS.codes[name]}")]  # fmt: skip
    views = label_views(LabelSet(tuple(LABELS[name] for name in order)))
    assert [b.messages for b in made.branches] == [
        render(load("extract", name), views, GOLD[0].text).messages for name in ("spans.v1", "typed.v1")
    ]


@pytest.mark.parametrize("index", range(len(GOLD)))
def test_hostile_and_foreign_texts_make_clean_prompts(index: int) -> None:
    for branch in record(index, 7).branches:
        for _, content in branch.messages:
            assert "<|" not in content
        assert branch.answer.encode()


# -- demonstrations ---------------------------------------------------------------------------------


@given(st.sampled_from(range(len(GOLD))), seeds)
def test_a_text_is_never_its_own_demonstration(index: int, seed: int) -> None:
    doubled = [*GOLD, *GOLD]
    made = record(index, seed, Mix(no_demonstrations=0.0), doubled)
    assert len(made.demonstrations) <= 5
    assert model_text(GOLD[index].text) not in [d.text for d in made.demonstrations]
    assert sum(len(d.text) for d in made.demonstrations) <= 2 * Mix().max_characters
    for demonstration in made.demonstrations:
        assert set(e.code for e in demonstration.entities) <= set(codes_shown(made.branches[0]))


def test_demonstrations_are_there_in_the_share_that_the_mix_says() -> None:
    def share(mix: Mix) -> float:
        return sum(bool(record(n % len(GOLD), n, mix).demonstrations) for n in range(200)) / 200

    assert share(Mix(no_demonstrations=1.0)) == 0.0
    assert share(Mix(no_demonstrations=0.0)) > 0.97
    assert 0.5 < share(Mix()) < 0.8


def test_the_same_seed_makes_the_same_record() -> None:
    assert record(1, 5) == record(1, 5) != record(1, 6)


def test_non_entities_know_no_word_pieces_and_no_gold() -> None:
    gold = Gold("Ilse Varga left Tarnow.", (Span(0, 10), Span(16, 22)))
    drawn = {s for n in range(200) for s in records._non_entities(gold.text, gold, random.Random(n), 2)}
    assert drawn and not {(0, 10), (16, 22)} & {(s.start, s.end) for s in drawn}
    assert all(locate(gold.text, s.text_in(gold.text))[0] for s in drawn)
    assert records._non_entities("...", Gold("...", ()), random.Random(0), 2) == []


def test_many_demonstrations_are_there_in_their_share_and_more_than_usual() -> None:
    maker = RecordMaker(made(40), LABELS, Mix(many=0.5, many_demonstrations=9), random.Random(2))
    counts = [len(maker.make(n % 40).demonstrations) for n in range(200)]
    assert 0.35 < sum(count > 5 for count in counts) / 200 < 0.65 and max(counts) == 9
    usual = RecordMaker(made(40), LABELS, Mix(), random.Random(2))
    assert max(len(usual.make(n % 40).demonstrations) for n in range(100)) <= 5


@pytest.mark.parametrize(("mix", "change"), [(Mix(lower=1.0), str.lower), (Mix(upper=1.0), str.upper)])
def test_a_record_in_one_case_is_so_throughout_and_its_answers_still_ground(mix: Mix, change: Any) -> None:
    gold = [Gold("Straße bei Ada", (Span(11, 14, LABELS.names[0]),)), *made(6)]
    maker = RecordMaker(gold, LABELS, replace(mix, no_demonstrations=0.0), random.Random(1))
    for index in range(1, 7):
        record = maker.make(index)
        assert record.scene is not None and record.demonstrations
        shown = [record.scene.shown, *(d.text for d in record.demonstrations)]
        # Upper case makes two letters of one in the first text: a record that shows it stays as it is.
        if any("stra" in text.lower() for text in shown) and change is str.upper:
            assert record.scene.shown == gold[index].text
            continue
        assert shown == [change(text) for text in shown]
        assert all(e.text in d.text for d in record.demonstrations for e in d.entities)
