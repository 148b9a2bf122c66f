"""Many small files: they are read together, with the same result as if each had been read alone."""

from pathlib import Path
from typing import Any

import pytest
from test_web_build import content, prose

import lrldata
from lrldata.errors import InputError
from lrldata.web import bundles, corpus, read
from lrldata.web.bundles import make_bundles
from lrldata.web.shards import Shard


@pytest.fixture
def articles(tmp_path: Path) -> Path:
    folder = tmp_path / "articles"
    folder.mkdir()
    for number, text in enumerate(prose(40)):
        (folder / f"{number:03d}.txt").write_text(text + "\n", "utf-8")
    (folder / "040.jsonl").write_text(
        f'{{"text": "{prose(1, 90)[0]}", "url": "https://x.org"}}\n'.replace("\n", " ") + "\n"
    )
    (folder / "041.txt").write_text(prose(1)[0] + "\n", "utf-8")  # the same as 000.txt: of the two, the first stays
    return folder


def build(articles: Path, out: Path, **options: Any) -> lrldata.Dataset:
    settings = {"source": "web", "input": articles, "out": out, "cache": out / "cache", "workers": 1, "quiet": True}
    return lrldata.build("ro", **settings | options)


def shard(name: str, size: int) -> Shard:
    return Shard(name, name, size, "0" * 64, open)  # type: ignore[arg-type]


def test_small_files_are_bundled_and_large_ones_are_not() -> None:
    sizes = [
        ("a.txt", 1),
        ("b.txt", 1),
        ("c.txt", bundles.SMALL + 1),
        ("d.txt", 1),
        ("e.txt.gz", 1),
        ("f.parquet", 1),
    ]
    small = [shard(f"{number}.txt", bundles.SMALL) for number in range(9)]
    result = make_bundles([*(shard(*size) for size in sizes), *small])
    assert [bundle.name for bundle in result[:5]] == ["00000+2", "00002", "00003", "00004", "00005"]
    assert [len(bundle.shards) for bundle in result[5:]] == [4, 4, 1]
    assert [bundle.number for bundle in result[5:]] == [6, 10, 14]
    assert [member for bundle in result for member in bundle.shards] == [*(shard(*size) for size in sizes), *small]


@pytest.mark.parametrize("before", ["a.txt", "a.docx", "a.parquet"])
def test_an_empty_file_may_come_first_and_is_bundled_only_with_text_files(before: str) -> None:
    assert [len(bundle.shards) for bundle in make_bundles([shard("0.txt", 0), shard("1.txt", 5)])] == [2]
    assert [len(bundle.shards) for bundle in make_bundles([shard(before, 9), shard("b.txt", 0)])] == (
        [2] if before == "a.txt" else [1, 1]
    )


@pytest.mark.parametrize(
    ("sizes", "workers", "separate"),
    [
        ([5, 5, 5, 5], 2, True),
        ([25, 1, 1, 1], 2, False),  # one process would read it while the other waits
        ([5, 5, 5], 2, False),
        ([5] * 9, 1, False),
        ([9, 5, 5, 5, 5], 2, True),
    ],
)
def test_processes_read_separate_files_if_the_files_are_of_similar_size(
    sizes: list[int], workers: int, separate: bool
) -> None:
    files = [bundles.Bundle(number, (shard(f"{number}.parquet", size),)) for number, size in enumerate(sizes)]
    assert corpus.by_files(files, workers) == separate


def test_an_empty_file_next_to_others_does_not_stop_a_build(articles: Path, tmp_path: Path) -> None:
    whole = build(articles, tmp_path / "one")
    (articles / "0.txt").write_bytes(b"")
    assert build(articles, tmp_path / "two").rows == whole.rows


def test_files_read_together_give_the_same_as_files_read_alone(
    articles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[int] = []
    frames: list[int] = []
    choose, of_texts = corpus.choose, read._of_texts  # noqa: SLF001
    monkeypatch.setattr(read, "_of_texts", lambda texts: frames.append(len(texts)) or of_texts(texts))
    monkeypatch.setattr(
        "lrldata.web.build.choose",
        lambda *arguments, **options: parts.append(len(arguments[1])) or choose(*arguments, **options),
    )
    together = build(articles, tmp_path / "together")
    assert frames == [40, 1], "one for the text files before the table, and one for those after it"
    monkeypatch.setattr(bundles, "SMALL", 0)
    alone = build(articles, tmp_path / "alone")
    assert parts == [1, 42]
    assert content(together.path) == content(alone.path)
    assert together.ledger.kept.rows > 100
    assert together.ledger.dropped["document_duplicate"].rows > 0


def test_single_files_left_by_an_earlier_run_are_not_counted_twice(
    articles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build(articles, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(bundles, "SMALL", 0)
        patched.setattr("lrldata.web.build.choose", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(articles, tmp_path / "ws")
    assert len(list(tmp_path.glob("ws/cache/glotcc/*/*/done"))) == 42
    assert content(build(articles, tmp_path / "ws").path) == content(whole.path)


def test_only_the_bad_file_among_small_ones_is_left_out(articles: Path, tmp_path: Path) -> None:
    whole = build(articles, tmp_path / "whole")
    (articles / "020b.txt").write_bytes(b"Bun\xff\n")
    with pytest.raises(lrldata.LrlError, match=r"020b\.txt: cannot be read"):
        build(articles, tmp_path / "ws")
    dataset = build(articles, tmp_path / "ws", skip_bad=True)
    assert list(dataset.notes["skipped"]) == ["020b.txt"]
    assert dataset.ledger.as_json() == whole.ledger.as_json()


@pytest.mark.parametrize("still_bad", [True, False])
def test_a_resumed_build_reads_bad_files_again(
    still_bad: bool, articles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build(articles, tmp_path / "whole")
    faults = [OSError("bad disk")] * (2 if still_bad else 1)
    texts = read._texts  # noqa: SLF001

    def flaky(shard: Shard, columns: Any) -> Any:
        if shard.name == "020.txt" and faults:
            raise InputError(f"{shard.place}: cannot be read ({faults.pop()}).", "")
        return texts(shard, columns)

    monkeypatch.setattr(read, "_texts", flaky)
    with monkeypatch.context() as patched:
        patched.setattr("lrldata.web.build.choose", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(articles, tmp_path / "ws", skip_bad=True)
    dataset = build(articles, tmp_path / "ws", skip_bad=True)
    assert list(dataset.notes.get("skipped", {})) == (["020.txt"] if still_bad else [])
    assert (dataset.ledger == whole.ledger) != still_bad
