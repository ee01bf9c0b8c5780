"""Parts of the spans: by length, by whether training has shown them; and what is told of passages and cost."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metrics.spans import SPANS
from tools.annotation import Span
from tools.annotation.prediction import Entity, Outcome, OutcomeKind, PassageResult
from tools.metrics import (
    CHARACTERS,
    WORDS,
    Cost,
    Counts,
    TrainingMentions,
    by_length,
    count_matches,
    grounding,
    outcomes,
    score,
    score_by,
    spaced,
    wilson,
)


@given(SPANS, SPANS)
def test_parts_add_up_to_the_whole(gold: list[Span], predicted: list[Span]) -> None:
    parts = score_by({"a": gold}, {"a": predicted}, lambda _, span: str(len(span) % 3))
    assert sum((part.counts for part in parts.values()), Counts()) == count_matches(gold, predicted)
    by_type = score_by({"a": gold}, {"a": predicted}, lambda _, span: span.label)
    assert by_type == score({"a": gold}, {"a": predicted}).by_label


def test_by_length() -> None:
    text = "Anna Maria von Hohenfels zu Sonnberg met Ida"
    texts = {"a": text}
    spans = [Span(0, 4, "per"), Span(0, 10, "per"), Span(0, 24, "per"), Span(0, len(text), "per")]
    words, characters = by_length(texts), by_length(texts, words=False)
    assert [words("a", s) for s in spans] == [WORDS[0], WORDS[1], WORDS[3], WORDS[4]]
    assert [characters("a", Span(0, n, "x")) for n in (1, 2, 3, 4, 5, 6, 9, 10, 40)] == [
        CHARACTERS[i] for i in (0, 1, 2, 3, 3, 4, 4, 5, 5)
    ]
    found = score_by({"a": spans[:2]}, {"a": [spans[0], spans[2]]}, words)
    assert {name: one.counts for name, one in found.items()} == {
        "1 word": Counts(1, 0, 0), "2 words": Counts(0, 0, 1), "4 or 5 words": Counts(0, 1, 0),
    }  # fmt: skip


def test_spaced() -> None:
    assert spaced(["Anna met Ida."])
    assert not spaced(["安娜在北京遇见了艾达,然后他们一起去了上海。"])


def test_seen_mentions_are_told_apart() -> None:
    training = TrainingMentions([("New  York", "loc"), ("Anna", "per")])
    assert len(training) == 2
    assert training.judge("new york", "loc") == "seen"
    assert training.judge("NEW YORK", "org") == "seen as another type"
    assert training.judge("York", "loc") == "unseen"
    question = training.question({"d": "in New York"})
    assert question("d", Span(3, 11, "loc")) == "seen"
    assert question("d", Span(7, 11, "loc")) == "unseen"


def test_grounding_and_outcomes() -> None:
    entity = Entity(Span(0, 2, "x"), 0.9)
    results = [
        PassageResult("a", 0, Outcome(), (entity, entity), (entity,)),
        PassageResult("a", 1, Outcome(OutcomeKind.UNGROUNDED), (), (), ("made up",)),
    ]
    found = grounding(results)
    assert (found.grounded, found.ungrounded) == (3, 1)
    assert found.rate == wilson(3, 4)
    ended = outcomes(one.outcome.kind for one in results)
    assert ended.total == 2 and ended.share(OutcomeKind.OK) == wilson(1, 2)
    assert list(ended.counts) == list(OutcomeKind) and ended.counts[OutcomeKind.FAILED] == 0


def test_costs_add_up() -> None:
    one = Cost(documents=2, requests=5, prompt_tokens=100, cached_tokens=60, output_tokens=20, seconds=4.0)
    both = one + Cost(documents=2, requests=1, from_cache=1, output_tokens=1, seconds=1.0)
    assert (both.documents, both.requests, both.from_cache, both.tokens) == (4, 6, 1, 121)
    assert both.documents_per_second == pytest.approx(0.8)
    assert one.cached_share == 0.6 and one.tokens_per_document == 60
    assert Cost().documents_per_second == Cost().tokens_per_document == Cost().cached_share == 0


def test_no_model_library_is_needed() -> None:
    code = (
        "import sys, tools.metrics, evals.statistics; from tools.metrics import score; "
        "from tools.annotation import Span; import evals.scoring; "
        "score({'a': [Span(0, 2, 'x')]}, {'a': [Span(0, 1, 'x')]}, rng=1); "
        "heavy = {'torch', 'vllm', 'transformers', 'chromadb', 'textual', 'agent', 'langgraph', 'pyarrow', 'sklearn'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@given(st.lists(st.sampled_from(list(OutcomeKind)), max_size=20))
def test_every_outcome_is_counted(kinds: list[OutcomeKind]) -> None:
    assert outcomes(kinds).total == len(kinds)
