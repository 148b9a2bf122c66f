"""The command line: exit codes, one-line errors, settings files and dry runs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dumps import line

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["build", "--lang", "Romanain", "--sample"], 2, "Nearest: Romanian (ro)"),
        (["build", "--sample"], 2, "No language given"),
        (["build", "--lang", "ro", "--edges", "both", "--sample"], 2, "--edges"),
        (["build", "--lang", "ro", "--min-weight", "-1", "--sample"], 2, "--min-weight"),
        (["build", "--lang", "ro", "--templates", "klingon", "--sample"], 2, "english, paper, native"),
        (["build", "--lang", "fi", "--templates", "native", "--sample"], 2, "No sentences in Finnish"),
        (["build", "--lang", "ro", "--sample", "--dump", "x"], 2, "--dump and --sample are mutually exclusive"),
        (["build", "--lang", "ro", "--scripts", "Latin", "--sample"], 2, "ISO 15924"),
        (["build", "--lang", "ro", "--scripts", "Xxxx", "--sample"], 2, "ISO 15924"),
        (["build", "--lang", "ro", "--sample", "--dump-sha256", "0" * 64], 2, "--dump-sha256 requires --dump"),
        (["build", "--lang", "ro", "--dump", "x", "--dump-sha256", "00"], 2, "--dump-sha256"),
        (["build", "--lang", "ro", "--dump", "http://[x/d.csv"], 2, "not a valid URL"),
        (["build", "--lang", "ro", "--dump", "."], 1, "not a regular file"),
        (
            ["build", "--lang", "ro", "--dump", "missing.csv.gz"],
            1,
            "missing.csv.gz: no such file. Give the dump with --dump",
        ),
        (["build", "--lang", "ro", "--index", "."], 1, "no finished index"),
        (["build", "--lang", "bo", "--sample"], 1, "has no edges in Tibetan (bo)"),
        (["build", "--lang", "ro", "--min-weight", "99", "--sample"], 1, "Nothing is left of 441 edges"),
        (["build", "--wrong-option"], 2, "No such option"),
        (["stats", "nowhere"], 1, "no finished dataset"),
        (["langs", "xxxx"], 2, "Unknown language"),
        (["templates", "show", "latin"], 2, "No template set"),
    ],
)
def test_errors_give_the_cause_and_a_hint_without_a_traceback(
    arguments: list[str], code: int, words: str, lrldata: Run
) -> None:
    result = lrldata(*arguments)
    assert result.returncode == code, result.stderr
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_debug_shows_the_traceback(lrldata: Run) -> None:
    result = lrldata("--debug", "build", "--lang", "xxxx", "--sample")
    assert "Traceback" in result.stderr
    assert result.returncode == 2, "the same exit code as without --debug"


def test_settings_come_from_a_file_and_flags_override_them(lrldata: Run, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('lang = "ro"\nsample = true\ntemplates = "native"\nmin-weight = 0.3\n')
    from_file = json.loads(lrldata("build", "--config", file, "--json").stdout)
    # Native template sets use only facts with both ends in the language.
    assert from_file["ledger"]["dropped"]["below_min_weight"]["rows"] == 4
    overridden = json.loads(lrldata("build", "--config", file, "--min-weight", "0", "--json").stdout)
    assert "below_min_weight" not in overridden["ledger"]["dropped"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('lang = "ro"\ntemplate = "native"\n', "unknown key 'template'. Did you mean 'templates'?"),
        ('lang = "ro"\nmin_weight = "high"\n', "min_weight"),
        ("lang = ro\n", "not TOML"),
    ],
)
def test_an_error_in_the_settings_names_the_file_and_the_key(
    text: str, words: str, lrldata: Run, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    result = lrldata("build", "--config", file, "--sample")
    assert result.returncode == 2
    assert words in result.stderr
    assert "settings.toml" in result.stderr


@pytest.mark.parametrize("source", ["conceptnet", "glotcc"])
def test_an_input_on_the_command_line_replaces_the_one_in_the_file(source: str, lrldata: Run, tmp_path: Path) -> None:
    key = "dump" if source == "conceptnet" else "input"
    file = tmp_path / "settings.toml"
    file.write_text(f'lang = "ro"\nsource = "{source}"\n{key} = "{tmp_path}/missing"\nout = "file://{tmp_path}/ws"\n')
    result = lrldata("build", "--config", file, "--sample", "--dry-run", "--json")
    assert result.returncode == 0, result.stderr
    write = json.loads(result.stdout)["plan"][-1]
    assert write["what"].startswith(f"{tmp_path}/ws/"), "file:// is a local folder in a file, too"


def test_a_dry_run_lists_every_step_and_writes_nothing(lrldata: Run, tmp_path: Path) -> None:
    result = lrldata("build", "--lang", "ro,mt", "--dry-run", "--json")
    steps = json.loads(result.stdout)["plan"]
    assert [step["action"] for step in steps] == ["download", "write", "write", "write"]
    assert steps[0]["bytes"] == 497_963_447
    assert steps[2]["what"] == "lrl-workspace/datasets/ro/conceptnet"
    assert list(tmp_path.iterdir()) == []


def test_output_is_only_data_and_no_progress_is_shown_without_a_terminal(lrldata: Run) -> None:
    result = lrldata("build", "--lang", "ro", "--sample", "--json")
    json.loads(result.stdout)
    assert result.stderr == ""


def test_brackets_in_folder_names_are_not_patterns(lrldata: Run) -> None:
    summary = json.loads(
        lrldata("build", "--lang", "ro", "--sample", "--cache", "c[1]", "--out", "w[1]", "--json").stdout
    )
    assert lrldata("stats", summary["path"]).returncode == 0


def test_several_languages_give_one_json_object(lrldata: Run) -> None:
    summary = json.loads(lrldata("build", "--lang", "ro,en", "--sample", "--json").stdout)
    assert [dataset["language"] for dataset in summary["datasets"]] == ["ro", "en"]
    assert summary.keys() == {"datasets", "seconds"}


def test_an_index_can_be_made_first_and_passed_to_a_build(lrldata: Run, make_dump: Callable[..., Path]) -> None:
    index = json.loads(lrldata("index", "--dump", make_dump([line("IsA", "ro:câine", "ro:animal")]), "--json").stdout)
    assert index["languages"] == {"ro": 1}
    summary = json.loads(lrldata("build", "--lang", "ro", "--index", index["path"], "--json").stdout)
    assert sum(summary["rows"].values()) == 1


def test_an_unwritable_workspace_is_a_one_line_error(lrldata: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")  # root may write anywhere, but not below a file
    result = lrldata("build", "--lang", "ro", "--sample", "--out", file)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "--out" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
@pytest.mark.parametrize(("option", "size"), [("--out", "24k"), ("--cache", "12k")])
def test_a_full_disk_is_a_one_line_error_and_leaves_no_partial_dataset(
    option: str, size: str, lrldata: Run, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        result = lrldata("build", "--lang", "ro", "--sample", option, disk)
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert "no space" in result.stderr.lower()
        assert not list(disk.rglob("manifest.json"))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_languages_and_templates_are_listed(lrldata: Run) -> None:
    paper = lrldata("langs", "--paper", "--json")
    assert len(json.loads(paper.stdout)["languages"]) == 30
    kurdish = lrldata("langs", "Sorani")
    assert "both Kurdish languages" in " ".join(kurdish.stdout.split())
    check = lrldata("templates", "check")
    assert check.returncode == 0
    assert "No faults." in check.stdout
    assert "Cuvântul {start} are legătură cu cuvântul {end}." in lrldata("templates", "show", "native/ro").stdout


def test_a_faulty_template_file_fails_the_check(lrldata: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'language = "ro"\ndescription = ""\nreviewed = false\nreviewed_by = []\n[relations]\nIsA = ["{start} este."]\n'
    )
    result = lrldata("templates", "check", file)
    assert result.returncode == 1
    assert "mine: IsA: '{start} este.' must have {start} and {end} exactly once each" in result.stderr


def test_help_lists_every_command_and_the_version_is_printed(lrldata: Run) -> None:
    help_text = lrldata("--help").stdout
    for name in ("build", "stats", "langs", "templates", "index", "--install-completion"):
        assert name in help_text
    assert lrldata("--version").stdout.startswith("lrldata ")


INTERRUPTED_IMPORT = """
import sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from {package}.cli import main
main()
"""


@pytest.mark.parametrize("package", ["lrldata", "lrltrain", "hub_cards"])
def test_an_interruption_of_the_first_imports_shows_no_traceback(package: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED_IMPORT.format(package=package)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


INTERRUPTED_IN_A_LIBRARY = """
import typer
from lrldata.cli.run import run
class Held:
    def __del__(self):
        raise KeyboardInterrupt
app = typer.Typer()
@app.command()
def work() -> None:
    held = Held()
    del held
    print("goes on")
run(app, "work")
"""


INTERRUPTED_TWICE = """
import atexit, typer
from lrldata.cli.run import run
def interrupt() -> None:
    raise KeyboardInterrupt
app = typer.Typer()
app.command()(interrupt)
atexit.register(interrupt)
run(app, "work")
"""


@pytest.mark.parametrize("code", [INTERRUPTED_IN_A_LIBRARY, INTERRUPTED_TWICE])
def test_an_interruption_that_python_cannot_raise_ends_the_command(code: str) -> None:
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (130, "")
    assert result.stderr.strip() == "error: stopped. Finished work is kept; run the same command again to resume."
    reading, writing = os.pipe()
    os.close(reading)  # Ctrl-C also ends the reader in `2>&1 | tee log`
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=writing, text=True, check=False)
    os.close(writing)
    assert (result.returncode, result.stdout) == (130, "")
