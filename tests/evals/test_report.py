"""The page: what it says, that it needs nothing else, and that no text in it can do harm."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from evals.browse import Change, Filter, cases
from evals.log import ENDING
from evals.report import EvalReport, build_report
from evals.report.charts import Point, confusion, curve
from evals.report.curves import value_of
from evals.report.svg import Scale
from tests.evals.test_compare import told
from tests.evals.two_runs import Made
from tui.report.eval_page import render_eval_page
from tui.report.steps import steps

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to open the page with")


def unpacked(report: EvalReport) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(report.documents)))
    return found


def test_sentences_follow_the_verdicts(made: Made) -> None:
    report = build_report([made.good, made.bad])
    (section,) = report.sections
    text = " ".join(section.sentences)
    assert "worse" in text and "A: " in text
    facts = dict(report.facts)
    assert facts["Comparisons"].endswith("cannot tell") or "worse" in facts["Comparisons"]
    assert {figure.caption for figure in section.figures} >= {"Cost against F1", "Reliability of confidences"}
    assert [table.caption for table in section.more][:2] == [
        "Errors by class", "Errors by the step they are charged to"
    ]  # fmt: skip


def test_one_run_is_held_against_its_first_cell(made: Made) -> None:
    report = build_report([made.good])
    (table,) = report.sections[0].tables
    (strong,) = table.strong
    assert table.rows[strong][0].startswith("baseline: vote=weighted, members=a+b")
    assert len(table.rows) == 6
    other = build_report([made.good], against="vote=union members=b")
    assert other.sections[0].tables[0].rows[other.sections[0].tables[0].strong[0]][0].startswith("baseline: vote=union")


def test_seeds_are_one_setting(made: Made) -> None:
    report = build_report([made.seeded])
    assert all("(3 seeds)" in row[0] for row in report.sections[0].tables[0].rows)
    assert report.cells == 18


def test_the_browser_has_every_document_of_every_cell(made: Made) -> None:
    report = build_report([made.good, made.bad])
    data = unpacked(report)
    assert len(data["cells"]) == 12
    (documents,) = data["sets"].values()
    assert len(documents) == 24 and all(text for _, text, _ in documents)
    for cell in data["cells"]:
        assert sum(row is not None for row in cell["rows"]) == 24
    changed = [cell for cell in data["cells"] if cell["base"] is not None]
    assert len(changed) == 6 and {cell["run"] for cell in changed} == {made.bad.header.run}


def test_a_baseline_keeps_no_texts_and_says_so(made: Made, tmp_path: Path) -> None:
    from evals.baseline import write_baseline
    from evals.log import read_run

    write_baseline(made.good.path, tmp_path / f"b{ENDING}", name="b")
    base = read_run(tmp_path / f"b{ENDING}")
    (alone,) = unpacked(build_report([base]))["sets"].values()
    assert all(text is None for _, text, _ in alone)
    (beside,) = unpacked(build_report([base, made.bad]))["sets"].values()
    assert all(text for _, text, _ in beside)


def test_runs_over_other_data_are_shown_and_said(made: Made) -> None:
    report = build_report([made.good, made.limited])
    assert len(report.sections) == 2
    assert any("other documents" in note for note in report.notes)


def test_the_page_needs_nothing_else(made: Made) -> None:
    page = render_eval_page(build_report([made.good]))
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    assert "default-src 'none'" in page
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "https://" not in page and set(re.findall(r"http://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    assert page == render_eval_page(build_report([made.good])), "equal runs make equal pages"


def test_plots_are_well_formed(made: Made) -> None:
    for report in (build_report([made.good]), build_report([made.hostile])):
        for section in report.sections:
            for figure in section.figures:
                root = ElementTree.fromstring(figure.svg)
                assert root.attrib["aria-label"]
                for node in root.iter():
                    for name in ("x", "y", "cx", "cy", "x1", "x2", "y1", "y2"):
                        assert -60 < float(node.attrib.get(name, 0)) < 2000


def test_curves_come_from_numbers() -> None:
    assert value_of(5) == (5.0, "") and value_of("10%") == (10.0, "%")
    assert value_of(True) is None and value_of("span") is None
    points = [Point(x, y, y - 0.1, y + 0.1, "p") for x, y in ((1, 0.3), (10, 0.5), (100, 0.6))]
    svg = ElementTree.fromstring(curve([("<b>one</b>", points), ("two", points)], "budget (%)"))
    lines = [n for n in svg.iter() if n.tag.endswith("polyline")]
    xs = [float(pair.split(",")[0]) for pair in lines[0].attrib["points"].split()]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2), "a wide range is drawn in equal factors"
    assert "<b>" in "".join(svg.itertext())


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (37.2, 91.0), (0.0, 12345.0), (-3.1, 2.2), (5.0, 5.5)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    ticks = Scale(low, high, 0, 100).ticks()
    assert 3 <= len(ticks) <= 8 and all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_confusion_of_hostile_names() -> None:
    svg = confusion({("<i>", "<i>"): 3, ("<i>", ""): 1, ("", "\x1b[2J"): 2}, ["<i>", "\x1b[2J"])
    ElementTree.fromstring(svg)
    assert "<i>" not in svg and "\x1b" not in svg


def test_hostile_text_is_only_text(made: Made) -> None:
    report = build_report([made.hostile])
    page = render_eval_page(report)
    assert "onerror" not in page and "evil</script>" not in page and "\x1b" not in page and "\u202e" not in page
    (documents,) = unpacked(report)["sets"].values()
    evil = next(one for one in documents if one[0].startswith("evil"))
    assert evil[0] == "evil</script>␛[2J"
    assert evil[1].startswith("Ada praised Ghent</script><img src=x onerror=alert(1)> [bold]␛[31m◇Riga")
    assert evil[1][12:17] == "Ghent", "offsets stay"


def opened(page: Path, fragment: str = "") -> str:
    """The page as a browser has it after its script has run."""
    done = subprocess.run(
        [CHROMIUM or "", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}",
         "--virtual-time-budget=5000", "--dump-dom", page.as_uri() + fragment],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout


@needs_browser
@pytest.mark.parametrize(
    ("fragment", "wanted"),
    [
        ("", Filter(kind="any")),
        ("kind=&change=changed", Filter(change="changed")),
        ("kind=none&change=worse", Filter(kind="none", change="worse")),
        ("kind=k7&step=0&search=doc-1", Filter(kind="missed", step="extract", words="doc-1")),
    ],
)
def test_the_pages_filters_are_the_viewers(made: Made, tmp_path: Path, fragment: str, wanted: Filter) -> None:
    report = build_report([made.good, made.bad])
    data = unpacked(report)
    assert data["kinds"][7] == "missed" and data["steps"][0] == "extract"
    target = tmp_path / "page.html"
    target.write_text(render_eval_page(report), encoding="utf-8")
    name = "own vote=weighted members=a"
    good, bad = (next(c for c in run.cells if c.header.name == name) for run in (made.good, made.bad))
    number = next(n for n, cell in enumerate(data["cells"])
                  if cell["run"] == made.bad.header.run and cell["name"] == "B: vote=weighted, members=a")  # fmt: skip
    expected = sum(wanted.passes(case) for case in cases(bad, good))
    dom = opened(target, f"#cell={number}&{fragment}")
    assert re.search(rf'id="count"[^>]*>{expected} of 24 documents', dom)
    assert dom.count("<article") == min(20, expected)


@needs_browser
def test_a_browser_shows_it(made: Made, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text(render_eval_page(build_report([made.hostile])), encoding="utf-8")
    dom = opened(target)
    assert dom.count("<article") >= 1 and "evil&lt;/script&gt;␛[2J" in dom
    assert "<img" not in dom and "charged to" in dom
    assert re.search(r'id="count"[^>]*>\d of 4 documents', dom)


def test_cases_know_faults_steps_and_changes(made: Made) -> None:
    name = "own vote=weighted members=a"
    good, bad = (next(c for c in run.cells if c.header.name == name) for run in (made.good, made.bad))
    found = cases(bad, good)
    missed = [case for case in found if any(fault.kind == "missed" for fault in case.faults)]
    assert missed and all("extract" in fault.steps for case in missed for fault in case.faults)
    assert {case.change for case in found} == {Change.SAME, Change.WORSE}
    assert all(case.change is Change.WORSE for case in missed)
    assert all(case.change is Change.BETTER for case in cases(good, bad) if case.id in {m.id for m in missed})
    passing = [case for case in found if Filter(kind="missed", step="extract", change="worse").passes(case)]
    assert passing == missed
    assert not any(Filter(step="verify").passes(case) for case in found)
    assert sum(Filter(kind="none").passes(case) for case in found) == len(found) - len(missed)
    assert [c.id for c in found if Filter(words="DOC-1").passes(c)] == [c.id for c in found if "doc-1" in c.id]
    assert Filter(words="tram").passes(found[0], "the TRAM stood") and not Filter(words="tram").passes(found[0], "no")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_waits_two_seconds_and_clears_its_line() -> None:
    now = [0.0]
    out = Terminal()
    with steps(out, lambda: now[0]) as tick:
        tick("reading", 0, 4)
        now[0] = 1.9
        tick("reading", 1, 4)
        assert out.getvalue() == ""
        now[0] = 4.0
        tick("reading", 2, 4)
        assert "reading" in out.getvalue() and "2 of 4" in out.getvalue() and "4s left" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")
    plain = io.StringIO()
    with steps(plain, lambda: 99.0) as tick:
        tick("reading", 1, 2)
        tick("comparing", 0, 0)
    assert plain.getvalue() == ""


def test_the_command(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "r.html"
    status, out, err = told(capsys, "report", str(made.good.path), str(made.bad.path), "-o", str(target))
    assert status == 0 and out.strip() == str(target) and "12 cells" in err
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_mistakes_are_one_line_and_a_hint(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = str(made.good.path)
    cases_ = {
        ("report", "nowhere", "--into", str(tmp_path)): "there is no run 'nowhere'",
        ("report", good, "--against", "loud", "-o", str(tmp_path / "a.html")): "has no cell 'loud'",
        ("report", good, "-o", str(tmp_path / "no" / "a.html")): "cannot be written",
        ("report", __file__): "not a log of an evaluation",
    }
    for arguments, says in cases_.items():
        status, out, err = told(capsys, *arguments)
        assert status == 2 and out == "" and says in err, err
        assert len(err.strip().splitlines()) == 2 and err.splitlines()[1].startswith("hint: "), err


def test_a_torn_log_is_shown_and_said(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = made.bad.path.read_bytes()
    torn = tmp_path / f"torn{ENDING}"
    torn.write_bytes(whole[: max(cell.block.end for cell in made.bad.cells) - 9])
    status, _, err = told(capsys, "report", str(torn), "-o", str(tmp_path / "t.html"))
    assert status == 0 and "cut off while its log was written" in err
    assert "cut off while its log was written" in (tmp_path / "t.html").read_text(encoding="utf-8")
