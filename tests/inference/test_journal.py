"""The journal gives back what was written, to the bit, wherever a kill has torn it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from rotx.inference.journal import Journal, JournalImage
from rotx.records import BoxMasks, Instances, Masks

SETTINGS = {"CONFIG": "abc", "INPUTS": ("a", "b"), "--window": 512}


def table(rows: int, seed: int) -> Instances:
    rng = np.random.default_rng(seed)
    return Instances(rng.normal(size=(rows, 5)), "rbox", rng.integers(0, 9, rows), scores=rng.random(rows))


def same(a: Instances, b: Instances) -> bool:
    pairs = ((getattr(a, key), getattr(b, key)) for key in ("boxes", "labels", "scores"))
    return a.kind == b.kind and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)


def item(name: str) -> JournalImage:
    return JournalImage(name, (12, 345), 640, 480)


def fill(journal: Journal) -> None:
    journal.add_images([item("a"), item("sub/ü"), item("c")], [table(3, 0), table(0, 0), table(2, 1)])
    journal.add_windows(item("large"), (table(4, 2), [1, 0, 3]))
    journal.add_windows(item("large"), (table(0, 0), [0, 0]))
    journal.add_images([item("large")], [table(3, 3)])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        fill(journal)
        assert len(journal) == 4
    with Journal(tmp_path / "j", {**SETTINGS, "INPUTS": ["a", "b"]}) as journal:
        assert len(journal) == 4
        for name, rows, seed in (("a", 3, 0), ("sub/ü", 0, 0), ("c", 2, 1), ("large", 3, 3)):
            found = journal.image(name, (12, 345))
            assert found is not None and found[0] == item(name) and same(found[1], table(rows, seed))
        assert journal.has_image("a", (12, 345)) and not journal.has_image("a", (12, 346))
        assert journal.image("a", (13, 345)) is None and journal.image("none", (12, 345)) is None
        assert journal.windows("large", (12, 345)) == []  # it is done
        journal.add_images([item("d")], [table(1, 4)])
    with Journal(tmp_path / "j", SETTINGS) as journal:
        assert journal.has_image("d", (12, 345))
    journal.remove()
    assert not list(tmp_path.iterdir())


def test_windows_go_on_where_they_were(tmp_path: Path) -> None:
    for first in (0, 2, 4):
        with Journal(tmp_path / "j", SETTINGS) as journal:
            known = journal.windows("large", (12, 345))
            assert [counts for _, counts in known] == [[i, 1] for i in range(first)]
            assert all(same(found, table(i + 1, i)) for i, (found, _) in enumerate(known))
            assert journal.windows("large", (12, 0)) == []
            for i in (first, first + 1):
                journal.add_windows(item("large"), (table(i + 1, i), [i, 1]))


def test_torn_anywhere(tmp_path: Path) -> None:
    with Journal(tmp_path / "whole", SETTINGS) as journal:
        fill(journal)
    whole = (tmp_path / "whole").read_bytes()
    complete = []
    for end in range(len(whole)):
        for rest in (b"", b"\0" * 5)[: 1 + (end % 3 == 0)]:  # what a machine that lost power may leave
            (tmp_path / "j").write_bytes(whole[:end] + rest)
            with Journal(tmp_path / "j", SETTINGS) as journal:
                complete.append(len(journal))
                journal.add_images([item("new")], [table(2, 9)])
            with Journal(tmp_path / "j", SETTINGS) as journal:
                assert len(journal) == complete[-1] + 1
                found = journal.image("new", (12, 345))
                assert found is not None and same(found[1], table(2, 9))
    assert sorted(set(complete)) == [0, 3] and complete == sorted(complete)


def test_bytes_that_have_changed_are_left_out(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        fill(journal)
    content = bytearray((tmp_path / "j").read_bytes())
    content[-5] ^= 1
    (tmp_path / "j").write_bytes(content)
    with Journal(tmp_path / "j", SETTINGS) as journal:
        assert len(journal) == 3 and len(journal.windows("large", (12, 345))) == 2


def test_another_run(tmp_path: Path) -> None:
    Journal(tmp_path / "j", SETTINGS).__exit__(None, None, None)
    message = rf"{tmp_path}: contains an interrupted run with another --window: 512 there, 256 here: repeat"
    with pytest.raises(ValueError, match=message):
        Journal(tmp_path / "j", {**SETTINGS, "--window": 256})
    with Journal(tmp_path / "j", SETTINGS), pytest.raises(ValueError, match="another run is writing it; wait until"):
        Journal(tmp_path / "j", SETTINGS)


@pytest.mark.parametrize("content", [b"no journal\n", b"[]\n", b'{"settings": {}}\n', b"\xff\n"])
def test_another_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(ValueError, match="is not a journal of rotx: remove it, or give another --out"):
        Journal(tmp_path / "j", SETTINGS)
    assert (tmp_path / "j").read_bytes() == content


def test_upright_boxes_and_masks(tmp_path: Path) -> None:
    """Of images as run lengths or polygons, of windows as grids; none of them are not none at all."""
    rng = np.random.default_rng(0)
    found = Instances(rng.random((3, 4)), "hbox", np.array([2, 0, 1]), scores=rng.random(3))
    runs = {"size": [4, 5], "counts": "04P1000"}
    masks = Masks([runs, [np.array([1.5, 2, 3, 4, 5, 6])], [np.arange(6.0), np.arange(8.0)]])
    grids = BoxMasks(rng.random((3, 2, 4)).astype(np.float32), 0.4)
    with Journal(tmp_path / "j", SETTINGS) as journal:
        journal.add_images([item("a"), item("b")], [replace(found, masks=masks), replace(found, masks=masks)[:0]])
        journal.add_windows(item("c"), (replace(found, masks=grids), [1, 2]))
        journal.add_windows(item("c"), (replace(found, masks=grids)[:0], [0, 0]))
    with Journal(tmp_path / "j", SETTINGS) as journal:
        (_, first), (_, second) = (journal.image(name, (12, 345)) or pytest.fail("not there") for name in "ab")
        assert same(first, found) and len(second) == 0 and second.kind == "hbox"
        assert isinstance(first.masks, Masks) and isinstance(second.masks, Masks)
        one, two, three = first.masks
        assert one == runs and np.array_equal(two, masks.items[1]) and len(three) == 2
        (there, counts), (nothing, _) = journal.windows("c", (12, 345))
        assert same(there, found) and counts == [1, 2] and isinstance(there.masks, BoxMasks)
        assert np.array_equal(there.masks.grids, grids.grids) and there.masks.threshold == 0.4
        assert isinstance(nothing.masks, BoxMasks) and nothing.masks.grids.shape == (0, 2, 4)


def test_a_journal_of_rotx_0_1(tmp_path: Path) -> None:
    """It knew rboxes alone, in tables of seven columns, and is continued."""
    rows = np.random.default_rng(0).random((3, 7))
    rows[:, 6] = [0, 2, 1]
    content = rows.astype("<f8").tobytes()
    head = {"images": [["a", [12, 345], 640, 480], ["b", [12, 345], 640, 480]], "counts": [1, 2]}
    lines = [
        json.dumps({"rotx predict": {**SETTINGS, "INPUTS": ["a", "b"]}}),
        json.dumps({**head, "crc": crc32(content)}),
    ]
    (tmp_path / "j").write_bytes("\n".join([*lines, ""]).encode() + content)
    with Journal(tmp_path / "j", SETTINGS) as journal:
        assert len(journal) == 2
        (image, found) = journal.image("b", (12, 345)) or pytest.fail("not there")
        assert image == JournalImage("b", (12, 345), 640, 480) and found.kind == "rbox" and found.masks is None
        np.testing.assert_array_equal(found.boxes, rows[1:, :5])
        assert found.scores.tolist() == rows[1:, 5].tolist() and found.labels.tolist() == [2, 1]
    message = "with another --amp: null there, true here"
    with pytest.raises(ValueError, match=message):
        Journal(tmp_path / "j", {**SETTINGS, "--amp": True})
