"""Builds of web text as commands: what they write, how they resume, and how they report bad input."""

import gzip
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clients import ACCOUNTS, TOKEN, environment, give_home
from test_web import ENGLISH, ROMANIAN, frame
from warm import Warm

import lrldata
from hub_cards.local_hub import Hub, start
from lrldata.engine import start_pool
from lrldata.layout import is_workspace
from lrldata.web.plain import PART
from lrldata.web.read import Columns, find_shards, read_parts

Run = Callable[..., subprocess.CompletedProcess[str]]


UPLOAD = """
import sys
from huggingface_hub import HfApi
HfApi().create_repo("cis-lmu/GlotCC-V1", repo_type="dataset", exist_ok=True)
print(HfApi().upload_file(path_or_fileobj=sys.argv[1], path_in_repo=sys.argv[2], repo_id="cis-lmu/GlotCC-V1",
                          repo_type="dataset").oid)
"""


def prose(count: int, begin: int = 0) -> list[str]:
    """Return good documents that are all different and not near-duplicates of each other."""
    ends = ("vara", "iarna", "seara", "dimineața", "la munte", "la mare", "în oraș", "acasă")
    return [
        "\n".join(
            f"{line[:-1]}, {ends[(number * 3 + index) % 8]} {number}-{index}." for index, line in enumerate(ROMANIAN)
        )
        for number in range(begin, begin + count)
    ]


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder, keyed by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    path = tmp_path / "pages.jsonl"
    texts = frame().select("text", "url").rows(named=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in texts), encoding="utf-8")
    return path


def test_a_build_makes_a_dataset_folder_and_does_nothing_the_second_time(
    lrldata: Run, pages: Path, tmp_path: Path
) -> None:
    command = ("build", "--lang", "ro", "--source", "web", "--input", pages, "--out", tmp_path / "ws", "--json")
    report = json.loads(lrldata(*command).stdout)
    assert report["status"] == "built"
    kept, dropped = report["ledger"]["kept"]["rows"], report["ledger"]["dropped"]
    assert kept + sum(tally["rows"] for tally in dropped.values()) == report["ledger"]["in"]["rows"] == 72
    assert sum(report["rows"].values()) == kept > 0
    assert json.loads(lrldata(*command).stdout)["status"] == "unchanged"
    files = content(tmp_path / "ws" / "datasets")
    other_command = [argument if argument != tmp_path / "ws" else tmp_path / "ws2" for argument in command]
    assert lrldata(*other_command, POLARS_MAX_THREADS="1", PYTHONHASHSEED="1").returncode == 0
    assert content(tmp_path / "ws2" / "datasets") == files
    assert not list((tmp_path / "cache" / "lrl" / "glotcc").glob("[!.]*/*")), "intermediate files are left behind"
    shown = lrldata("stats", tmp_path / "ws" / "datasets" / "ro" / "web")
    assert "lines of all documents" in shown.stdout


def test_the_built_in_sample_shows_every_step_and_has_a_report(lrldata: Run, tmp_path: Path) -> None:
    command = ("build", "--lang", "ro", "--source", "glotcc", "--sample", "--out", tmp_path, "--json")
    built = json.loads(lrldata(*command).stdout)
    assert built["ledger"]["kept"]["rows"] > 400
    assert len(built["ledger"]["dropped"]) >= 15
    report = json.loads(lrldata("report", built["path"], "--json").stdout)
    page = Path(report["path"]).read_text("utf-8")
    assert all(reason in page for reason in built["ledger"]["dropped"])
    samples = json.loads((Path(built["path"]) / "samples.json").read_text("utf-8"))
    assert set(samples["dropped"]) == set(built["ledger"]["dropped"])
    for threshold in samples["thresholds"]:
        below = threshold["side"] == "below"
        limits = [edge if below else -edge for edge in threshold["edges"]][1 if below else 0 :]
        limit = threshold["value"] if below else -threshold["value"]
        counted = sum(rows for edge, rows in zip(limits, threshold["rows"], strict=False) if edge <= limit)
        assert counted > 0 or threshold["reason"] not in built["ledger"]["dropped"], threshold["rule"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 1], ids=["small files", "one file in parts"])
def test_several_processes_make_the_same_bytes_as_one(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, started = tmp_path / "in", []
    folder.mkdir()
    for number in range(count):
        rows = [
            {"text": text, "url": f"https://s{index}.org/{number}"}
            for index, text in enumerate(prose(300 // count, number * 900))
        ]
        pl.DataFrame([*rows, {"text": ENGLISH, "url": None}]).write_parquet(folder / f"{number}.parquet")

    def record_start(processes: int, *modules: str) -> Any:
        started.append(processes)
        return start_pool(processes, *modules)

    monkeypatch.setattr("lrldata.engine.start_pool", record_start)
    monkeypatch.setattr("lrldata.web.build._SMALL", 0)  # bytes for which a second process pays off
    monkeypatch.setattr("lrldata.web.bundles.PART", 20_000)
    monkeypatch.setattr("lrldata.web.bundles.SMALL", 20_000)
    monkeypatch.setattr("lrldata.web.read.PART", 20_000)
    contents = []
    for workers in (1, 2):
        paths = {"out": tmp_path / f"w{workers}", "cache": tmp_path / f"c{workers}"}
        lrldata.build("ro", source="web", input=folder, workers=workers, quiet=True, **paths)
        contents.append(content(paths["out"] / "datasets"))
    assert contents[0] == contents[1] != {}
    assert started == [2]


SMALL_PARTS = """
from lrldata.web import read
read.PART = 200_000
from lrldata.cli import main
main()
"""


@pytest.mark.slow
def test_a_killed_build_resumes_and_makes_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):
        pl.DataFrame({"text": prose(2_000, number * 2_000)}).write_parquet(folder / f"{number}.parquet")

    def start(out: str) -> subprocess.Popen[bytes]:
        options = ["--input", folder, "--out", tmp_path / out, "--cache", tmp_path / out, "--workers", "1", "--json"]
        command = [sys.executable, "-c", SMALL_PARTS, "build", "--lang", "ro", "--source", "web", *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def parts() -> int:
        return len(list((tmp_path / "killed" / "glotcc").glob("*/*/*.json")))

    with start("whole") as process:
        whole, errors = process.communicate()
        assert process.returncode == 0, errors
    for count in (1, 3, 6):
        with start("killed") as process:
            while parts() < count:
                assert process.poll() is None, process.communicate()
                time.sleep(0.002)
            process.kill()
        assert not (tmp_path / "killed" / "datasets" / "ro" / "web" / "manifest.json").exists()
        assert parts() >= count
    with start("killed") as process:
        resumed, errors = process.communicate()
        assert process.returncode == 0, errors
    assert json.loads(resumed)["ledger"] == json.loads(whole)["ledger"]
    assert content(tmp_path / "killed" / "datasets") == content(tmp_path / "whole" / "datasets")


@pytest.mark.slow
def test_finished_parts_are_not_processed_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lrldata.errors import LrlError  # noqa: PLC0415
    from lrldata.progress import Progress  # noqa: PLC0415
    from lrldata.web import build, read, stages  # noqa: PLC0415
    from lrldata.web.config import WebConfig  # noqa: PLC0415

    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):
        pl.DataFrame({"text": prose(1_000, number * 1_000)}).write_parquet(folder / f"{number}.parquet")
    monkeypatch.setattr(read, "PART", 200_000)
    config = WebConfig(lang="ro", source="web", input=folder, out=tmp_path, cache=tmp_path / "cache", workers=1)
    judge, names = stages.judge, []

    def counted(task: Any, part: Any, documents: Any) -> int:
        names.append(part.stem.name)
        if len(names) == 3:
            raise LrlError("stopped in the middle")
        return judge(task, part, documents)

    monkeypatch.setattr(stages, "judge", counted)
    with pytest.raises(LrlError, match="stopped"):
        build.build_web(config, Progress(quiet=True))
    build.build_web(config, Progress(quiet=True))
    assert len(set(names)) > 4
    assert names.count(names[2]) == 2
    assert all(names.count(name) == 1 for name in names if name != names[2])


def test_a_document_stays_in_its_split_if_it_loses_a_line_or_the_unit_changes(lrldata: Run, tmp_path: Path) -> None:
    def splits_of(name: str, cut: int, *options: str) -> dict[str, str]:
        path = tmp_path / f"{name}.jsonl"
        texts = (text.split("\n")[cut:] for text in prose(120))
        rows = [{"url": f"https://one.example.org/{n}", "text": "\n".join(lines)} for n, lines in enumerate(texts)]
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
        places = ("--out", tmp_path / name, "--no-benchmarks", "--lid", "none", "--json")
        result = lrldata("build", "--lang", "ro", "--source", "web", "--input", path, *places, *options)
        assert result.returncode == 0, result.stderr
        dataset = pl.read_parquet(
            Path(json.loads(result.stdout)["path"]) / "data" / "*.parquet", include_file_paths="file"
        )
        split = dataset["file"].str.extract(r"/(train|validation|test)-")
        return dict(zip(dataset["url"], split, strict=True))

    before = splits_of("a", 0)
    assert set(before.values()) == {"train", "validation", "test"}
    assert splits_of("b", 1) == before
    assert splits_of("c", 0, "--unit", "sentences") == before
    stats = lrldata("stats", tmp_path / "c" / "datasets" / "ro" / "web").stdout
    assert "sentences of all documents" in stats
    assert "lines of all documents" not in stats


@pytest.mark.parametrize("addresses", [1, 3])
def test_documents_that_share_a_url_are_divided_among_the_splits(addresses: int, lrldata: Run, tmp_path: Path) -> None:
    rows = [{"url": f"https://book.example.org/{n % addresses}", "text": text} for n, text in enumerate(prose(150))]
    (tmp_path / "book.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    options = ("--source", "web", "--input", tmp_path / "book.jsonl", "--no-benchmarks", "--lid", "none", "--json")
    result = lrldata("build", "--lang", "ro", *options, "--out", tmp_path / "ws")
    assert result.returncode == 0, result.stderr
    assert min(json.loads(result.stdout)["rows"].values()) > 0


@pytest.fixture
def hub(tmp_path: Path, port: int, link: Path) -> Iterator[Hub]:
    give_home(link, tmp_path / "home")
    accounts = ACCOUNTS | {"users": {"tester": {"organisations": {"cis-lmu": "admin"}}, "stranger": {}}}
    with start(tmp_path / "hub", accounts=accounts, port=port) as running:
        yield running


def test_glotcc_is_read_from_the_hub_by_revision(
    hub: Hub, lrldata: Run, link: Path, warm_script: Warm, tmp_path: Path
) -> None:
    variables = environment(hub, link, TOKEN)

    def upload(name: str, texts: list[str]) -> str:
        rows = pl.DataFrame(
            {
                "content": texts,
                "warc-target-uri": [f"https://s{number}.example.org/" for number in range(len(texts))],
                "quality-warnings": [["tiny"]] * len(texts),
                "identification-consistency": [0.9] * len(texts),
                "script-percentage": [0.99] * len(texts),
            }
        )
        path = tmp_path / f"{name}.parquet"
        rows.write_parquet(path)
        destination = f"v1.0/{name.split('_', maxsplit=1)[0]}/{path.name}"
        result = warm_script.run([UPLOAD, str(path), destination], tmp_path, variables)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    first = upload("ron-Latn_0", prose(30))
    second = upload("ron-Latn_1", prose(30, 30))
    upload("mlt-Latn_0", ["Din hija paġna bil-Malti."])

    def build(*options: str) -> dict[str, Any]:
        result = lrldata(
            "build", "--lang", "ro", "--source", "glotcc", "--out", tmp_path, "--json", *options, **variables
        )
        assert result.returncode == 0, result.stderr
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    old = build("--revision", first)
    assert old["ledger"]["in"]["rows"] == 30 * 6
    manifest = json.loads((Path(old["path"]) / "manifest.json").read_text("utf-8"))
    assert manifest["repository"] == {"id": "cis-lmu/GlotCC-V1", "revision": first}
    assert [entry["name"] for entry in manifest["inputs"]] == ["v1.0/ron-Latn/ron-Latn_0.parquet"]
    new = build()
    assert new["ledger"]["in"]["rows"] == 60 * 6
    assert (old["version"], new["version"]) == ("1.0.0", "1.1.0")
    assert json.loads((Path(new["path"]) / "manifest.json").read_text("utf-8"))["repository"]["revision"] != second
    assert build()["status"] == "unchanged"
    unknown = lrldata("build", "--lang", "ro", "--source", "glotcc", "--revision", "nowhere", **variables)
    assert (unknown.returncode, "has no revision 'nowhere'" in unknown.stderr) == (2, True), unknown.stderr
    empty = lrldata("build", "--lang", "cy", "--source", "glotcc", **variables)
    assert (empty.returncode, "holds nothing for cym-Latn" in empty.stderr) == (1, True), empty.stderr
    planned = lrldata("build", "--lang", "ro", "--source", "glotcc", "--dry-run", "--json", **variables)
    assert [step["action"] for step in json.loads(planned.stdout)["plan"]] == ["read", "read", "write"]


def test_an_unreachable_hub_is_reported(lrldata: Run, tmp_path: Path) -> None:
    variables = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "home")}
    result = lrldata("build", "--lang", "ro", "--source", "glotcc", **variables)
    assert result.returncode == 1
    assert "cannot be listed" in result.stderr
    assert "--input FOLDER" in result.stderr


def test_documents_are_read_from_every_kind_of_file(tmp_path: Path) -> None:
    rows = pl.DataFrame({"content": ["unu\ndoi", None, "trei"], "warc-target-uri": ["u", "v", "w"]})
    rows.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text('{"text": "patru", "url": "x"}\n\n{"text": "cinci\\ud800"}\n', encoding="utf-8")
    (tmp_path / "c.txt").write_text("șase\nșapte\n\nopt\n", encoding="utf-8")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress("nouă\n".encode()))
    shards = find_shards(tmp_path, None)
    assert [shard.name for shard in shards] == ["a.parquet", "b.jsonl", "c.txt", "d.txt.gz"]
    read = pl.concat([part for shard in shards for part in read_parts(shard, Columns())])
    texts = [text and text.strip() for text in read["text"]]
    assert texts == ["unu\ndoi", None, "trei", "patru", "cinci\ufffd", "șase\nșapte", "opt", "nouă"]
    assert read["doc"].is_unique().all()
    assert read["url"].to_list()[:4] == ["u", "v", "w", "x"]


def test_parts_are_of_limited_size_and_lose_nothing(tmp_path: Path) -> None:
    texts = [f"{number} " + "abcdefghi " * (number % 400) for number in range(8000)]
    pl.DataFrame({"text": texts}).write_parquet(tmp_path / "a.parquet")
    parts = list(read_parts(find_shards(tmp_path, None)[0], Columns()))
    assert len(parts) > 3
    assert [text for part in parts for text in part["text"]] == texts
    assert all(PART <= part["text"].str.len_bytes().sum() < PART + 5000 for part in parts[:-1])
    assert [doc for part in parts for doc in part["doc"]] == [f"a.parquet#{number}" for number in range(8000)]


def test_only_the_files_of_the_language_are_read_from_a_glotcc_copy(tmp_path: Path) -> None:
    for name in ("mlt-Latn", "ron-Latn"):
        (tmp_path / "v1.0" / name).mkdir(parents=True)
        pl.DataFrame({"content": ["x"]}).write_parquet(tmp_path / "v1.0" / name / f"{name}_0.parquet")
    assert [shard.name for shard in find_shards(tmp_path, "mlt-Latn")] == ["v1.0/mlt-Latn/mlt-Latn_0.parquet"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--source", "web"], 2, "--input is missing"),
        (["--source", "web", "--input", "gone"], 1, "no such file"),
        (["--source", "web", "--input", "PAGES", "--templates", "paper"], 2, "--templates: not for --source web"),
        (["--source", "web", "--input", "PAGES", "--text-column", "body"], 1, "has no column 'body'"),
        (["--source", "web", "--input", "PAGES", "--protect", "gone.txt"], 1, "gone.txt: cannot be read"),
        (["--source", "web", "--input", "PAGES", "--lid", "gone.bin"], 1, "gone.bin"),
        (["--source", "web", "--input", "PAGES", "--unit", "words"], 2, "--unit"),
        (["--source", "glotcc", "--input", "PAGES", "--sample"], 2, "--sample cannot be combined with --input"),
        (["--input", "PAGES"], 2, "--input: not for --source conceptnet"),
    ],
)
def test_bad_usage_is_reported(options: list[str], code: int, words: str, lrldata: Run, pages: Path) -> None:
    result = lrldata("build", "--lang", "ro", *(str(pages) if option == "PAGES" else option for option in options))
    assert (result.returncode, "Traceback" in result.stderr) == (code, False), result.stderr
    assert words in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bad.parquet", b"PAR1garbage", "bad.parquet: cannot be read"),
        ("bad.jsonl", b'{"text": "a"}\n{not json', "bad.jsonl: line 2 is not valid JSON"),
        ("bad.jsonl", b'{"text": "a"}\n["b"]\n', "bad.jsonl: line 2 is not a JSON object"),
        ("bad.jsonl", b'{"body": "a"}\n', "bad.jsonl: has no column content or text"),
        ("bad.txt", b"\xff\xfe\x00text", "bad.txt: is in UTF-16"),
        ("bad.txt.gz", b"\x1f\x8b\x08\x00garbage", "bad.txt.gz: cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_or_left_out(
    name: str, content: bytes, words: str, lrldata: Run, pages: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / name).write_bytes(content)
    (folder / "good.jsonl").write_bytes(pages.read_bytes())
    command = ("build", "--lang", "ro", "--source", "web", "--input", folder, "--out", tmp_path / "ws", "--json")
    result = lrldata(*command)
    assert (result.returncode, words in result.stderr) == (1, True), result.stderr
    report = json.loads(lrldata(*command, "--skip-bad").stdout)
    manifest = json.loads((Path(report["path"]) / "manifest.json").read_text("utf-8"))
    assert list(manifest["skipped"]) == [name]
    assert report["ledger"]["in"]["rows"] == 72


def test_odd_documents_are_counted_and_nothing_is_lost(lrldata: Run, tmp_path: Path) -> None:
    rows = [{"text": text} for text in prose(3)]
    rows += [
        {"text": "cuvânt " * 150_000},
        {"text": None},
        {"text": ""},
        {"text": "\ud800\udfff \ud83d"},
        {"url": "x"},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "odd.jsonl").write_text(lines, encoding="utf-8")
    options = ("--source", "web", "--input", tmp_path / "odd.jsonl", "--out", tmp_path / "ws", "--json")
    result = lrldata("build", "--lang", "ro", *options)
    assert result.returncode == 0, result.stderr
    dropped = {reason: tally["rows"] for reason, tally in json.loads(result.stdout)["ledger"]["dropped"].items()}
    assert (dropped["document_long"], dropped["no_text"], dropped["no_letters"]) == (1, 3, 1)


def test_the_error_says_why_nothing_is_left(lrldata: Run, tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_text(f"{ENGLISH}\n" * 3, encoding="utf-8")
    result = lrldata(
        "build", "--lang", "ro", "--source", "web", "--input", tmp_path / "en.txt", "--out", tmp_path / "ws"
    )
    assert result.returncode == 1
    assert "Nothing is left of 3 lines of Romanian: document_other_language 3" in result.stderr
    assert not (tmp_path / "ws" / "datasets" / "ro" / "web").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("mt", "pages/mlt_Latn.wikipedia.jsonl"),
        ("ug", "pages/uig_Arab.wikipedia.jsonl"),
        ("ro", "text/ron_Latn"),
        ("cy", "text/cym_Latn"),
        ("bo", "text/bod_Tibt"),
        ("th", "text/tha_Thai"),
        ("am", "text/amh_Ethi"),
    ],
)
def test_real_text_is_cleaned_and_accounted_for(
    code: str, place: str, shared: Path, lrldata: Run, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for file in [shared / place] if (shared / place).is_file() else (shared / place).iterdir():
        with file.open(encoding="utf-8") as lines:
            (tmp_path / "in" / file.name).write_text("".join(islice(lines, 200 if file.suffix == ".jsonl" else 1_000)))
    options = ("--source", "web", "--input", tmp_path / "in", "--out", tmp_path / "out", "--workers", "1", "--json")
    result = lrldata("build", "--lang", code, *options)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    ledger = report["ledger"]
    for key in ("rows", "bytes"):
        assert ledger["kept"][key] + sum(tally[key] for tally in ledger["dropped"].values()) == ledger["in"][key]
    assert sum(report["rows"].values()) == ledger["kept"]["rows"]
    assert ledger["kept"]["bytes"] > 0.5 * ledger["in"]["bytes"]


def test_a_text_is_explained_line_by_line(lrldata: Run) -> None:
    lines = [*ROMANIAN[:5], ENGLISH, "Acasă | Despre noi | Contact | Hartă", ROMANIAN[0]]
    text = "\\n".join(lines)
    explained = json.loads(lrldata("explain", text, "--lang", "ro", "--json").stdout)["lines"]
    assert [line["reason"] for line in explained] == [None] * 5 + ["other_language", "menu", "exact_duplicate"]
    assert [line["language"] for line in explained[:3]] == ["ro", "ro", "ro"]
    shown = lrldata("explain", text, "--lang", "ro").stdout
    assert "a line in another language" in shown


def test_files_of_a_workspace_are_no_input_whatever_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "adapters/ro/b/a").mkdir(parents=True)
    (tmp_path / "adapters/ro/b/a/manifest.json").write_text('{"kind": "adapter"}')
    assert is_workspace(tmp_path)
    (tmp_path / "datasets/aa/notes").mkdir(parents=True)
    (tmp_path / "datasets/aa/notes/manifest.json").write_text("[]")
    (tmp_path / "datasets/aa/other").mkdir()
    (tmp_path / "datasets/aa/other/manifest.json").symlink_to(tmp_path / "datasets/aa/notes/manifest.json")
    assert is_workspace(tmp_path), "the files of other programs do not hide an adapter"
    shutil.rmtree(tmp_path / "adapters")
    assert not is_workspace(tmp_path)
