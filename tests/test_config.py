"""Configs are read from the syntax tree: what MMRotate's files use loads, anything else fails in one line."""

from __future__ import annotations

import math
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rotx.cli import main
from rotx.compat import load_config as load
from rotx.config import ConfigError, apply_options, custom_imports, dumps, merge, read
from rotx.config.source import MAX_BYTES

ROOT = Path(__file__).parents[1]
#: Seconds that any file may take; measured ones are below 0.5, but the machines of tests are busy.
LIMIT = 3.0


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Writes files and returns the path of the first."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / next(iter(files))


def loaded(folder: Path, text: str | bytes, **others: str) -> dict[str, Any]:
    names = {f"{name}.py": other for name, other in others.items()}
    return load(write(folder, {"config.py": text, **names}))


def error_of(folder: Path, text: str | bytes, **others: str) -> str:
    """The message of a file that must fail, in time."""
    start = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, **others)
    assert time.perf_counter() - start < LIMIT
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    return message.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("+1.5", 1.5),
        (".0", 0.0),
        ("1e8", 1e8),
        ("None", None),
        ("True", True),
        ("'a' 'b'", "ab"),
        ("(1024, 1024)", (1024, 1024)),
        ("(1,)", (1,)),
        ("()", ()),
        ("[0.25, 0.25]", [0.25, 0.25]),
        ("{'a.b': dict(lr_mult=0.1), 3: []}", {"a.b": {"lr_mult": 0.1}, 3: []}),
        ("dict()", {}),
        ("dict(type='A', b=dict(c=1))", {"type": "A", "b": {"c": 1}}),
        ("dict(type='Normalize', **norm)", {"type": "Normalize", "mean": [1, 2]}),
        ("dict(norm, mean=3)", {"mean": 3}),
        ("{**norm, 'std': 1}", {"mean": [1, 2], "std": 1}),
        ("[*steps, 'c']", ["a", "b", "c"]),
        ("(*steps,)", ("a", "b")),
        ("steps + ['c'] + steps[:1]", ["a", "b", "c", "a"]),
        ("[0] * 3", [0, 0, 0]),
        ("2 * 'ab'", "abab"),
        ("root + 'train/'", "data/train/"),
        ("f'{root}train_{7:03d}.{0.5:.2f}'", "data/train_007.0.50"),
        ("f'{{x}}{root!r}'", "{x}'data/'"),
        ("1.0 / 9.0", 1.0 / 9.0),
        ("7 // 2 - 2 ** 3 % 5", 0),
        ("2 ** -1", 0.5),
        ("model['heads'][0]['type']", "A"),
        ("model['heads'][-1]", {"type": "B"}),
        ("'a' if model else 'b'", "a"),
        ("not model or 1 < 2 <= 2 != 3", True),
        ("None or root", "data/"),
        ("'a' in steps and 'z' not in steps and None is None", True),
        ("float('inf')", math.inf),
        ("-float('inf')", -math.inf),
        ("'{{ fileBasenameNoExtension }}/{{fileExtname}}'", "config/.py"),
        ("{{ fileBasename }}", "config.py"),
        ("'{{ something }}'", "{{ something }}"),
        (r"'\d'", r"\d"),
    ],
)
def test_expressions(tmp_path: Path, text: str, value: Any) -> None:
    before = "norm = dict(mean=[1, 2])\nsteps = ['a', 'b']\nroot = 'data/'\n"
    before += "model = dict(heads=[dict(type='A'), dict(type='B')])\n"
    assert loaded(tmp_path, f"{before}x = {text}\n")["x"] == value


def test_statements(tmp_path: Path) -> None:
    text = (
        '"""What it is."""\n# yapf: disable\na, b = 1, [2]\n[c, d] = (3, 4)\ne = f = b\ne += [5]\npass\n_g = 6\nh = _g'
    )
    assert loaded(tmp_path, text) == {"a": 1, "b": [2], "c": 3, "d": 4, "e": [2, 5], "f": [2], "h": 6}


def test_no_two_values_are_one_object(tmp_path: Path) -> None:
    config = loaded(tmp_path, "a = b = [1]\nc = [a, a]\nd, e = a, a\nf = [[]] * 2\n")
    config["a"].append(2)
    config["c"][0].append(3)
    config["f"][0].append(4)
    assert config == {"a": [1, 2], "b": [1], "c": [[1, 3], [1]], "d": [1], "e": [1], "f": [[4], []]}


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfa = 1\r\nb = 2\r\n", b"a = 1\rb = 2\r", b"a = 1\nb = 2", b"a=1;b=2"])
def test_marks_and_line_ends(tmp_path: Path, text: bytes) -> None:
    assert loaded(tmp_path, text) == {"a": 1, "b": 2}


def test_an_empty_file(tmp_path: Path) -> None:
    assert loaded(tmp_path, b"") == {}


def test_bases(tmp_path: Path) -> None:
    files = {
        "models/child.py": "_base_ = ['../_base_/data.py', '../_base_/runtime.py']\n"
        "angle = {{_base_.angle}}\n"
        "model = dict(head=dict(_delete_=True, c=_base_.model.head.a + 1), angle=angle,\n"
        "             more=dict(_delete_=True, x=1))\n"
        "workers = {{_base_.loader.workers}}\nname = '{{_base_.angle}}'\n"
        "path = 'x/{{_base_.angle}}/{{ fileBasename }}'\n"
        "first = _base_.steps[0]\nloader = dict(batch=2)\n",
        "_base_/data.py": "_base_ = './deeper.py'\nloader = dict(batch=1, workers=2)\n_hidden = 1\n",
        "_base_/deeper.py": "loader = dict(workers=0, pin=True)\nmodel = dict(head=dict(a=1, b=2), neck=dict(n=1))\n",
        "_base_/runtime.py": "angle = 'le90'\nsteps = [dict(type='A')]\n",
    }
    assert load(write(tmp_path, files)) == {
        "loader": {"batch": 2, "workers": 2, "pin": True},
        "model": {"head": {"c": 2}, "neck": {"n": 1}, "angle": "le90", "more": {"x": 1}},
        "angle": "le90",
        "steps": [{"type": "A"}],
        "workers": 2,
        "name": "le90",
        "path": "x/le90/child.py",
        "first": {"type": "A"},
    }


def test_merge_changes_neither_argument() -> None:
    base, child = {"a": {"b": 1, "c": [1]}, "d": 1}, {"a": {"b": 2}, "d": {"_delete_": True, "e": 1}}
    assert merge(base, child) == {"a": {"b": 2, "c": [1]}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": [1]}, "d": 1}
    assert child == {"a": {"b": 2}, "d": {"_delete_": True, "e": 1}}
    with pytest.raises(ConfigError, match=r"a\.c is a dict, but a list in the base: add _delete_=True to replace it"):
        merge(base, {"a": {"c": {"x": 1}}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_base_ = 'absent.py'", "config.py:1: _base_ 'absent.py': no file absent.py [_base_ = 'absent.py']"),
        ("_base_ = 'config.py'", "config.py:1: _base_ goes round in a circle: config.py → config.py"),
        (
            "\n_base_ = ['b.py', 'round.py']",
            "round.py:1: _base_ goes round in a circle: config.py → round.py → config.py",
        ),
        ("_base_ = ['a.py', 'b.py']", "config.py:1: 'model' is assigned in two bases, a.py and b.py: name one of them"),
        ("_base_ = ['a.py', 3]", "config.py:1: _base_ must be a path or a list of paths, not a whole number"),
        ("_base_ = 'a.py'\n_base_ = 'b.py'", "config.py:2: _base_ is assigned in line 1 already"),
        ("_base_ = 'mmdet::x.py'", "config.py:1: _base_ 'mmdet::x.py' is not among the configs of rotx"),
        ("_base_ = 'mmyolo::x.py'", "config.py:1: _base_ 'mmyolo::x.py': only configs of mmrotate, mmdet, rotx"),
        ("_base_ = 'mmdet::../../x.py'", "is not among the configs of rotx"),
        ("_base_ = 'https://x/y.py'", "only files are read"),
        ("_base_ = 'a\\0.py'", "config.py:1: _base_ 'a\\x00.py'"),
        ("x = 1\n_base_ = [x]", "config.py:2: no 'x' is assigned above"),
        ("_base_ = 'a.py'\nmodel = dict(depth=dict(x=1))", "config.py:2: model.depth is a dict, but a whole number"),
        ("_base_ = 'a.py'\nx = _base_.modle", "config.py:2: no entry 'modle': did you mean 'model'?"),
        ("_base_ = 'a.py'\nx = {{_base_.model.deph}}", "config.py:2: no entry 'deph': did you mean 'depth'?"),
        ("_base_ = 'a.py'\nx = '{{_base_.nope}}'", "config.py:2: no entry 'nope'"),
        ("_base_ = 'a.py'\nx = 'a {{_base_.model}}'", "config.py:2: {{_base_.model}} is a dict"),
        ("_base_ = 'a.py'\nx = model", "config.py:2: no 'model' is assigned above: write _base_.model"),
        ("_base_ = 'a.py'\nx = {{model}}", "config.py:2: {{ }} holds _base_.name or one of fileDirname"),
        ("_base_ = 'bad.py'", "bad.py:2: import is not allowed"),
        ("x = _base_.y", "config.py:1: _base_ holds nothing"),
        ("x = '{{$HOME:/root}}'", "config.py:1: environment variables are not read"),
        ("x = {{'$HOME:/root'}}", "config.py:1: environment variables are not read"),
    ],
)
def test_bases_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    others = {"a": "model = dict(depth=1)", "b": "model = 1", "round": "_base_ = 'config.py'", "bad": "\nimport os"}
    assert message in error_of(tmp_path, text, **others)


HOSTILE = [
    ("import os\nos.system('touch MARK')", "1: import is not allowed"),
    ("from os import system", "1: import is not allowed"),
    ("from mmengine.config import read_base\nwith read_base():\n    from .x import *", "1: import is not allowed"),
    ("with open('MARK', 'w'):\n    pass", "1: with is not allowed"),
    ("x = open('MARK', 'w')", "1: a call is not allowed"),
    ("x = __import__('os').system('touch MARK')", "1: a call is not allowed"),
    ("exec('x = 1')", "1: only assignments are read"),
    ("eval('1')", "1: only assignments are read"),
    ("x = eval('1')", "1: a call is not allowed"),
    ("x = ().__class__.__bases__[0].__subclasses__()", "1: a call is not allowed"),
    ("x = ().__class__", "1: .__class__ of a tuple is not allowed"),
    ("x = ''.__class__.__mro__[1]", "1: .__class__ of text is not allowed"),
    ("x = dict().__class__", "1: no entry '__class__'"),
    ("x = dict(a=1).items", "1: no entry 'items': there are a"),
    ("x = dict.fromkeys([1])", "1: a call is not allowed"),
    ("x = dict.__base__", "1: no 'dict' is assigned above"),
    ("x = dict", "1: no 'dict' is assigned above"),
    ("x = __builtins__", "1: no '__builtins__' is assigned above"),
    ("x = __file__", "1: no '__file__' is assigned above"),
    ("x = 'a'.join(['b'])", "1: a call is not allowed"),
    ("x = '{0.__class__}'.format(1)", "1: a call is not allowed"),
    ("x = f'{().__class__}'", "1: .__class__ of a tuple"),
    ("x = f'{[1]}'", "1: a list in an f-string"),
    ("x = f'{1:>1000000000}'", "1: the format '>1000000000' is not allowed"),
    ("x = f'{1:{2}}'", None),
    ("x = f'{1:{999999999}d}'", "1: the format '999999999d' is not allowed"),
    ("x = '%1000000000d' % 1", "1: Mod of text and a whole number is not allowed"),
    ("x = lambda: 1", "1: a function is not allowed"),
    ("def f():\n    return 1", "1: a function is not allowed"),
    ("class A:\n    pass", "1: a class is not allowed"),
    ("@print\nclass A: pass", ": a class is not allowed"),
    ("x = [i for i in range(3)]", "1: a comprehension is not allowed"),
    ("x = {i: 1 for i in (1, 2)}", "1: a comprehension is not allowed"),
    ("x = list(range(3))", "1: a call is not allowed"),
    ("for i in (1, 2):\n    x = i", "1: a loop is not allowed"),
    ("while True: pass", "1: a loop is not allowed"),
    ("if True:\n    x = 1", "1: an if statement is not allowed"),
    ("try:\n    x = 1\nexcept Exception:\n    pass", "1: Try is not allowed"),
    ("x = 1\ndel x", "2: Delete is not allowed"),
    ("x = (y := 1)", "1: := is not allowed"),
    ("x: int = 1", "1: an annotation is not allowed"),
    ("x = (1, 2)\nx[0] = 2", "2: a tuple takes no item 0"),
    ("x = [1]\nx[1] = 2", "2: a list takes no item 1"),
    ("x = 'ab'\nx.a = 2", "2: text takes no item 'a'"),
    ("y['a'] = 2", "1: no 'y' is assigned above"),
    ("x = dict(a=1)\nx[True] = 2", "2: a dict takes no item True"),
    ("x = dict(a=1)\nx.clear()", "2: only assignments and .update(...)"),
    ("x = [1]\nx.update(a=1)", "2: a list has no .update(...)"),
    ("x = [1]\nx.extend(3)", "2: .extend(...) needs a list or a tuple"),
    ("print('MARK')", "1: only assignments are read"),
    ("x = len(3)", "1: a whole number has no length"),
    ("x = len('a', 'b')", "1: a call is not allowed"),
    ("x = range('a')", "1: range needs whole numbers"),
    ("x = range(1, 2, 0)", "1: range: "),
    ("x = range(10**12)", "the config grows beyond"),
    ("a, *b = [1, 2]", "1: only names can be assigned to"),
    ("a, b = [1, 2, 3]", "1: needs 2 values on the right"),
    ("x += 1", "1: AugAssign is not allowed"),
    ("x = await y", "1: Await is not allowed"),
    ("x = yield", "1: Yield is not allowed"),
    ("assert False", "1: Assert is not allowed"),
    ("raise SystemExit", "1: Raise is not allowed"),
    ("global x", "1: Global is not allowed"),
    ("x = {1, 2}", "1: a set is not allowed"),
    ("x = b'a'", "1: bytes is not allowed"),
    ("x = 1j", "1: a complex number is not allowed"),
    ("x = (-8) ** 0.5", "1: the result is a complex number"),
    ("x = ...", "1: ellipsis is not allowed"),
    ("x = ~1", "1: Invert of a whole number is not allowed"),
    ("x = 1 << 9", "1: the operator LShift is not allowed"),
    ("x = [1] @ [2]", "1: the operator MatMult is not allowed"),
    ("x = {[1]: 2}", "1: a key is text or a whole number, not a list"),
    ("x = {None: 2}", "1: a key is text or a whole number, not None"),
    ("x = dict(a=1, a=2)", "1: "),
    ("y = dict(a=1)\nx = dict(a=1, **y)", "2: 'a' is given twice in dict(...)"),
    ("x = dict([('a', 1)])", "1: ** needs a dict, not a list"),
    ("x = [*1]", "1: * needs a list or a tuple"),
    ("x = dict(**[1])", "1: ** needs a dict"),
    ("x = [1][5]", "1: no item 5 in a list of 1"),
    ("x = [1]['a']", "1: a list has no item 'a'"),
    ("x = [1][::0]", "1: a list has no item slice(None, None, 0)"),
    ("x = dict(abc=1)['abd']", "1: no entry 'abd': did you mean 'abc'?"),
    ("x = None[0]", "1: None has no item 0"),
    ("x = 1 + 'a'", "1: Add of a whole number and text is not allowed"),
    ("x = 'a' + 1", "1: Add of text and a whole number is not allowed: write text with f'{name}'"),
    ("x = 1 < 'a'", "1: a whole number cannot be compared with text"),
    ("x = 1 / 0", "1: no result: division by zero"),
    ("x = 1.5 ** 10000", "1: no result"),
    ("x = float('a')", "1: text that is no number"),
    ("angel = 1\nx = angle", "2: no 'angle' is assigned above: did you mean 'angel'?"),
    ("x = (1", "1: not Python"),
    ("x = 1\n  y = 2", "2: not Python: unexpected indent"),
    ("print 'a'", "1: not Python"),
    ("x = '" + "\\", "1: not Python"),
]


@pytest.mark.parametrize(("text", "message"), HOSTILE, ids=[text[:40] for text, _ in HOSTILE])
def test_anything_else_fails_in_one_line_and_nothing_runs(tmp_path: Path, text: str, message: str | None) -> None:
    text = text.replace("MARK", str(tmp_path / "ran"))
    if message is None:
        assert loaded(tmp_path, text)
    else:
        found = error_of(tmp_path, text)
        assert message in found and re.match(r"config\.py:\d+: ", found)
    assert not (tmp_path / "ran").exists()


BOMBS = {
    "power": ("x = 9 ** 9 ** 9", "the power is too large"),
    "powers": ("x = 9 ** 99\n" + "x = x * x\n" * 50, "the number is too large"),
    "small powers": ("x = 1 ** 10 ** 1000", "the power is too large"),
    "long number": ("x = " + "9" * 4000, "the number is too large"),
    "longer number": ("x = " + "9" * 5000, "not Python: Exceeds the limit"),
    "long hex": ("x = 0x" + "f" * 100_000, "the number is too large"),
    "text": ("x = 'a' * 10 ** 9", "1000000000 repetitions are too many"),
    "list": ("x = [0] * 10 ** 9", "1000000000 repetitions are too many"),
    "no list": ("x = [] * 10 ** 9", None),
    "minus": ("x = [1] * -10 ** 9", None),
    "lists": ("x = [0] * 10000\n" * 1 + "y = [x] * 10000", "the config grows beyond"),
    "doubling": ("x = [1]\n" + "x = [x, x]\n" * 60, "the config grows beyond 100,000 values"),
    "doubling text": ("x = 'a'\n" + "x = x + x\n" * 60, "the text is longer than 100,000 characters"),
    "doubling f": ("x = 'a'\n" + "x = f'{x}{x}'\n" * 60, "the text is longer than 100,000 characters"),
    "doubling dict": ("x = dict()\n" + "x = dict(a=x, b=x)\n" * 60, "the config grows beyond"),
    "adding": ("x = [1] * 100\n" + "x += x\n" * 60, "the config grows beyond"),
    "many names": ("a = [0] * 1000\n" + " = ".join(f"a{i}" for i in range(5000)) + " = a", "the config grows beyond"),
    "deep": ("x = " + "[" * 100_000, "not Python"),
    "deep and closed": ("x = " + "[" * 150 + "]" * 150, "nested too deeply"),
    "deeper by names": ("x = []\n" + "x = [x]\n" * 5000, "nested too deeply: at most 64 levels are allowed"),
    "minuses": ("x = " + "-" * 100_000 + "1", "nested too deeply"),
    "sums": ("x = " + "1+" * 90_000 + "1", "nested too deeply"),
    "some sums": ("x = " + "1+" * 500 + "1", "nested too deeply"),
    "attributes": ("x = a" + ".b" * 90_000, "nested too deeply"),
    "some attributes": ("a = dict(b=1)\nx = a" + ".b" * 500, "nested too deeply"),
    "subscripts": ("x = [1]" + "[0]" * 50_000, "nested too deeply"),
    "conditions": ("x = " + "1 if 1 else " * 15_000 + "1", "nested too deeply"),
    "long names": ("a" * 90_000 + " = 1\nx = " + "a" * 90_000 + "b", "no 'aaa"),
    "many names to compare": ("\n".join(f"name{i} = 1" for i in range(10_000)) + "\nx = nam", "is assigned above"),
    "long keys": ("x = {'" + "a" * 90_000 + "': 1}['" + "a" * 90_000 + "b']", "no entry 'aaa"),
    "many parts": ("e = ''\nx = f'" + "{e}" * 30_000 + "'", "more than 10,000 braces"),
    "parts of a long text": ("e = ''\nx = f'" + "a" * 90_000 + "{e}" * 9_000 + "'", "the config grows beyond"),
    "null byte": ("x = 1\ny = '\0'", "config.py:2: holds a null byte"),
    "values": ("x = [" + "1," * 99_000 + "]", None),
    "size": ("x = 1 #" + "a" * MAX_BYTES, "more than 200,000 bytes with its bases"),
    "10 MB": ("x = [" + "1," * 5_000_000 + "]", "more than 200,000 bytes with its bases"),
    "template": ("x = '" + "{{ " * 5_000 + "'", None),
    "environment": ("x = '" + "{{$" * 5_000 + "'", None),
    "spaces": ("x = '{{$" + " " * 90_000 + "'\ny = '{{" + " " * 90_000 + "'", None),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_grow_or_nest_without_end(tmp_path: Path, name: str) -> None:
    text, message = BOMBS[name]
    if message is None:
        start = time.perf_counter()
        assert loaded(tmp_path, text)
        assert time.perf_counter() - start < LIMIT
    else:
        assert message in error_of(tmp_path, text)


def test_a_text_filled_from_a_base(tmp_path: Path) -> None:
    text = "_base_ = 'base.py'\nx = '-" + "{{_base_.s}}" * 5000 + "'"
    assert "the text is longer than 100,000 characters" in error_of(tmp_path, text, base="s = 'a' * 90000")


def test_an_option_against_a_large_config(tmp_path: Path) -> None:
    config = loaded(tmp_path, "x = [0] * 40000\ny = dict(" + ", ".join(f"name{i}=1" for i in range(5000)) + ")")
    start = time.perf_counter()
    with pytest.raises(ConfigError, match="y has no 'name'"):
        apply_options(config, ["y.name=1"])
    assert time.perf_counter() - start < LIMIT


def test_bases_that_double(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"b{i}.py": f"_base_ = ['b{i + 1}.py', 'b{i + 1}.py']" for i in range(40)}
    path = write(tmp_path, {**files, "b40.py": ""})
    with pytest.raises(ConfigError, match="more than 100 files in one config"):
        load(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a = 1\nb = '\xe9'\n", "config.py:2: not UTF-8 at byte 0xe9: save the file as UTF-8"),
        ("a = 1".encode("utf-16"), "config.py:1: not UTF-8 at byte 0xff"),
        (b"# -*- coding: latin-1 -*-\na = '\xe9'\n", "config.py:2: not UTF-8 at byte 0xe9"),
    ],
)
def test_other_encodings(tmp_path: Path, data: bytes, message: str) -> None:
    assert message in error_of(tmp_path, data)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    for name, message in {
        "absent.py": "absent.py: cannot be read: No such file",
        "folder.py": "folder.py: not a file",
        "config.yaml": "not a .py file",
        "a\0.py": "not the name of a file",
        "a" * 300 + ".py": "cannot be read: File name too long",
    }.items():
        with pytest.raises(ConfigError, match=message):
            load(tmp_path / name)


def test_quoted_lines_hold_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    assert "\x1b" not in error_of(tmp_path, "import os  # \x1b[2J " + "x" * 1000)


CONFIG = {"model": {"depth": 50, "heads": [{"type": "A", "lr": 1.0}], "scale": (1, 2)}, "names": {1: "a"}, "x": None}


@pytest.mark.parametrize(
    ("option", "path", "value"),
    [
        ("model.depth=18", ("model", "depth"), 18),
        ("model.depth = 18", ("model", "depth"), 18),
        ("model.heads.0.lr=1e-3", ("model", "heads", 0, "lr"), 1e-3),
        ("model.heads.-1.lr=2", ("model", "heads", 0, "lr"), 2),
        ("model.scale.1=5", ("model", "scale"), (1, 5)),
        ("names.1=b", ("names", 1), "b"),
        ("x=a=b", ("x",), "a=b"),
        ("x=", ("x",), ""),
        ("x=true", ("x",), True),
        ("x=None", ("x",), None),
        ("x='1'", ("x",), "1"),
        ("x=1,2", ("x",), [1, 2]),
        ("x=a,1.5", ("x",), ["a", 1.5]),
        ("x=[a, (1, b), []]", ("x",), ["a", (1, "b"), []]),
        ("x=(1,2)", ("x",), (1, 2)),
        ("x=(1,)", ("x",), (1,)),
        ("x={'a': 1}", ("x",), {"a": 1}),
        ("x=work_dirs/a-b", ("x",), "work_dirs/a-b"),
        ("x=2024-01-01", ("x",), "2024-01-01"),
        ("x=b'a'", ("x",), "b'a'"),
        ("x=__import__('os')", ("x",), "__import__('os')"),
        ("x=9**9**9", ("x",), "9**9**9"),
        ("model.heads.0={'lr': 3}", ("model", "heads", 0), {"lr": 3}),
        ("model={'depth': 3}", ("model", "depth"), 3),
        ("model={'_delete_': True, 'a': 3}", ("model",), {"a": 3}),
        ("x={'_delete_': True, 'a': 3}", ("x",), {"a": 3}),
        ("+model.new.deep=1", ("model", "new", "deep"), 1),
        ("+model.heads.1.lr=1", ("model", "heads", 1, "lr"), 1),
        ("+model.depth=1", ("model", "depth"), 1),
    ],
)
def test_options(option: str, path: tuple[Any, ...], value: Any) -> None:
    before = repr(CONFIG)
    found: Any = apply_options(CONFIG, [option])
    for key in path:
        found = found[key]
    assert found == value and type(found) is type(value)
    assert repr(CONFIG) == before


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.deph=1", "model has no 'deph': did you mean 'model.depth'?"),
        ("depth=1", "the config has no 'depth': did you mean 'model.depth'?"),
        ("zzz=1", "the config has no 'zzz'; +zzz=... adds it"),
        ("model.heads.3.lr=1", "model.heads is a list of 1, which has no item '3': did you mean 'model.heads.0.lr'?"),
        ("model.heads.a=1", "model.heads is a list of 1, which has no item 'a'"),
        ("+model.heads.2=1", "model.heads is a list of 1, which has no item '2'"),
        ("model.depth.x=1", "model.depth is a whole number, which has no entry 'x'"),
        ("x={'a': 1}", None),
        ("x={'b': {'c': 1}}", "x.b is a dict, but a whole number in the base"),
        ("depth", "need path=value, such as model.backbone.depth=50"),
        ("=1", "need path=value"),
        ("a..b=1", "need path=value"),
        (".".join("a" * 1000) + "=1", "need path=value"),
        ("x=[1,2", "no ']' closes the '['"),
        ("x=" + "[" * 1000 + "a" + "]" * 1000, "too many brackets"),
        ("x=" + "[" * 50_000, "longer than 10,000 characters"),
    ],
)
def test_options_that_cannot_be_applied(option: str, message: str | None) -> None:
    config = {**CONFIG, "x": {"b": 2}}
    if message is None:
        assert apply_options(config, [option])["x"] == {"a": 1, "b": 2}
        return
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        apply_options(config, [option])
    assert str(caught.value).startswith("--cfg-options") and "\n" not in str(caught.value)


def random_value(rng: random.Random, depth: int) -> Any:
    """A value such as a config may hold, with everything that is hard to write."""
    letters = "ab _'\"\\\n\t{}%\0é😀\ud800$"
    text = "".join(rng.choice(letters) for _ in range(rng.randrange(12)))
    scalars = [None, True, False, rng.randrange(-9, 9), 10**400, rng.gauss(0, 1), -0.0, 1e300, 5e-324, math.inf, text]
    scalars += ["{{ fileDirname }}", "{{{_base_.x}}}", "{{$HOME:x}}", "a" * 200]
    kind = rng.randrange(6) if depth else 0
    if kind < 3:
        return rng.choice(scalars)
    items = [random_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind < 5:
        return items if kind == 3 else tuple(items)
    keys: list[Any] = ["type", "class", "a.b", "", "é", 0, -3, text, "lambda", "_x", "{{ fileDirname }}"]
    return {rng.choice(keys): item for item in items}


@pytest.mark.parametrize("seed", range(100))
def test_what_is_dumped_loads_to_an_equal_config(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    config = {f"name{i}": random_value(rng, 5) for i in range(rng.randrange(1, 8))}
    text = dumps(config)
    assert repr(loaded(tmp_path, text)) == repr(config)  # repr tells -0.0 from 0.0, and types apart
    assert dumps(loaded(tmp_path, text)) == text


def test_a_dump_is_easy_to_read() -> None:
    steps = [{"type": "Resize", "scale": (1024, 1024), "keep_ratio": True}, {"type": "Flip", "prob": 0.75}]
    config = {"lr": 0.0025, "pipeline": [*steps, {"type": "Pack", "keys": ("img_id", "img_path")}], "a": {"b-c": 1}}
    assert dumps(config) == (
        "lr = 0.0025\n"
        "pipeline = [\n"
        "    dict(type='Resize', scale=(1024, 1024), keep_ratio=True),\n"
        "    dict(type='Flip', prob=0.75),\n"
        "    dict(type='Pack', keys=('img_id', 'img_path')),\n"
        "]\n"
        "a = {'b-c': 1}\n"
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"a": [1, {"b": object}]}, "a.1.b: type cannot be written to a config"),
        ({"a": {None: 1}}, "a: the key None cannot stand in a config"),
        ({"a b": 1}, "'a b' cannot be the name"),
        ({"class": 1}, "'class' cannot be the name"),
        ({"_base_": 1}, "'_base_' cannot be the name"),
    ],
)
def test_what_cannot_be_dumped(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        dumps(config)


def test_custom_imports_need_trust(tmp_path: Path) -> None:
    config = loaded(tmp_path, "custom_imports = dict(imports=['a.b', 'c'], allow_failed_imports=False)")
    assert custom_imports(config, trusted=True) == ["a.b", "c"]
    with pytest.raises(ConfigError, match=r"wants to run a\.b, c; if you trust it, give --trust-config"):
        custom_imports(config, trusted=False)
    assert custom_imports({"custom_imports": {"imports": "a"}}, trusted=True) == ["a"]
    for nothing in ({}, {"custom_imports": None}, {"custom_imports": {"imports": []}}):
        assert custom_imports(nothing, trusted=False) == []
    for wrong in (["a"], {"imports": 3}, {"imports": ["a b"]}, {"imports": [None]}, {"import": ["a"]}):
        with pytest.raises(ConfigError, match=r"custom_imports: need dict\(imports="):
            custom_imports({"custom_imports": wrong}, trusted=True)


def show(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["config", "show", *arguments])


def test_show(tmp_path: Path) -> None:
    path = str(write(tmp_path, {"config.py": "_base_ = 'base.py'\nmodel = dict(depth=18)\n", "base.py": "lr = 0.1\n"}))
    assert show(path).output == "lr = 0.1\nmodel = dict(depth=18)\n"
    assert show(path, "--cfg-options", "lr=1", "model.depth=2").output == "lr = 1\nmodel = dict(depth=2)\n"
    out = tmp_path / "out.py"
    result = show(path, "--out", str(out), "--cfg-options", "lr=3")
    assert (result.exit_code, result.output) == (0, "")
    assert out.read_text() == "lr = 3\nmodel = dict(depth=18)\n"


def test_show_says_what_is_wrong(tmp_path: Path) -> None:
    path = str(write(tmp_path, {"config.py": "import os\n"}))
    result = show(path)
    assert result.exit_code == 2
    reason = "import is not allowed, for nothing is executed: name modules of yours with --plugin"
    assert result.output == f"error: {path}:1: {reason} [import os]\n"
    assert show(path, "lr=1").exit_code == 2
    assert show(str(tmp_path / "absent.py")).exit_code == 2


def test_show_notes_a_translation(tmp_path: Path) -> None:
    path = str(write(tmp_path, {"config.py": "optimizer = dict(type='SGD', lr=0.1)\n"}))
    result = show(path)
    assert "note: " in result.output and "translated from MMRotate 0.x: optimizer" in result.output


def test_configs_load_neither_numpy_nor_torch() -> None:
    code = "import sys, rotx.config; print(sorted(m for m in sys.modules if m.startswith(('rotx', 'numpy', 'torch'))))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in ("rotx", "rotx.renamed") or name.startswith("rotx.config") for name in eval(run.stdout))


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_our_own_configs(path: Path, tmp_path: Path) -> None:
    config = load(path)
    assert loaded(tmp_path, dumps(config)) == config


CHANGES = {
    "an entry": ("_base_.hooks.checkpoint.interval = 5", {"hooks": {"checkpoint": {"interval": 5, "keep": 3}}}),
    "an item": ("_base_.hooks['checkpoint']['interval'] = 5", {"hooks": {"checkpoint": {"interval": 5, "keep": 3}}}),
    "a new entry": ("_base_.hooks.logger = dict(interval=2)",
                    {"hooks": {"checkpoint": {"interval": 1, "keep": 3}, "logger": {"interval": 2}}}),
    "an item of a list": ("_base_.steps[1] = 7", {"steps": [1, 7]}),
    "a sum": ("_base_.steps += [3]", {"steps": [1, 2, 3]}),
    "a list that grows": ("_base_.steps.append(3)\n_base_.steps.extend([4, 5])", {"steps": [1, 2, 3, 4, 5]}),
    "an update": ("keys = dict(a=1)\nkeys.update({'b': 2})\nkeys.update(c=3, **dict(d=4))",
                  {"keys": {"a": 1, "b": 2, "c": 3, "d": 4}}),
    "an entry of a value": ("m = dict(head=dict(n=1))\nm['head']['n'] = 2\nm.head.k = len('abc')",
                            {"m": {"head": {"n": 2, "k": 3}}}),
    "a copy is not changed": ("a = dict(n=1)\nb = a\nb.n = 2", {"a": {"n": 1}, "b": {"n": 2}}),
    "lengths": ("classes = ('barge', 'tug')\nnum = len(classes)\nm = dict(n=len([1]) + len(dict(a=1)))",
                {"num": 2, "m": {"n": 2}}),
    "ranges": ("gpu_ids = range(0, 1)\nodd = range(1, 6, 2)", {"gpu_ids": [0], "odd": [1, 3, 5]}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CHANGES.values(), ids=CHANGES)
def test_values_are_changed_in_place(text: str, expected: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("hooks = dict(checkpoint=dict(interval=1, keep=3))\nsteps = [1, 2]\n")
    (tmp_path / "config.py").write_text(f"_base_ = 'base.py'\n{text}\n")
    config = read(tmp_path / "config.py")
    assert {key: config[key] for key in expected} == expected
    assert read(tmp_path / "base.py") == {"hooks": {"checkpoint": {"interval": 1, "keep": 3}}, "steps": [1, 2]}


@pytest.mark.parametrize("name", ["mmrotate::_base_/default_runtime.py", "mmdet::default_runtime.py"])
def test_bases_among_the_configs_of_rotx(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(f"_base_ = [{name!r}]\n")
    assert "default_hooks" in read(tmp_path / "config.py")


def test_options_of_variables_take_effect(tmp_path: Path) -> None:
    """As if the file, or its base, assigned the value."""
    (tmp_path / "base.py").write_text("root = 'a/'\ntest = dict(root=root, n=1)\n")
    text = "_base_ = 'base.py'\nepochs = 3\nsteps = [epochs - 1, epochs]\ntrain = dict(root=f'{_base_.root}x')\n"
    (tmp_path / "config.py").write_text(text)
    config = load(tmp_path / "config.py", ["root=b/", "epochs=9", "steps=[1]", "test.n=2"])
    assert config["train"] == {"root": "b/x"} and config["test"] == {"root": "b/", "n": 2}
    assert (config["root"], config["epochs"], config["steps"]) == ("b/", 9, [1])
    assert load(tmp_path / "config.py", ["epochs=9"])["steps"] == [8, 9]
