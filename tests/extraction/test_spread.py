"""Steps spread over members: who extracts, who votes on types, who verifies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.config import FILE_NAME, MEMBER_STEPS, MemberConfig, ProjectConfig, StepsConfig
from agent.engines.protocol import Engine
from agent.engines.scripted import Fault, FaultRule
from tests.extraction.script import Script, config, found, quorum, work
from tools.annotation.prediction import OutcomeKind
from tools.errors import ConfigError, QuorumLost

TEXT = "Ada met Bob in Bonn."
SPREAD = (
    MemberConfig(name="a", model="ma", steps=("extract",)),
    MemberConfig(name="b", model="mb", steps=("extract",)),
    MemberConfig(name="c", model="mc", steps=("classify", "verify")),
)


def script() -> Script:
    return Script(
        extract={"a": "Ada\n", "b": "Bob\n", "c": "Bonn\n"},
        types={"Ada": {"person": 1.0}, "Bob": {"person": 0.6, "none": 0.4}, "Bonn": {"place": 1.0}},
        verdicts={"Bob": 0.9},
    )


def engines(said: Script, **others: Engine) -> dict[str, Engine]:
    return {f"m{name}": others.get(name) or said.engine() for name in "abc"}


def test_each_member_is_asked_about_its_own_steps_only() -> None:
    said = script()
    settings = config(*SPREAD, steps=StepsConfig(verify="selective", verifier="c", calibrate=False))
    batch = work(quorum(engines(said), settings), TEXT)
    # What only the third would have found is no candidate; types are its vote alone.
    assert found(batch.results[0], TEXT) == [("Ada", "person"), ("Bob", "person")]
    assert {(asked.step, asked.member) for asked in said.asked} == {
        *(("extract", name) for name in "ab"),
        *((step, "c") for step in ("classify", "verify")),
    }
    assert [[v.member for v in entity.votes] for entity in batch.results[0].entities] == [["c"], ["c"]]
    assert [asked.mention for asked in said.asked if asked.step == "verify"] == ["Bob"]
    assert batch.results[0].outcome.kind is OutcomeKind.OK and batch.members_down == ()


def test_a_quorum_larger_than_a_step_s_members_wants_all_of_them() -> None:
    said = script()
    dead = said.engine(faults=FaultRule(Fault.CONNECTION))
    with pytest.raises(QuorumLost, match="1 of 2 members answer, the quorum is 2"):
        work(quorum(engines(said, a=dead), config(*SPREAD, quorum=3)), TEXT)
    with pytest.raises(QuorumLost, match="0 of 1 members answer, the quorum is 1"):
        work(quorum(engines(said, c=dead), config(*SPREAD, quorum=3)), TEXT)
    batch = work(quorum(engines(said, a=dead), config(*SPREAD, quorum=1)), TEXT)
    assert batch.members_down == ("a",) and found(batch.results[0], TEXT) == [("Bob", "person")]


def test_who_verifies_takes_over_only_from_those_that_verify() -> None:
    said = script()
    spread = (*SPREAD, MemberConfig(name="d", model="md", steps=("verify",)))
    dead = said.engine(faults=FaultRule(Fault.CONNECTION, lambda r: r.tag.startswith("verify/d")))
    settings = config(*spread, steps=StepsConfig(verify="on", verifier="d", calibrate=False))
    work(quorum({**engines(said), "md": dead}, settings), TEXT)
    assert [a.member for a in said.asked if a.step == "verify"].count("c") == 2
    assert not [a for a in said.asked if a.step == "verify" and a.member in "ab"]


def test_the_first_that_verifies_does_where_none_is_named() -> None:
    said = script()
    work(quorum(engines(said), config(*SPREAD, steps=StepsConfig(verify="on", calibrate=False))), TEXT)
    assert {a.member for a in said.asked if a.step == "verify"} == {"c"}


def test_pre_extraction_asks_those_that_extract() -> None:
    from tests.extraction.script import Shelf
    from tools.annotation import Span
    from tools.demonstrations import Demonstration

    said = script()
    shelf = Shelf([Demonstration("d", "d", "Eve ran.", (Span(0, 3, "person"),))], needs_spans=True)
    work(quorum(engines(said), config(*SPREAD), source=shelf), TEXT)
    assert {a.member for a in said.asked if a.step == "pre_extract"} == {"a", "b"}


# -- the project file -----------------------------------------------------------------------------------------------


def parsed(text: str) -> ProjectConfig:
    return ProjectConfig.parse(text, Path(FILE_NAME), environment={})


MEMBERS = """
[[members]]
name = "a"
steps = {a}

[[members]]
name = "b"
steps = {b}
"""


@pytest.mark.parametrize(
    ("a", "b", "more", "says"),
    [
        ('["classify"]', '["verify", "classify"]', "", "takes the step 'extract'"),
        ('["extract"]', '["verify"]', "", "takes the step 'classify'"),
        ('["extract"]', '["classify"]', '[steps]\nverify = "on"', "takes the step 'verify'"),
        ('["extract"]', '["classify", "verify"]', '[steps]\nverifier = "a"', "'a' does not verify"),
        ('["find"]', '["classify"]', "", "steps"),
        ("[]", '["classify"]', "", "steps"),
    ],
)
def test_a_step_that_nobody_takes_is_told(a: str, b: str, more: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        parsed(MEMBERS.format(a=a, b=b) + more)
    assert caught.value.hint


def test_steps_that_are_off_need_nobody() -> None:
    parsed(MEMBERS.format(a='["extract"]', b='["classify"]') + '[steps]\nverify = "off"')
    parsed(MEMBERS.format(a='["extract"]', b='["extract"]') + '[steps]\nverify = "off"\nclassify = false')


def test_a_member_alone_does_everything_and_the_fast_profile_too() -> None:
    spread = ProjectConfig(members=SPREAD, steps=StepsConfig(verify="selective", verifier="c"))
    alone = spread.with_members(["c"])
    assert alone.members[0].steps == MEMBER_STEPS and alone.steps.verify == "selective"
    fast = spread.fast()
    assert len(fast.members) == 1 and "extract" in fast.members[0].steps
    two = spread.with_members(["a", "c"])
    assert [member.steps for member in two.members] == [("extract",), ("classify", "verify")]
    with pytest.raises(ConfigError, match="nobody takes the step 'classify'"):
        spread.with_members(["a", "b"])


def test_steps_make_another_configuration_and_none_given_the_same_as_ever() -> None:
    from agent.runs.identity import Reading, identity
    from tests.extraction.script import LABELS

    def both(*members: MemberConfig) -> tuple[str, Any]:
        settings = ProjectConfig(members=members, steps=StepsConfig(verify="off"))
        return settings.hash, identity(settings, LABELS, Reading(), models={})["members"]

    plain = [MemberConfig(name="a"), MemberConfig(name="b")]
    all_steps = [member.model_copy(update={"steps": MEMBER_STEPS[::-1]}) for member in plain]
    spread = [plain[0].model_copy(update={"steps": ("extract",)}), plain[1]]
    assert both(*plain) == both(*all_steps) != both(*spread)
    assert [len(one) for one in both(*plain)[1]] == [5, 5] and both(*spread)[1][0][5] == ["extract"]
