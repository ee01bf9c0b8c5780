"""Decoding and grounding agree on what a mention is: neither admits what the other refuses."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from agent.engines.constraints import fault, spans_grammar, typed_grammar
from tools.annotation.answers import NOTHING, read_spans, read_typed
from tools.annotation.chunks import borders
from tools.annotation.grounding import ground
from tools.annotation.modeltext import model_text

BYTES = LLTokenizer("byte")
END = BYTES.eos_token
CHARACTERS = st.one_of(
    st.sampled_from(
        "ab AB.,:-'\"{}\\/|\t\ne\u0301京ก한\u1112\u1161سل\u200d\ud800\x00\x7f\U0001f600\U0001f1e9\ufffe<[>]"
    ),
    st.characters(codec=None),
)
TEXTS = st.one_of(
    st.text(CHARACTERS, min_size=1, max_size=30),
    st.lists(
        st.sampled_from(["Elon", " ", "Musk", "東京", "ไทย", "عرب", ", ", "-", "\u0301", "<|im_end|>"]), min_size=1
    ).map("".join),
).filter(lambda text: bool(text.strip()))


def accepts(matcher: LLMatcher, answer: str) -> bool:
    tokens = list(answer.encode())
    return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())


def written(grammar: str, rng: random.Random) -> str:
    """An answer that the grammar admits, drawn at random byte by byte."""
    matcher = LLMatcher(BYTES, grammar)
    assert not matcher.is_error(), matcher.get_error()
    answer = bytearray()
    while not matcher.is_stopped():
        mask = matcher.compute_bitmask()
        allowed = [token for token in range(BYTES.vocab_size) if mask[token // 8] >> token % 8 & 1]
        # Ends where it may, now and then: a list of 64 lines proves no more than one of a few.
        token = END if END in allowed and rng.random() < 0.3 else rng.choice(allowed)
        assert matcher.consume_token(token)
        if token != END:
            answer.append(token)
    return answer.decode()


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.data())
def test_the_grammar_admits_every_mention_at_borders_and_no_other_slice(text: str, data: st.DataObject) -> None:
    shown = model_text(text)
    grammar = spans_grammar(shown)
    assert not fault(grammar)
    start = data.draw(st.integers(0, len(shown) - 1))
    end = data.draw(st.integers(start + 1, len(shown)))
    mention = shown[start:end]
    grounds = bool(ground(shown, [mention]).spans) and not ground(shown, [mention]).repaired
    assert accepts(LLMatcher(BYTES, grammar.value), f"{mention}\n") == grounds
    if {start, end} <= borders(shown) and mention == mention.strip():
        assert grounds
    assert accepts(LLMatcher(BYTES, grammar.value), NOTHING)
    assert not accepts(LLMatcher(BYTES, grammar.value), "\n")


@settings(max_examples=80, deadline=None)
@given(TEXTS, st.randoms(use_true_random=False))
def test_whatever_the_grammar_writes_is_grounded_exactly(text: str, rng: random.Random) -> None:
    shown = model_text(text)
    mentions = read_spans(written(spans_grammar(shown).value, rng))
    grounded = ground(shown, mentions)
    assert grounded.ungrounded == ()
    assert not grounded.repaired
    assert {shown[s.start : s.end] for s in grounded.spans} == set(mentions)


@settings(max_examples=80, deadline=None)
@given(TEXTS, st.randoms(use_true_random=False))
def test_whatever_the_typed_grammar_writes_is_read_and_grounded(text: str, rng: random.Random) -> None:
    shown, codes = model_text(text), ("person", "cell", "A")
    grammar = typed_grammar(shown, codes)
    assert not fault(grammar)
    pairs = read_typed(written(grammar.value, rng))
    assert {code for code, _ in pairs} <= set(codes)
    grounded = ground(shown, [mention for _, mention in pairs])
    assert grounded.ungrounded == ()
    assert not grounded.repaired


def test_an_invented_mention_cannot_be_written() -> None:
    grammar = spans_grammar("Elon Musk will build in Berlin.").value
    assert accepts(LLMatcher(BYTES, grammar), "Elon Musk\nBerlin\n")
    for answer in ("Elon Must\n", "lon Musk\n", "Elon Musk", "Musk Elon\n", " Musk\n", "Elon Musk \n"):
        assert not accepts(LLMatcher(BYTES, grammar), answer)
