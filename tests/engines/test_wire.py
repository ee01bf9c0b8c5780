from __future__ import annotations

import email.utils
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engines.constraints import choice
from agent.engines.protocol import Constraint, FailureKind, Request
from agent.engines.tokens import TokenCounter, estimate_tokens
from agent.engines.vllm_server import share
from agent.engines.wire import clean, read_choice, read_error, read_logprobs, retry_after, shared_fields
from tools.errors import ModelError

ASK = Request((("user", "x"),), 5, logprobs=40)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error":{"message":"This model\'s maximum context length is 10 tokens"}}', FailureKind.CONTEXT_LENGTH),
        (
            400,
            b'{"error":{"code":"context_length_exceeded","message":"context_length_exceeded"}}',
            FailureKind.CONTEXT_LENGTH,
        ),
        (400, b'{"error":{"message":"Grammar error"}}', FailureKind.INVALID_REQUEST),
        (401, b'{"error":"bad key"}', FailureKind.UNAVAILABLE),
        (404, b'{"detail":"Not Found"}', FailureKind.UNAVAILABLE),
        (429, b"", FailureKind.OVERLOADED),
        (500, b"<html>", FailureKind.SERVER),
        (503, b"[]", FailureKind.SERVER),
        (504, b"null", FailureKind.TIMEOUT),
        (302, b"", FailureKind.BAD_RESPONSE),
    ],
)
def test_a_status_becomes_a_kind_of_failure(status: int, body: bytes, kind: FailureKind) -> None:
    failure = read_error(status, body, {})
    assert failure.kind is kind
    assert failure.message.startswith(f"HTTP {status}: ")


def test_what_a_server_says_is_one_printable_line() -> None:
    failure = read_error(500, orjson.dumps({"error": {"message": "a\n\x1b[31mred\x00" + "x" * 5000}}), {})
    assert failure.message.isprintable()
    assert len(failure.message) < 400
    assert clean("a\tb\r\nc") == "a b c"


def test_retry_after_in_both_forms() -> None:
    assert retry_after("7") == 7.0
    assert retry_after(" 0.5 ") == 0.5
    assert retry_after("-3") == 0.0
    assert retry_after("soon") is None
    assert retry_after("") is None
    at = retry_after(email.utils.formatdate(time.time() + 60, usegmt=True))
    assert at is not None
    assert 55 < at <= 60


def test_constraints_are_sent_in_the_servers_own_form() -> None:
    def fields(constraint: Constraint | None, structured: str) -> dict:
        ask = Request((("user", "x"),), 5, constraint, logprobs=40)
        return shared_fields(ask, "m", structured, {})  # type: ignore[arg-type]

    assert fields(choice(("a", "b")), "vllm")["structured_outputs"] == {"choice": ("a", "b")}
    assert fields(Constraint("grammar", "g"), "vllm")["structured_outputs"] == {"grammar": "g"}
    assert fields(Constraint("json_schema", "{}"), "vllm")["structured_outputs"] == {"json": "{}"}
    assert fields(Constraint("regex", "r"), "vllm")["structured_outputs"] == {"regex": "r"}
    schema = fields(Constraint("json_schema", '{"type":"object"}'), "openai")["response_format"]
    assert schema["json_schema"]["schema"] == {"type": "object"}
    assert "response_format" not in fields(choice(("a",)), "openai")
    assert "structured_outputs" not in fields(choice(("a",)), "none")
    assert fields(None, "openai")["top_logprobs"] == 20
    assert fields(None, "vllm")["top_logprobs"] == 40


def test_alternatives_that_were_ruled_out_are_dropped() -> None:
    top = [{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -9999.0}, {"token": "c", "logprob": None}]
    (record,) = read_logprobs([{"token": "a", "logprob": -0.1, "top_logprobs": top}])
    assert record.top == (("a", -0.1),)


def test_a_refusal_is_no_answer() -> None:
    refused = read_choice({"message": {"content": None, "refusal": "I will not"}, "finish_reason": "stop"})
    filtered = read_choice({"message": {"content": ""}, "finish_reason": "content_filter"})
    assert refused.failure is not None
    assert refused.failure.kind is FailureKind.REFUSED
    assert filtered.failure is not None


@given(st.integers(0, 10_000), st.lists(st.integers(0, 500), min_size=1, max_size=20))
def test_shares_add_up(total: int, weights: list[int]) -> None:
    parts = share(total, weights)
    assert sum(parts) == total
    assert len(parts) == len(weights)
    assert min(parts) >= 0


@given(st.text(max_size=200))
def test_an_estimate_never_fails(text: str) -> None:
    assert estimate_tokens(text) > 0


@pytest.mark.transformers
def test_an_estimate_is_an_upper_one(starter_path) -> None:
    count = TokenCounter(starter_path)
    for text in (
        "Angela Merkel met Emmanuel Macron in Paris on Tuesday to discuss pharmaceutical tariffs.",
        "2,4-dinitrophenylhydrazine (DNPH) reacts at 298.15 K; see doi:10.1000/xyz-123.",
        "東京の豊田さんは先週ベルリンに行った。",
        "Ελλάδα και Κύπρος",
        "مرحبا بالعالم",
        "🙂🙂👩‍👩‍👧",
        "a    b\n\n\n\tc",
        "",
    ):
        assert estimate_tokens(text) >= count(text), text
    assert count("lone \ud800 surrogate") > 0


def test_a_folder_without_a_tokenizer_is_told(tmp_path) -> None:
    with pytest.raises(ModelError, match="no tokenizer"):
        TokenCounter(tmp_path)


def test_the_key_of_a_request_depends_on_all_that_matters() -> None:
    base = Request((("user", "x"),), 5, choice(("a", "b")), 3, "one")
    same = Request((("user", "x"),), 5, choice(("a", "b")), 3, "another tag")
    others = [
        Request((("user", "y"),), 5, choice(("a", "b")), 3),
        Request((("system", "x"),), 5, choice(("a", "b")), 3),
        Request((("user", "x"),), 6, choice(("a", "b")), 3),
        Request((("user", "x"),), 5, choice(("ab",)), 3),
        Request((("user", "x"),), 5, None, 3),
        Request((("user", "x"),), 5, choice(("a", "b")), 4),
    ]
    assert base.key("r") == same.key("r")
    assert len({base.key("r"), base.key("s"), *(other.key("r") for other in others)}) == len(others) + 2
