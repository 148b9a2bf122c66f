"""What a person types, and what comes back: exit codes, one-line errors, settings files, plans."""

import json
import os
import subprocess
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
def test_errors_say_what_and_the_way_out_without_a_traceback(
    arguments: list[str], code: int, words: str, lrldata: Run
) -> None:
    done = lrldata(*arguments)
    assert done.returncode == code, done.stderr
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_debug_shows_the_traceback(lrldata: Run) -> None:
    done = lrldata("--debug", "build", "--lang", "xxxx", "--sample")
    assert "Traceback" in done.stderr
    assert done.returncode == 2, "as without it"


def test_settings_come_from_a_file_and_flags_stand_above_it(lrldata: Run, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('lang = "ro"\nsample = true\ntemplates = "native"\nmin-weight = 0.3\n')
    built = json.loads(lrldata("build", "--config", file, "--json").stdout)
    assert (
        built["ledger"]["dropped"]["below_min_weight"]["rows"] == 4
    )  # of facts with both ends in the language, as native sets want
    over = json.loads(lrldata("build", "--config", file, "--min-weight", "0", "--json").stdout)
    assert "below_min_weight" not in over["ledger"]["dropped"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('lang = "ro"\ntemplate = "native"\n', "unknown key 'template'. Did you mean 'templates'?"),
        ('lang = "ro"\nmin_weight = "high"\n', "min_weight"),
        ("lang = ro\n", "not TOML"),
    ],
)
def test_a_typo_in_the_settings_names_the_file_and_the_key(text: str, words: str, lrldata: Run, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    done = lrldata("build", "--config", file, "--sample")
    assert done.returncode == 2
    assert words in done.stderr
    assert "settings.toml" in done.stderr


def test_a_dry_run_names_everything_and_touches_nothing(lrldata: Run, tmp_path: Path) -> None:
    done = lrldata("build", "--lang", "ro,mt", "--dry-run", "--json")
    steps = json.loads(done.stdout)["plan"]
    assert [step["action"] for step in steps] == ["download", "write", "write", "write"]
    assert steps[0]["bytes"] == 497_963_447
    assert steps[2]["what"] == "lrl-workspace/datasets/ro/conceptnet"
    assert list(tmp_path.iterdir()) == []


def test_output_is_data_only_and_nothing_is_drawn_where_there_is_no_terminal(lrldata: Run) -> None:
    done = lrldata("build", "--lang", "ro", "--sample", "--json")
    json.loads(done.stdout)
    assert done.stderr == ""


def test_names_with_brackets_are_names_and_not_patterns(lrldata: Run) -> None:
    built = json.loads(
        lrldata("build", "--lang", "ro", "--sample", "--cache", "c[1]", "--out", "w[1]", "--json").stdout
    )
    assert lrldata("stats", built["path"]).returncode == 0


def test_several_languages_are_one_object(lrldata: Run) -> None:
    found = json.loads(lrldata("build", "--lang", "ro,en", "--sample", "--json").stdout)
    assert [each["language"] for each in found["datasets"]] == ["ro", "en"]
    assert found.keys() == {"datasets", "seconds"}


def test_an_index_is_made_once_and_can_be_named(lrldata: Run, make_dump: Callable[..., Path]) -> None:
    made = json.loads(lrldata("index", "--dump", make_dump([line("IsA", "ro:câine", "ro:animal")]), "--json").stdout)
    assert made["languages"] == {"ro": 1}
    built = json.loads(lrldata("build", "--lang", "ro", "--index", made["path"], "--json").stdout)
    assert sum(built["rows"].values()) == 1


def test_a_read_only_workspace_is_one_line(lrldata: Run, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")  # root may write anywhere, but not below a file
    done = lrldata("build", "--lang", "ro", "--sample", "--out", place)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "--out" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
@pytest.mark.parametrize(("where", "size"), [("--out", "24k"), ("--cache", "12k")])
def test_a_full_disk_is_one_line_and_leaves_nothing_half(where: str, size: str, lrldata: Run, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=False, capture_output=True
    ).returncode:
        pytest.skip("may not mount here")
    try:
        done = lrldata("build", "--lang", "ro", "--sample", where, disk)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "no space" in done.stderr.lower()
        assert not list(disk.rglob("manifest.json"))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_languages_and_templates_are_listed(lrldata: Run) -> None:
    paper = lrldata("langs", "--paper", "--json")
    assert len(json.loads(paper.stdout)["languages"]) == 30
    kurdish = lrldata("langs", "Sorani")
    assert "both Kurdish languages" in " ".join(kurdish.stdout.split())
    checked = lrldata("templates", "check")
    assert checked.returncode == 0
    assert "No faults." in checked.stdout
    assert "Cuvântul {start} are legătură cu cuvântul {end}." in lrldata("templates", "show", "native/ro").stdout


def test_a_faulty_template_file_fails_the_check(lrldata: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'language = "ro"\ndescription = ""\nreviewed = false\nreviewed_by = []\n[relations]\nIsA = ["{start} este."]\n'
    )
    done = lrldata("templates", "check", file)
    assert done.returncode == 1
    assert "mine: IsA: '{start} este.' must have {start} and {end} exactly once each" in done.stderr


def test_help_names_every_command_and_version_is_told(lrldata: Run) -> None:
    shown = lrldata("--help").stdout
    for name in ("build", "stats", "langs", "templates", "index", "--install-completion"):
        assert name in shown
    assert lrldata("--version").stdout.startswith("lrldata ")
