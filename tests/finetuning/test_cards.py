"""Model cards: everything on them is measured or looked up, and what may not ship is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.models.checkpoints import tiny_adapter
from tools.errors import InputError
from tools.finetuning.cardfacts import HELD_OUT, read_facts, read_figures, read_licences, trained_on
from tools.finetuning.cards import main, write_card
from tools.finetuning.corpora import LABEL_SETS
from tools.finetuning.recipes.broad import RECIPE as BROAD
from tools.finetuning.recipes.science import RECIPE
from tools.finetuning.recipes.starter import SHARES, TRUNK, keeps

FACTS = """
[members.science]
share = 1.0
summary = "biomedical and technical types"
held_out = ["crossner_science"]
recipe = "Loss on answers; AdamW, learning rate 8e-4."
command = "python -m tools.finetuning.recipes.starters science --data DIR"
begins_with = "a trunk of all corpora"
tokens = 12345678
steps = 2500
minutes = 400
limits = ["Knows no poetry."]

[members.science.corpora]
bc5cdr = 3.0
gum = 1.0
"""


def score(f1: float) -> dict[str, float]:
    return {"precision": 0.5, "recall": 0.4, "f1": f1, "low": f1 - 0.05, "high": f1 + 0.05, "support": 70}


def figures() -> dict[str, Any]:
    rows = {"member list": score(0.4), "member typed": score(0.45), "vote": score(0.5), "quorum": score(0.512)}
    passes = [("bc5cdr", 5, True), ("crossner_science", 5, False), ("crossner_science", 0, False)]
    within = {"value": 0.043, "low": 0.03, "high": 0.061}
    return {
        "format": 1,
        "source": "starter:science",
        "command": "python -m benchmarks.member_card --source starter:science --data DIR --limit 300 --out figures.json",
        "corpora": [
            {"corpus": name, "split": "test", "k": k, "trained_on": seen, "sentences": 300, "rows": rows}
            for name, k, seen in passes
        ],
        "reliability": [
            {
                "k": k,
                "candidates": 1234,
                "right": 500,
                "sentences": 300,
                "ece": within,
                "brier": {"value": 0.2, "low": 0.19, "high": 0.21},
                "bins": [
                    {
                        "low": i / 10,
                        "high": (i + 1) / 10,
                        "count": 100 + i,
                        "confidence": i / 10 + 0.04,
                        "accuracy": within,
                    }
                    for i in range(10)
                ],
            }
            for k in (5, 0)
        ],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_adapter(tmp_path / "adapters" / "science", rank=16)
    (tmp_path / "adapters" / "members.toml").write_text(FACTS)
    return tmp_path / "adapters"


def write(path: Path, data: dict[str, Any]) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_a_card_says_all_that_was_measured_and_looked_up(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = write(tmp_path / "figures.json", figures())
    assert main(["science", "--figures", str(given), "--folder", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'science' / 'README.md'}\n"
    text = (folder / "science" / "README.md").read_text()
    assert text.startswith("# science: biomedical and technical types\n") and "rank 16, q_proj" in text
    licence = read_licences()["bc5cdr"]
    assert f"| BC5CDR | 75% | {licence.licence} | {licence.attribution} |" in text
    assert "| GUM (records marked CC BY or CC BY-SA) | 25% |" in text
    assert "never seen: crossner_science." in text
    assert "    python -m tools.finetuning.recipes.starters science --data DIR\n" in text
    assert "It began with a trunk of all corpora. Loss on answers" in text
    assert "2,500 steps, 12,345,678 tokens, 400 minutes on two CPU cores." in " ".join(text.split())
    assert "    python -m benchmarks.member_card --source starter:science" in text
    # The best way of asking alone is one of the members, never the vote.
    row = "| crossner_science, test | never seen | 0 | 300 | 0.450 [0.400, 0.500] | 0.512 [0.462, 0.562] |"
    assert row in text and "| bc5cdr, test | trained on | 5 | 300 |" in text
    assert "| 5 | 1,234 | 500 | 0.043 [0.030, 0.061] | 0.200 [0.190, 0.210] |" in text
    assert (
        text.count(" to 0.") + text.count(" to 1.0 |") == 10
        and "| 0.3 to 0.4 | 103 | 0.34 | 0.04 [0.03, 0.06] |" in text
    )
    assert "- Knows no poetry." in text and "about people" in text
    assert all(len(line) <= 120 or line.startswith(("|", "    ", "#")) for line in text.splitlines())


def test_every_corpus_of_the_first_recipe_has_a_licence_and_those_that_may_not_ship_have_none() -> None:
    licences = read_licences()
    assert set(SHARES) <= set(licences)
    never = {"conll2003", "mit_movie_eng", "ener_edgar", "scierc", "matscholar", "conll2002_es", "weibo_zh", "msra_zh"}
    never |= {"jnlpba", "jnlpba_tok", "genia", "msynth", "masakhaner2_swa", "xfer_fi"}
    known = {path.stem for path in LABEL_SETS.glob("*.toml")}
    assert set(licences) | never == known and not set(licences) & never
    # Where records differ in their licence, the card says which were used and a filter takes only these.
    assert {name for name, about in licences.items() if about.only} == set(keeps())
    assert all(about.licence and about.attribution for about in licences.values())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("bc5cdr = 3.0", "conll2003 = 3.0", "trained on conll2003"),
        ('held_out = ["crossner_science"]', 'held_out = ["bc5cdr"]', "cannot be trained on and held out"),
        ("bc5cdr = 3.0", "wnut17 = 3.0", "call bc5cdr trained on, the facts do not"),
        ("bc5cdr = 3.0", "bc5cdr = 3.0\ncrossner_science = 1", "cannot be trained on and held out"),
        ("bc5cdr = 3.0", "bc5cdr = 0", "corpora.bc5cdr"),
        ("tokens = 12345678", "", "tokens: Field required"),
        ("[members.science]", "[members.other]", "nothing about 'science'"),
        ("[members.science]", "[members.science", "cannot be read"),
    ],
)
def test_facts_that_do_not_hold_are_refused(
    folder: Path, old: str, new: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = FACTS.replace(old, new)
    if old == "[members.science]":
        text = text.replace("members.science.corpora", "members.other.corpora")
    (folder / "members.toml").write_text(text)
    given = write(tmp_path / "figures.json", figures())
    assert main(["science", "--figures", str(given), "--folder", str(folder)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert says in first and second.startswith("hint: ")
    assert not (folder / "science" / "README.md").exists()


def test_figures_of_another_model_and_broken_ones_are_refused(folder: Path, tmp_path: Path) -> None:
    other = {**figures(), "source": "starter:broad"}
    with pytest.raises(InputError, match="are of starter:broad") as caught:
        write_card(folder, "science", read_figures(write(tmp_path / "a.json", other)))
    assert "--source starter:science" in caught.value.hint
    with pytest.raises(InputError, match="format"):
        read_figures(write(tmp_path / "b.json", {**figures(), "format": 2}))
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_figures(tmp_path / "c.json")
    (folder / "science" / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match="no adapter"):
        write_card(folder, "science", read_figures(write(tmp_path / "d.json", figures())))


def test_what_the_recipe_says_need_not_be_said_again(folder: Path) -> None:
    (folder / "members.toml").write_text('[members.science]\nsummary = "s"\ntokens = 7\nminutes = 2.5\n')
    facts = read_facts(folder, "science")
    assert set(facts.corpora) == set(SHARES) and facts.held_out == HELD_OUT
    # The share of all records, the trunk's among them: more of what the branch favours than the trunk had.
    shares = {name: share / sum(facts.corpora.values()) for name, share in facts.corpora.items()}
    trunk = {name: share / sum(SHARES.values()) for name, share in SHARES.items()}
    assert shares["bc5cdr"] > trunk["bc5cdr"] and shares["wikigold"] < trunk["wikigold"]
    assert facts.command.startswith("python -m tools.finetuning.recipes.science --data DIR ")
    assert facts.steps == sum(part.steps for part in TRUNK) + RECIPE.steps and "seed 23" in facts.recipe
    assert trained_on(folder, "science") == facts.corpora and trained_on(folder, "starter-v1") == {}


def test_a_recipe_in_parts_counts_the_steps_of_each(folder: Path) -> None:
    (folder / "members.toml").write_text('[members.broad]\nsummary = "s"\ntokens = 7\nminutes = 2.5\n')
    parts = BROAD.parts
    assert [part.name for part in parts] == ["broad_first", "broad"] and parts[-1] is BROAD
    facts = read_facts(folder, "broad")
    assert facts.steps == sum(part.steps for part in (*TRUNK, *parts))
    assert "0.0004 then 0.0003 with warm-up" in facts.recipe and "seed 21 and 31" in facts.recipe


def test_what_ships_was_trained_on_what_may_ship() -> None:
    from agent.models.shipped import FOLDER, shipped

    for name in shipped(FOLDER):
        corpora = trained_on(FOLDER, name)
        assert corpora, f"nothing says what {name} was trained on"
        assert set(corpora) <= set(read_licences()) and not set(corpora) & set(HELD_OUT)
