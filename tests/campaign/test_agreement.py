"""Agreement: Krippendorff's alpha against published figures, hand-made ones and a slow reference."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.campaign.agreement import QUORUM, agreement, model_versions, versions
from tests.campaign.world import LABELS, make_project, oracle, simulate
from tests.cli.run import quorum
from tools.annotation import Document, Span
from tools.annotation.prediction import Entity, Outcome, PassageResult, Vote
from tools.metrics.agreement import Annotated, alpha, layers, pair_f1
from tools.store import Store, Version

# -- the definitions, spelled out code point by code point -----------------------------------------------------


def slow_2016(documents: list[Annotated]) -> tuple[float, float]:
    """Observed and expected disagreement of Krippendorff et al. (2016), eq. 2 to 6, from matrices of code points.

    Every layer of every type is a continuum with the values 1 (unit) and 0 (gap); the coincidences of each pair of
    annotators are counted at each code point.
    """
    observed = expected = 0.0
    names = {layer for d in documents for spans in d.spans.values() for layer in layers(spans)}
    for layer in names:
        matrix = np.zeros((2, 2))
        squares, gaps = 0, 0
        for document in documents:
            drawn = []
            for spans in document.spans.values():
                line = np.zeros(document.length, dtype=int)
                for start, end in layers(spans).get(layer, []):
                    line[start:end] = 1
                    squares += (end - start) ** 2
                gaps += int((line == 0).sum())
                drawn.append(line)
            for one, other in itertools.permutations(drawn, 2):
                for a, b in zip(one, other, strict=True):
                    matrix[a, b] += 1 / (len(drawn) - 1)
        total = matrix.sum()
        margins = matrix.sum(axis=1)
        own = np.array([gaps, squares])
        by_chance = total * (np.outer(margins, margins) - np.diag(own)) / (total**2 - own.sum())
        observed += total - np.trace(matrix)
        expected += total - np.trace(by_chance)
    return observed, expected


def slow_1995(document: Annotated) -> tuple[float, float]:
    """Observed and expected disagreement of Krippendorff (1995, 2004), summed over all pairs of sections."""
    m, length = len(document.spans), document.length
    observed = expected = 0.0
    for layer in {layer for spans in document.spans.values() for layer in layers(spans)}:
        people = []
        for spans in document.spans.values():
            units = layers(spans).get(layer, [])
            inside = {at for start, end in units for at in range(start, end)}
            sections = [(start, end - start, 1) for start, end in units]
            free = [at for at in range(length) if at not in inside]
            for at in free:
                if at - 1 not in free:
                    end = next(e for e in range(at, length + 1) if e not in free)
                    sections.append((at, end - at, 0))
            people.append(sorted(sections))
        for i, j in itertools.permutations(range(m), 2):
            for bg, lg, vg in people[i]:
                for bh, lh, vh in people[j]:
                    if vg and vh and -lg < bg - bh < lh:
                        observed += (bg - bh) ** 2 + (bg + lg - bh - lh) ** 2
                    elif vg and not vh and lh - lg >= bg - bh >= 0:
                        observed += lg**2
                    elif vh and not vg and lh - lg <= bg - bh <= 0:
                        observed += lh**2
        every = [section for person in people for section in person]
        number = sum(v for _, _, v in every)
        total = 0.0
        for _, lg, vg in every:
            if vg:
                total += (number - 1) / 3 * (2 * lg**3 - 3 * lg**2 + lg)
                total += lg**2 * sum(lh - lg + 1 for _, lh, vh in every if not vh and lh >= lg)
        pairs = m * length * (m * length - 1) - sum(v * lg * (lg - 1) for _, lg, v in every)
        expected += 2 / length * total / pairs
    return observed / (m * (m - 1) * length**2), expected


def krippendorff() -> Annotated:
    """The worked example of Content Analysis (2004), p. 254: a continuum of 300 beginning at 150."""

    def units(*given: tuple[int, int, str]) -> list[Span]:
        return [Span(begin - 150, begin - 150 + length, kind) for begin, length, kind in given]

    i = units((225, 70, "c"), (370, 30, "c"), (180, 60, "k"), (300, 50, "k"))
    j = units((220, 80, "c"), (355, 20, "c"), (400, 20, "c"), (180, 60, "k"), (300, 50, "k"))
    return Annotated(300, {"i": i, "j": j})


def test_the_worked_example_of_1995() -> None:
    found = alpha([krippendorff()], definition="1995")
    assert found.by_label["c"] == pytest.approx(0.7286, abs=5e-4)
    assert found.by_label["k"] == 1.0
    assert found.observed == pytest.approx(0.0144, abs=1e-4)
    assert found.expected == pytest.approx(0.0532 + 0.0490, abs=1e-4)
    assert found.all == pytest.approx(0.8591, abs=5e-4)


def test_2016_by_hand() -> None:
    """Ten code points, one unit each, [0, 4) and [2, 6): they differ on four; margins 12 and 8."""
    document = Annotated(10, {"a": [Span(0, 4, "x")], "b": [Span(2, 6, "x")]})
    # o: 2 in common, counted from both sides 4 of 20; differing 8. e: 2 * 20 * 8 * 12 / (400 - 32 - 12).
    found = alpha([document])
    assert found.observed == 8 and found.expected == pytest.approx(2 * 20 * 8 * 12 / 356)
    assert found.all == pytest.approx(1 - 8 / (3840 / 356))
    # Nothing in common at all is worse than chance; equal is 1; nothing marked cannot vary.
    apart = alpha([Annotated(10, {"a": [Span(0, 4, "x")], "b": [Span(6, 10, "x")]})])
    assert apart.all is not None and apart.all < 0
    assert alpha([Annotated(10, {"a": [Span(0, 4, "x")], "b": [Span(0, 4, "x")]})]).all == 1.0
    assert alpha([Annotated(10, {"a": [], "b": []})]).all is None
    assert alpha([Annotated(10, {"a": [Span(0, 4, "x")]})]).all is None


spans = st.lists(
    st.tuples(st.integers(0, 19), st.integers(1, 8), st.sampled_from("xy")).map(
        lambda t: Span(t[0], min(20, t[0] + t[1]), t[2])
    ),
    max_size=4,
)
annotated = st.lists(spans, min_size=2, max_size=4).map(
    lambda people: Annotated(20, {f"p{n}": one for n, one in enumerate(people)})
)


@given(st.lists(annotated, min_size=1, max_size=3))
def test_2016_is_its_definition(documents: list[Annotated]) -> None:
    found = alpha(documents)
    observed, expected = slow_2016(documents)
    assert found.observed == pytest.approx(observed) and found.expected == pytest.approx(expected)


@given(annotated)
def test_1995_is_its_definition(document: Annotated) -> None:
    found = alpha([document], definition="1995")
    observed, expected = slow_1995(document)
    assert found.observed == pytest.approx(observed) and found.expected == pytest.approx(expected)


@given(spans, st.integers(2, 4))
def test_equal_annotations_agree_whole(same: list[Span], people: int) -> None:
    """Nested and overlapping spans of one type too, in either order."""
    document = Annotated(30, {f"p{n}": same if n % 2 else same[::-1] for n in range(people)})
    for definition in ("2016", "1995"):
        found = alpha([document], definition=definition)
        assert found.observed == 0 and found.all in (None, 1.0)


@given(spans)
def test_layers_lose_nothing(some: list[Span]) -> None:
    found = layers(some)
    assert sorted(Span(s, e, label) for (label, _), units in found.items() for s, e in units) == sorted(set(some))
    for units in found.values():
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(units))


def test_documents_stay_apart_and_annotators_may_differ() -> None:
    one = Annotated(10, {"a": [Span(0, 4, "x")], "b": [Span(0, 4, "x")]})
    other = Annotated(20, {"b": [Span(3, 9, "x")], "c": [Span(3, 9, "x")], "a": []})
    assert alpha([one, other]).all == pytest.approx(1 - slow_2016([one, other])[0] / slow_2016([one, other])[1])
    with pytest.raises(ValueError, match="same annotators"):
        alpha([one, other], definition="1995")
    with pytest.raises(ValueError, match="beyond"):
        alpha([Annotated(3, {"a": [Span(0, 4, "x")], "b": []})])


def test_intervals_hold_the_point_and_are_repeated() -> None:
    rng = np.random.default_rng(1)
    documents = []
    for _ in range(30):
        start = int(rng.integers(0, 30))
        moved = start + int(rng.integers(0, 3))
        documents.append(Annotated(50, {"a": [Span(start, start + 9, "x")], "b": [Span(moved, moved + 9, "x")]}))
    found = alpha(documents, rng=np.random.default_rng(2))
    again = alpha(documents, rng=np.random.default_rng(2))
    assert found == again and found.interval is not None and found.all is not None
    assert found.interval.low < found.all < found.interval.high < 1 and found.label_intervals["x"] == found.interval
    assert alpha(documents[:1], rng=np.random.default_rng(2)).interval is None
    pair = pair_f1(documents, "a", "b", rng=np.random.default_rng(2))
    same = sum(d.spans["a"] == d.spans["b"] for d in documents) / 30
    assert pair.f1.point == pytest.approx(same) and pair.f1.low < same < pair.f1.high
    assert pair_f1(documents, "b", "a", rng=np.random.default_rng(2)) == pair


# -- a project's ------------------------------------------------------------------------------------------------


def test_models_count_as_annotators() -> None:
    votes = (Vote("list", True, "person", 0.9), Vote("typed", False, "place", 0.6), Vote("bare", False, "", 0.8))
    kept = Entity(Span(0, 3, "person"), 0.8, votes)
    out = Entity(Span(5, 9, "place"), 0.1, (Vote("list", True, "", 0.7), Vote("typed", True, "place", 0.7)))
    found = model_versions([PassageResult("d", 0, Outcome(), (kept,), (out,))])
    assert found == {
        QUORUM: (Span(0, 3, "person"),),
        "model:list": (Span(0, 3, "person"),),
        "model:typed": (Span(0, 3, "place"), Span(5, 9, "place")),
        "model:bare": (),
    }


def test_two_annotators_and_the_models_in_one_table(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p")
    simulate(config, oracle("ann"), overlap=0.5, budget=18)
    status = simulate(config, oracle("bob", noise=0.3), overlap=0.5, budget=18)
    assert (status.asked, status.labels) == (18, 18)
    with Store.open(config.store_path) as store:
        shared = store.shared_documents()
        assert set(shared) == {item.document_id for item in store.items(status.campaign) if item.wanted == 2}
        assert 4 <= len(shared) <= 14 and all(people == ["ann", "bob"] for people in shared.values())
        name = next(iter(shared))
        sides = versions(store, name)
        assert [side.annotator for side in sides[:2]] == ["ann", "bob"]
        store.record_resolution(name, "eve", sides, sides[0].spans, "as the guidelines say")
        found = agreement(store, resamples=200)
    assert list(found.annotators)[:3] == ["ann", "bob", QUORUM] and "eve" not in found.annotators
    assert found.annotators["bob"] == len(shared) and found.resolutions == 1
    [pair] = [p for p in found.pairs if (p.one, p.other) == ("ann", "bob")]
    assert pair.f1.documents == len(shared) and 0.3 < pair.f1.f1.point < 1
    assert found.people is not None and found.people.all == pair.alpha.all and set(found.people.by_label) <= {
        "person", "place",
    }  # fmt: skip
    status_code, out, err = quorum("agreement", "--project", config.root, "--json")
    assert status_code == 0, err
    data = json.loads(out)
    assert data["annotators"] == dict(found.annotators) and len(data["pairs"]) == len(found.pairs)
    assert data["people"]["value"] == pytest.approx(found.people.all)
    status_code, out, _ = quorum("agreement", "--project", config.root)
    assert out.splitlines()[0].startswith("annotator\tannotator\tdocuments\t"), "the heads, into a pipe as well"
    assert out.splitlines()[1].split("\t")[:3] == ["ann", "bob", str(len(shared))]
    assert any(line.startswith("people\tperson\t") for line in out.splitlines())


def test_nothing_to_compare_yet(tmp_path: Path) -> None:
    config = make_project(tmp_path / "p", [Document("d", "Ada.")])
    status, out, err = quorum("agreement", "--project", config.root)
    assert (status, out.splitlines()[1:]) == (0, []) and "quorum label" in err
    with Store.open(config.store_path) as store:
        store.set_gold("d", [Span(0, 3, LABELS.names[0])], "ann")
    status, out, err = quorum("agreement", "--project", config.root)
    assert (status, out.splitlines()[1:]) == (0, []) and "second opinions" in err
    assert versions_of(config.store_path) == (Version("ann", (Span(0, 3, "person"),)),)


def versions_of(path: Path) -> tuple[Version, ...]:
    with Store.open(path, read_only=True) as store:
        return versions(store, "d")
