"""Printed output: no escape sequences or markup from data, no secrets, valid JSON, all printed by one module."""

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Group
from rich.text import Text

from lrldata import output
from lrldata.cli.tables import table
from lrldata.output import Screen, clean, keep_out_of, redact, redacted, say_json, show

Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e[red]x[/] :cat: \udc80"


def test_control_characters_are_escaped_and_letters_stay() -> None:
    assert clean(HOSTILE) == r"\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e[red]x[/] :cat: \udc80"
    ordinary = "ţară\tعربي\nབོད་ 👩‍👩‍👧 \u200f"
    assert clean(ordinary) == ordinary


def test_text_on_a_console_is_never_interpreted_as_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    hostile_table = table(f"title {HOSTILE}", "column [b]", "other")
    hostile_table.add_row(HOSTILE, "x")
    for item in (hostile_table, HOSTILE, Text(HOSTILE)):
        Screen().print(item)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert printed.count("[red]x[/] :cat:") == 4, printed
    assert "🐱" not in printed


def test_without_a_terminal_a_table_is_as_wide_as_it_needs_to_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    wide = table("t", "a")
    wide.add_row("x" * 300)
    Screen().print(wide)
    assert "x" * 300 in capsys.readouterr().out


@pytest.mark.parametrize("columns", [30, 40, 50, 60, 80])
def test_no_number_in_a_table_is_split(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    datasets = table("Datasets", "language", "train", "validation", "kept", numbers=("train", "validation", "kept"))
    datasets.add_row("ro Romanian with a name that is long", "1,234,567", "41,000", "78.5%")
    show(Group(datasets, "a/folder"))
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("1,234,567", "41,000", "78.5%", "validation", "Romanian"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://user:pw@bucket/ws", "s3://[redacted]@bucket/ws"),
        ("sftp://me@host/x and https://a/b?Sig=1 too", "sftp://[redacted]@host/x and https://a/b?[redacted] too"),
        ("file:///home/me/a?b", "file:///home/me/a?[redacted]"),
        ("me@example.org asks: a/b?c", "me@example.org asks: a/b?c"),
        ("https:/u:pw@h/x?s=1 is an address", "https:/[redacted]@h/x?[redacted] is an address"),
        ("s3://AKIA:abc/def+g@bucket, x.s3://a:b@c", "s3://[redacted]@bucket, x.s3://[redacted]@c"),
        ("see https://host:8080/path/@name", "see https://host:8080/path/@name"),
        ("https://user:secret@host.org/cn@2024/x.gz", "https://[redacted]@host.org/cn@2024/x.gz"),
        ("s3://key:se/cret@minio:9000/bucket/run@2", "s3://[redacted]@minio:9000/bucket/run@2"),
        ("https://[2001:db8::1]:8080/datasets/a@v1", "https://[2001:db8::1]:8080/datasets/a@v1"),
        ("Bearer abc.DEF-1= ends", "Bearer [token] ends"),
        ("Bearer [key]).", "Bearer [key])."),
    ],
)  # fmt: skip
def test_secrets_in_addresses_are_redacted(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redacted({"a": [text, 1, None]}) == {"a": [shown, 1, None]}


def test_a_password_is_redacted_however_a_library_quotes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_SECRETS", [])
    keep_out_of("s3://user:hun%74er2@bucket/ws?sig=longone")
    assert redact("Invalid bucket name 'user:hunter2@bucket', hun%74er2, sig=longone") == (
        "Invalid bucket name 'user:[token]@bucket', [token], [token]"
    )
    keep_out_of("http://[broken")
    keep_out_of("https://user:sla/shed@host/x@1")
    assert redact("Authorization of sla/shed") == "Authorization of [token]"


@pytest.mark.parametrize("piece", ["a.", "a://", "x:/", "a:b@", "https://a?"])
def test_a_long_text_is_redacted_in_linear_time(piece: str) -> None:
    began = time.process_time()
    redact("x:// " + piece * (200_000 // len(piece)))
    assert time.process_time() - began < 2


def test_json_output_is_valid_whatever_it_contains(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({"a": float("nan"), "b": [float("inf"), "ţ"], "c": (1, 2)})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, "ţ"], "c": [1, 2]}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_json_output_of_a_command_can_be_read_in_any_encoding(encoding: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "lrldata.cli", "langs", "ro", "yo", "--json"],
        capture_output=True, check=True, env=os.environ | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    names = [row["native_name"] for row in json.loads(result.stdout.decode(encoding))["languages"]]
    assert names[0] == "română"


def test_names_given_by_the_user_are_printed_literally(lrldata: Run, tmp_path: Path) -> None:
    folder = tmp_path / "[bold]x[/] :cat: \x1b[31m"
    built = lrldata("build", "--lang", "ro", "--sample", "--out", folder)
    assert built.returncode == 0, built.stderr
    assert r"[bold]x[/] :cat: \x1b[31m" in built.stdout
    (folder / "datasets/ro/conceptnet/README.md").write_text("x")
    for command in (("stats",), ("report",)):
        failed = lrldata(*command, folder / "datasets/ro/conceptnet")
        assert failed.returncode == 1
        assert "\x1b" not in failed.stderr
        assert r"[bold]x[/] :cat: \x1b[31m" in failed.stderr
    for arguments in (("langs", "\x1b[31mx"), ("explain", "\x1b[31mSalut", "--lang", "ro"), ("stats", "\x1b]0;x\x07")):
        result = lrldata(*arguments)
        assert "\x1b" not in result.stdout + result.stderr, arguments
        assert "Traceback" not in result.stderr


def test_a_name_that_is_not_utf_8_is_printed_too(lrldata: Run, tmp_path: Path) -> None:
    result = lrldata("stats", os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    assert result.returncode == 1
    assert r"\udcff" in result.stderr


def test_tracebacks_are_cleaned_and_redacted_too(lrldata: Run) -> None:
    result = lrldata("--debug", "langs", "\x1b[31m")
    assert "Traceback" in result.stderr
    assert "\x1b" not in result.stderr
    result = lrldata("--debug", "build", "--lang", "ro", "--sample", "--out", "nosuch://u:hunter2@host/x?sig=hunter2")
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert "hunter2" not in result.stderr


def test_only_the_output_module_prints() -> None:
    violations = []
    for package in ("lrldata", "lrltrain", "hub_cards"):
        for file in sorted((ROOT / package).rglob("*.py")):
            if file == ROOT / "lrldata" / "output.py":
                continue
            nodes = ast.walk(ast.parse(file.read_text("utf-8")))
            violations += [f"{file.relative_to(ROOT)}:{node.lineno}" for node in nodes if _prints(node)]
    assert violations == []


def _prints(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name):
        return node.func.id in ("print", "Console", "print_exc")
    name, owner = getattr(node.func, "attr", ""), getattr(getattr(node.func, "value", None), "attr", "")
    return name in ("echo", "secho", "print_exc", "from_markup") or (name == "write" and owner in ("stdout", "stderr"))
