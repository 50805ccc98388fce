"""The HTML report: every number on the page against the evaluation, and the page as a file."""

import csv
import re
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from rotx import geometry
from rotx.evaluation import DetectionMetric, evaluate_text, get_protocol
from rotx.evaluation.confusion import confusion_matrix
from rotx.evaluation.html import NO_PLOTS, best_f1, rules, write_report
from rotx.evaluation.protocols import PROTOCOLS
from rotx.evaluation.report import verdicts
from rotx.records import InstanceTable

CLASSES = ("ship", "<script>alert(1)</script>", "a$b$ & 'c'", "never there")


class Page(HTMLParser):
    """The tables (rows of cells' text) under each heading, the elements, and the texts of the page."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.elements, self.attributes = {}, Counter(), []
        self.heading, self.text, self.inside, self.open = "", [], None, []
        self.feed(text)
        assert self.open == [], "elements left open"

    def handle_starttag(self, tag, attrs):
        self.elements[tag] += 1
        self.attributes += attrs
        if tag not in ("meta", "path", "use", "rect", "br"):
            self.open.append(tag)
        if tag in ("h1", "h2"):
            self.heading = ""
        elif tag == "table":
            self.tables[self.heading] = []
        elif tag == "tr":
            self.tables[self.heading].append([])
        elif tag in ("td", "th"):
            self.tables[self.heading][-1].append("")
        self.inside = tag

    def handle_startendtag(self, tag, attrs):
        self.elements[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in ("meta", "path", "use", "rect", "br"):
            assert self.open.pop() == tag
        self.inside = None

    def handle_data(self, data):
        self.text.append(data)
        if self.inside in ("h1", "h2"):
            self.heading += data
        elif self.inside in ("td", "th"):
            self.tables[self.heading][-1][-1] += data


def scene(seed=0, images=12, protocol="voc07", iou=None, rounded=False):
    """An evaluation with hits, near misses, wrong classes, false detections and difficult objects."""
    rng = np.random.default_rng(seed)
    metric = DetectionMetric(CLASSES, protocol, iou=iou)
    for i in range(images):
        n = int(rng.integers(0, 9)) if i else 6
        truth = np.column_stack([rng.uniform(0, 120, (n, 2)), rng.uniform(8, 60, (n, 2)), rng.uniform(-1, 1, n)])
        labels = rng.integers(0, 3, n)
        found = np.concatenate([truth, truth, truth[: n // 2]])
        found = found + rng.normal(size=found.shape) * (2, 2, 2, 2, 0.05)
        classes = np.concatenate([labels, labels, rng.integers(0, 3, n // 2)])
        scores = rng.uniform(0, 1, len(found))
        scores = scores.round(1) if rounded else scores
        metric.update(f"P{i:02d}<b>&", found, scores, classes, truth, labels, rng.random(n) < 0.2)
    return metric.compute()


def page_of(evaluation, folder, **options):
    notices = write_report(evaluation, folder, **options)
    text = (folder / "index.html").read_text(encoding="utf-8")
    return Page(text), text, notices


def four(values):
    return [f"{v:.4f}" for v in values]


@pytest.mark.parametrize("protocol", ["voc07", "voc12", "mmrotate"])
def test_class_table_of_one_threshold(tmp_path, protocol):
    evaluation = scene(protocol=protocol)
    page, _, notices = page_of(evaluation, tmp_path)
    head, *rows, foot = page.tables["Classes"]
    assert notices == []
    assert head == ["class", "objects", "detections", "recall", "AP", "best F1", "at score"]
    record = evaluation.to_dict()
    assert [row[0] for row in rows] == list(CLASSES)
    for row, best in zip(rows, best_f1(evaluation), strict=True):
        c = record["classes"][row[0]]
        recall, ap = ("–" if c[key] is None else f"{c[key]:.4f}" for key in ("recall", "ap"))
        f1 = ["–", "–"] if best is None else four(best)
        assert row[1:] == [str(c["gts"]), str(c["dets"]), recall, ap, *f1]
    assert rows[3][1:] == ["0", "0", *(["–", "–"] if protocol == "mmrotate" else ["0.0000", "0.0000"]), "–", "–"]
    totals = [sum(c[key] for c in record["classes"].values()) for key in ("gts", "dets")]
    assert foot == ["mAP", *map(str, totals), "", f"{record['map']:.4f}", "", ""]


def test_class_table_of_many_thresholds(tmp_path):
    evaluation = scene(protocol="coco")
    page, _, _ = page_of(evaluation, tmp_path)
    head, *rows, foot = page.tables["Classes"]
    mean, *records = evaluation.to_dict()
    assert head[4:-2] == ["AP", *(f"AP{r['iou'] * 100:g}" for r in records)]
    for row in rows[:3]:
        want = [r["classes"][row[0]]["ap"] for r in (mean, *records)]
        assert row[4:-2] == four(want)
        assert row[3] == f"{mean['classes'][row[0]]['recall']:.4f}"
    assert foot[4:-2] == four(r["map"] for r in (mean, *records))


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("protocol", ["voc07", "coco"])
def test_best_f1_is_the_best_of_all_score_thresholds(protocol, rounded):
    evaluation = scene(3, protocol=protocol, rounded=rounded)
    rows = list(csv.DictReader("".join(verdicts(evaluation)).splitlines()))
    for name, gts, best in zip(CLASSES, evaluation.gts, best_f1(evaluation), strict=True):
        mine = [(float(r["score"]), r["verdict"]) for r in rows if r["class"] == name and r["verdict"] != "ignored"]
        f1 = {}
        for threshold in {score for score, _ in mine}:
            counts = Counter(verdict for score, verdict in mine if score >= threshold)
            f1[threshold] = 2 * counts["tp"] / (counts["tp"] + counts["fp"] + gts)
        if not f1 or max(f1.values()) == 0:
            assert best is None
        else:
            assert best[0] == pytest.approx(max(f1.values()), abs=1e-12)
            assert f1[best[1]] == pytest.approx(best[0], abs=1e-12)


def naive_confusion(evaluation, lowest):
    """One detection after another, all classes together, over the whole matrix of IoUs."""
    problem = evaluation.problem
    truth, truth_image, truth_label = problem.truth
    quads, image, label = problem.detections
    k = len(problem.classes)
    matrix, taken = np.zeros((k + 1, k + 1), int), set()
    ious = geometry.box_iou(quads, truth)
    for i in np.argsort(-problem.scores, kind="stable"):
        if problem.scores[i] < lowest:
            continue
        fits = [j for j in range(len(truth)) if truth_image[j] == image[i] and j not in taken and ious[i, j] >= 0.5]
        counting = [j for j in fits if not problem.ignore[j]] or fits
        if not counting:
            matrix[k, label[i]] += 1
            continue
        j = max(counting, key=lambda j: ious[i, j])
        taken.add(j)
        if not problem.ignore[j]:
            matrix[truth_label[j], label[i]] += 1
    for j in range(len(truth)):
        if j not in taken and not problem.ignore[j]:
            matrix[truth_label[j], k] += 1
    return matrix


@pytest.mark.parametrize("lowest", [0.0, 0.3, 0.9, 1.5])
def test_confusion_matrix_equals_the_naive_one(lowest):
    for seed in range(5):
        evaluation = scene(seed)
        got = confusion_matrix(evaluation, lowest)
        np.testing.assert_array_equal(got, naive_confusion(evaluation, lowest))
        assert got[:-1].sum(1).tolist() == evaluation.gts.tolist()
        assert lowest > 0.5 or (got[:3, :3].sum() > got[:3, :3].trace() > 0)


def test_confusion_table(tmp_path):
    evaluation = scene(rounded=True)
    page, text, _ = page_of(evaluation, tmp_path, score=0.5)
    head, *rows = page.tables["Confusion"]
    assert head[1:] == [*CLASSES, "background"] == [row[0] for row in rows]
    assert [[int(cell) for cell in row[1:]] for row in rows] == confusion_matrix(evaluation, 0.5).tolist()
    assert "at least score 0.5," in text


def test_size_table(tmp_path):
    evaluation = scene(protocol="coco")
    page, _, _ = page_of(evaluation, tmp_path)
    head, *rows, foot = page.tables["Sizes"]
    for k, (name, size) in enumerate(evaluation.sizes.items()):
        columns = slice(2 * k + 1, 2 * k + 3)
        assert head[columns] == [f"objects, {name}", f"AP, {name}"]
        assert foot[columns] == [str(size.gts.sum()), f"{size.map:.4f}" if size.defined else "–"]
        for i, row in enumerate(rows):
            assert row[columns] == [str(size.gts[i]), f"{size.ap[:, i].mean():.4f}" if size.gts[i] else "–"]
    assert sum(int(row[k]) for row in rows for k in (1, 3, 5)) == evaluation.gts.sum()


def test_worst_images(tmp_path):
    evaluation = scene(images=30)
    page, _, _ = page_of(evaluation, tmp_path, score=0.4)
    _, *rows = page.tables["Worst images"]
    count = Counter()
    for r in csv.DictReader("".join(verdicts(evaluation)).splitlines()):
        if float(r["score"]) >= 0.4:
            count[r["image"], r["verdict"]] += 1
    annotations = evaluation.annotations
    objects = Counter(np.array(annotations.images)[annotations.image[annotations.difficult == 0]].tolist())
    bad = []
    for name, gts, found, missed, false in rows:
        assert int(gts) == objects[name]
        assert int(found) == count[name, "tp"]
        assert int(missed) == int(gts) - int(found)
        assert int(false) == count[name, "fp"]
        bad.append(int(missed) + int(false))
    everywhere = [objects[n] - count[n, "tp"] + count[n, "fp"] for n in annotations.images]
    assert len(rows) == 20
    assert bad == sorted(everywhere, reverse=True)[:20]


def test_summary(tmp_path):
    evaluation = scene()
    page, _, _ = page_of(evaluation, tmp_path, interval=(0.1234, 0.8765))
    words = " ".join(" ".join(page.text).split())
    assert f"{evaluation.map:.4f} mAP, 95 % between 0.1234 and 0.8765" in words
    ignored = int((evaluation.annotations.difficult > 0).sum())
    assert f"objects {evaluation.gts.sum():,} and {ignored} ignored" in words
    assert f"detections {evaluation.dets.sum():,}" in words
    assert "voc07, task 1" in words and "images 12" in words
    for rule in rules(evaluation.protocol, 1):
        assert rule in page.text
    assert "95 %" not in page_of(evaluation, tmp_path)[1]


def test_every_rule_of_a_protocol_is_put_into_words():
    texts = {name: tuple(rules(record, 1)) for name, record in PROTOCOLS.items()}
    assert texts["dota-v1.5"] == texts["dota-v2.0"]  # they differ in their classes alone
    assert len(set(texts.values())) == len(texts) - 2  # so do dota-v1.0 and voc07
    assert "whole pixels" in rules(get_protocol("voc07"), 2)[0]
    assert "whole pixels" not in rules(get_protocol("coco"), 2)[0]


def test_page_is_self_contained_and_escaped(tmp_path):
    page, text, _ = page_of(scene(protocol="coco"), tmp_path)
    assert page.elements["script"] == page.elements["b"] == page.elements["img"] == page.elements["link"] == 0
    assert "&lt;script&gt;" in text and "&lt;b&gt;" in text
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    assert all(value.startswith("#") for name, value in page.attributes if name in ("href", "src", "xlink:href"))
    assert page.elements["svg"] == 2
    # Names stand in the drawings too, with no part of them taken for a formula.
    assert sum("a$b$ & 'c'" in part for part in page.text) >= 5
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_names_are_text_whatever_they_hold(tmp_path):
    """HTML and template syntax in the names of classes and images, and in notices, are shown as they are."""
    names = ('"><script>alert(1)</script>', "{{ 7 * 7 }}", "{% raw %} {# x #}", "' onload='x", "&lt;b&gt; ${x} $")
    box = np.array([[20.0, 20, 10, 10, 0]])
    metric = DetectionMetric(names, "voc12")
    for i, name in enumerate(names):
        metric.update(f"{name}|", box + 90, np.array([0.9]), np.array([i]), box, np.array([i]))
    evaluation = metric.compute()
    evaluation = replace(evaluation, notices=("a line of <i>x</i> {{ 1 }}",))
    page, text, _ = page_of(evaluation, tmp_path)
    assert [row[0] for row in page.tables["Classes"][1:-1]] == list(names)
    assert page.tables["Confusion"][0][1:-1] == [row[0] for row in page.tables["Confusion"][1:-1]] == list(names)
    assert sorted(row[0] for row in page.tables["Worst images"][1:]) == sorted(f"{name}|" for name in names)
    assert "a line of <i>x</i> {{ 1 }}" in page.text
    assert sum(part in names for part in page.text) >= 5 * 4  # three tables and the curves
    assert page.elements["script"] == page.elements["i"] == page.elements["b"] == 0
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert" not in text


def test_class_without_detections_has_an_empty_curve(tmp_path):
    metric = DetectionMetric(("ship", "plane"), "voc12")
    boxes = np.array([[20.0, 20, 10, 10, 0], [60, 60, 10, 20, 0]])
    metric.update("a", boxes[:1], np.array([0.9]), np.array([0]), boxes, np.array([0, 1]))
    page, _, _ = page_of(metric.compute(), tmp_path)
    assert [row[4] for row in page.tables["Classes"][1:]] == ["1.0000", "0.0000", "0.5000"]
    assert page.elements["svg"] == 2


def test_without_matplotlib_the_tables_are_there(tmp_path, monkeypatch):
    evaluation = scene()
    whole, _, _ = page_of(evaluation, tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page, _, notices = page_of(evaluation, tmp_path)
    assert notices == [NO_PLOTS] == ["plots left out: pip install 'rotx[plots]'"]
    assert page.text.count(NO_PLOTS) == 1
    assert page.tables == whole.tables
    assert "svg" not in page.elements and whole.elements["svg"] == 2


@pytest.mark.parametrize("protocol", ["dota-v1.0", "coco"])
def test_nothing_to_show(tmp_path, protocol):
    evaluation = DetectionMetric(CLASSES, protocol).compute()
    page, _, notices = page_of(evaluation, tmp_path)
    assert notices == [] and "svg" not in page.elements
    assert page.tables["Classes"][-1][4] == ("0.0000" if protocol == "dota-v1.0" else "–")
    assert "Nothing is missed or false." in "".join(page.text)


def test_only_a_complete_page_replaces_the_old_one(tmp_path):
    folder = tmp_path / "new" / "report"
    write_report(scene(0), folder)
    first = (folder / "index.html").read_text(encoding="utf-8")
    write_report(scene(1), folder)
    assert (folder / "index.html").read_text(encoding="utf-8") != first
    assert [f.name for f in folder.iterdir()] == ["index.html"]

    (folder / "index.html").unlink()
    (folder / "index.html").mkdir()  # so that it cannot be written
    with pytest.raises(OSError):
        write_report(scene(0), folder)
    assert [f.name for f in folder.iterdir()] == ["index.html"]


def test_same_input_gives_the_same_page(tmp_path):
    assert page_of(scene(), tmp_path)[1] == page_of(scene(), tmp_path)[1]


def test_text_report(tmp_path):
    box = np.array([0, 0, 10, 0, 10, 10, 0, 10], dtype=float)
    truth = InstanceTable(
        images=["a<b>", "c"],
        classes=["text"],
        boxes=np.stack([box, box + 50, box + 100, box]),
        kind="quad",
        image=np.array([0, 0, 0, 1], np.int32),
        label=np.zeros(4, np.int32),
        difficult=np.array([0, 0, 1, 0], np.uint8),
        notices=["one line & skipped"],
    )
    results = InstanceTable(
        images=["a<b>", "c"],
        classes=["text"],
        boxes=np.stack([box, box + 100, box + 200]),
        scores=np.ones(3),
        kind="quad",
        image=np.zeros(3, np.int32),
        label=np.zeros(3, np.int32),
        notices=[],
    )
    evaluation = evaluate_text(truth, results, iou=(0.5, 0.75))
    page, text, notices = page_of(evaluation, tmp_path)
    assert notices == [] and "one line &amp; skipped" in text
    assert page.tables["Thresholds"][1:] == [[t, "2", "1", "0.5000", "0.3333", "0.4000"] for t in ("0.5", "0.75")]
    assert page.tables["Worst images"][1:] == [["a<b>", "2", "1", "1", "1"], ["c", "1", "0", "1", "0"]]
    assert page.elements["b"] == 0
