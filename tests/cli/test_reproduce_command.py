"""`twofold reproduce`: from parts to data, figures and a report; what is kept, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from twofold.experiments import labels

QUICK = ("reproduce", "labels", "--quick", "--jobs", "1")


@pytest.fixture
def few_labels(monkeypatch):
    """One share of wrong labels, few epochs: the figures and checks still have what they need."""
    monkeypatch.setattr(labels, "SHARES", (0.0, 0.4))
    short = replace(
        labels.EXPERIMENT,
        cells=lambda choice: [
            replace(cell, settings={**cell.settings, "epochs": 30}) for cell in labels.cells(choice)
        ],
    )
    monkeypatch.setattr(labels, "EXPERIMENT", short)


def test_from_end_to_end_and_again(twofold, tmp_path, few_labels):
    out = tmp_path / "new"
    first = twofold(*QUICK, "--out", out)
    assert first.status == 0
    assert first.err == ""
    assert first.out.startswith("Wrong labels: learned by heart, or not: ")
    assert sorted(path.name for path in out.iterdir()) == ["labels.json", "labels_accuracy.png", "report.html"]
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in ("within 3 points", "twofold reproduce labels", "data:image/png;base64", "small sizes (--quick)"):
        assert words in page
    stored = (out / "labels.json").read_bytes()
    assert len(json.loads(stored)["cells"]) == 6
    second = twofold(*QUICK, "--out", out, "--json")
    assert second.status == 0
    assert "6 of 6 parts were there already and are kept" in second.err
    said = second.json
    assert (said["experiments"]["labels"]["computed"], said["experiments"]["labels"]["kept"]) == (0, 6)
    assert {"holds", "expected", "found"} == set(said["experiments"]["labels"]["checks"][0])
    assert said["report"] == str(out / "report.html")
    assert (out / "labels.json").read_bytes() == stored
    # A full run is another thing, and is not mixed with a quick one.
    mixed = twofold("reproduce", "labels", "--out", out)
    assert mixed.status == 2
    assert "quick True there, False here" in mixed.err


def broken(settings):
    raise ZeroDivisionError("on purpose")


def test_a_part_that_breaks_off_is_said_and_tried_again(twofold, tmp_path, few_labels, monkeypatch):
    whole = labels.EXPERIMENT
    spoilt = replace(
        whole, cells=lambda choice: [replace(c, count=broken) if "40%" in c.name else c for c in whole.cells(choice)]
    )
    monkeypatch.setattr(labels, "EXPERIMENT", spoilt)
    first = twofold(*QUICK, "--out", tmp_path)
    assert first.status == 1
    assert first.err.count("ZeroDivisionError: on purpose") == 3
    assert "not decided: every part is computed: 3 of 6 are" in first.out
    monkeypatch.setattr(labels, "EXPERIMENT", whole)
    second = twofold(*QUICK, "--out", tmp_path)
    assert second.status == 0
    assert "3 of 6 parts were there already" in second.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nothing",), "NAME 'nothing': no such experiment; accepted are overfitting, theorem"),
        (("labels", "--data", "nowhere"), "--data nowhere: no such folder"),
        (("labels", "--jobs", "0"), "'--jobs'"),
    ],
)
def test_refusals_come_before_work(twofold, tmp_path, arguments, words):
    refused = twofold("reproduce", *arguments, "--out", tmp_path / "out")
    assert refused.status == 2
    assert words in refused.err
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_refused_and_kept(twofold, tmp_path):
    (tmp_path / "labels.json").write_text("mine")
    refused = twofold(*QUICK, "--out", tmp_path)
    assert refused.status == 2
    assert "labels.json: is no result file" in refused.err
    assert (tmp_path / "labels.json").read_text() == "mine"
