import base64
import html
import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from limner.core.util.errors import UserError
from limner.data_pipeline.images import read_image
from limner.deploy.evaluation.report import Report, Table, check_output, show_report, to_html, to_markdown, write_report

REPORT = Report(
    title="Evaluation of <model> & co",
    facts={"model": "runs/<x>/model", "pairs": 3},
    tables=[Table("all (3 pairs)", ("method", "L1"), [("generator", "0.1000"), ("blank page", "0.5000")])],
    definitions={"L1": "L1 < 1.", "blank page": "White & empty."},
    grid=np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3),
    grid_title="Best and worst",
    metrics={"scores": {"generator": {"l1": 0.1, "psnr_db": math.inf}}, "many": [math.nan, 1.0, "text"]},
)


class Page(HTMLParser):
    """The texts, the nesting and the image sources of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.sources += [value for name in ("src", "href") if (value := values.get(name))]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_the_four_files(tmp_path: Path) -> None:
    out = tmp_path / "a" / "eval"
    write_report(out, REPORT)
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "report.html", "report.md", "sheet.png"]
    assert np.array_equal(read_image(out / "sheet.png"), REPORT.grid)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics == {"scores": {"generator": {"l1": 0.1, "psnr_db": None}}, "many": [None, 1.0, "text"]}


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    write_report(tmp_path, REPORT)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    (source,) = page.sources
    kind, _, data = source.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == (tmp_path / "sheet.png").read_bytes()
    for text in (REPORT.title, "runs/<x>/model", "generator", "0.5000", "L1 < 1.", "White & empty."):
        assert text in page.texts


def test_markdown_has_every_figure_in_well_formed_tables() -> None:
    lines = to_markdown(REPORT).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert rows == ["| method | L1 |", "| --- | ---: |", "| generator | 0.1000 |", "| blank page | 0.5000 |"]
    assert "![Best and worst](sheet.png)" in lines


def test_images_come_first_and_every_number_is_explained() -> None:
    for page in (to_markdown(REPORT), to_html(REPORT, b"")):
        order = [
            page.index(html.escape(words) if "<html" in page else words)
            for words in (
                "Best and worst",
                "all (3 pairs)",
                "What the numbers mean",
                "White & empty.",
                "What was evaluated",
                "<x>",
            )
        ]
        assert order == sorted(order)


def test_markup_in_texts_stays_text() -> None:
    nasty = replace(REPORT, title="<script>alert(1)</script>", facts={"data": '"><img src=x>'})
    page = to_html(nasty, b"")
    assert "<script>" not in page
    assert html.escape('"><img src=x>') in page


def test_shown_on_paper_without_loss(capsys: pytest.CaptureFixture[str]) -> None:
    show_report(REPORT)
    shown = capsys.readouterr().out
    for word in ("all (3 pairs)", "method", "blank page", "0.5000"):
        assert word in shown


def test_an_evaluation_is_replaced_and_its_neighbours_stay(tmp_path: Path) -> None:
    write_report(tmp_path, REPORT)
    (tmp_path / "notes.txt").write_text("mine")
    check_output(tmp_path)
    write_report(tmp_path, replace(REPORT, metrics={"new": 1}))
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"new": 1}
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_free_places_are_taken(tmp_path: Path) -> None:
    check_output(tmp_path)
    check_output(tmp_path / "not" / "there")


def test_anything_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("x")
    for place in (tmp_path, tmp_path / "holiday.jpg"):
        with pytest.raises(
            UserError, match=r"exists and is not an evaluation \(no metrics\.json\): give another --out"
        ):
            check_output(place)
