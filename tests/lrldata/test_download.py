"""Downloads from a server that resumes, breaks connections, sends wrong data and refuses requests."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from dumps import line

from lrldata.conceptnet.config import BuildConfig
from lrldata.conceptnet.download import download
from lrldata.conceptnet.dump import OFFICIAL, RemoteDump, local_path
from lrldata.conceptnet.plan import plan
from lrldata.conceptnet.source import find_index, remote_of
from lrldata.errors import DownloadError
from lrldata.locks import Lock
from lrldata.progress import Progress

CONTENT = gzip.compress("".join(line("IsA", f"ro:a{n}", "ro:b") + "\n" for n in range(20_000)).encode(), mtime=0)
QUIET = Progress(quiet=True)


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.faults: list[str] = []
        self.etag = '"one"'

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/edges/dump.csv.gz"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        range_header, fault = self.headers.get("Range"), self.server.faults.pop(0) if self.server.faults else ""
        self.server.ranges.append(range_header)
        if fault.isdigit():
            self.send_error(int(fault))
            return
        start = int(range_header.removeprefix("bytes=").rstrip("-")) if range_header else 0
        if fault == "no ranges" or self.headers.get("If-Range") != self.server.etag:
            start = 0
        if start > len(CONTENT):
            self.send_error(416)
            return
        body = {"html": b"<html>", "empty": b""}.get(fault, CONTENT[start:])
        body = body[: len(body) // 2] if fault == "half" else body[1:] if fault == "shifted" else body
        if start and fault in ("other tag", "other size", "no content range"):
            body = body[::-1]
        first_byte, total = start + (fault == "shifted"), len(CONTENT) + (fault == "other size")
        self.send_response(206 if start or fault == "unasked" else 200)
        if start and fault != "no content range":
            self.send_header("Content-Range", f"bytes {first_byte}-{first_byte + len(body) - 1}/{total}")
        self.send_header("Content-Length", {"words": "many", "endless": "9" * 5000}.get(fault, str(len(body))))
        self.send_header("Content-Type", "text/html" if fault == "html" else "application/gzip")
        if fault != "no tag":
            self.send_header("ETag", '"two"' if fault == "other tag" else self.server.etag)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault in ("drop", "no tag") else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrldata.conceptnet.download.time.sleep", lambda _: None)


def remote(server: Server) -> RemoteDump:
    return RemoteDump(server.url, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize("faults", [[], ["drop"], ["503", "drop", "drop"], ["drop", "no ranges"], ["429"]], ids=str)
def test_a_download_is_complete_despite_failures_on_the_way(faults: list[str], server: Server, tmp_path: Path) -> None:
    server.faults = list(faults)
    path = download(remote(server), tmp_path, QUIET)
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["dump.csv.gz"]
    if faults == ["drop"]:
        assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]
    requests = len(server.ranges)
    assert download(remote(server), tmp_path, QUIET) == path
    assert len(server.ranges) == requests, "a cached file is not downloaded again"


def test_a_partial_download_is_continued_only_if_the_remote_file_is_the_same(server: Server, tmp_path: Path) -> None:
    folder = local_path(remote(server), tmp_path).parent
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    unfinished.mkdir(parents=True)
    unfinished.joinpath("part").write_bytes(b"x" * 1000)
    unfinished.joinpath("etag").write_text('"another"')
    assert download(remote(server), tmp_path, QUIET).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


@pytest.mark.parametrize(
    "fault", ["shifted", "other size", "other tag", "no content range", "half", "empty", "words", "endless"]
)
def test_a_response_that_does_not_continue_the_file_is_not_appended(fault: str, server: Server, tmp_path: Path) -> None:
    server.faults = ["drop", fault]
    assert download(RemoteDump(server.url), tmp_path, QUIET).read_bytes() == CONTENT


def test_a_weak_etag_is_neither_stored_nor_sent(server: Server, tmp_path: Path) -> None:
    server.etag, server.faults = 'W/"one"', ["drop"]
    assert download(RemoteDump(server.url), tmp_path, QUIET).read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_an_earlier_etag_is_not_used_for_a_later_response_without_one(server: Server, tmp_path: Path) -> None:
    server.faults = ["drop", "503", "no tag"]
    server.etag = '"one"'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrldata.conceptnet.download.TRIES", 1)
        for _ in range(3):
            with pytest.raises(DownloadError):
                download(RemoteDump(server.url), tmp_path, QUIET)
            server.etag = '"two"'  # the file has changed
    server.etag = '"one"'
    assert download(RemoteDump(server.url), tmp_path, QUIET).read_bytes() == CONTENT
    assert server.ranges[-1] is None


def test_a_partial_file_that_is_longer_than_the_file_is_discarded(server: Server, tmp_path: Path) -> None:
    folder = local_path(RemoteDump(server.url), tmp_path).parent
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    unfinished.mkdir(parents=True)
    unfinished.joinpath("part").write_bytes(b"x" * (len(CONTENT) + 1))
    unfinished.joinpath("etag").write_text(server.etag)
    assert download(RemoteDump(server.url), tmp_path, QUIET).read_bytes() == CONTENT


def test_a_redirect_from_https_to_http_is_not_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    requested: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requested.append(str(request.url))
        redirects = {
            "https://a.example/": "https://b.example/x",
            "https://b.example/x": "http://c.example/y?signature=geheim",
        }
        return httpx.Response(302, headers={"Location": redirects[str(request.url)]})

    client = partial(httpx.Client, transport=httpx.MockTransport(answer))
    monkeypatch.setattr("lrldata.conceptnet.download.httpx.Client", client)
    with pytest.raises(DownloadError, match="redirects from https to http://c") as error:
        download(RemoteDump("https://a.example/"), tmp_path, QUIET)
    assert requested == ["https://a.example/", "https://b.example/x"]
    assert "geheim" not in str(error.value)


@pytest.mark.parametrize("faults", [["404"], ["503"] * 5, ["html"], ["empty"] * 5, ["drop"] * 5, ["words"] * 5])
def test_no_message_shows_a_password_or_a_signature(faults: list[str], server: Server, tmp_path: Path) -> None:
    server.faults = faults
    address = server.url.replace("://", "://somebody:geheim@") + "?X-Signature=geheim"
    for url in (address, address.replace(f":{server.server_port}", ":9"), address.replace("127.0.0.1", "[::1")):
        with pytest.raises(DownloadError, match="edges/dump") as error:
            download(RemoteDump(url), tmp_path, QUIET)
        assert "geheim" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["ftp://a.example/x", "file:///etc/hostname", "http://", "http://[::1/x", "http://xn--/x", "http://a\0b/x"]
)
def test_an_invalid_url_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"not a valid (http or https )?URL"):
        download(RemoteDump(url), tmp_path, QUIET)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("conceptnet-assertions-5.7.0.csv.gz", "conceptnet-assertions-5.7.0.csv.gz"),
        ("a/..", "dump"),
        ("", "dump"),
        ("a%2f..%2f..%2fx", "a%2f..%2f..%2fx"),
        ("..\\..\\x.gz", ".._.._x.gz"),
        ("c:x\0\x1b", "c_x__"),
        ("ß" * 300 + ".gz", "ß" * 57 + ".gz"),
    ],
)
def test_a_file_name_from_a_url_stays_in_the_cache_folder(path: str, name: str, tmp_path: Path) -> None:
    file = local_path(RemoteDump(f"http://a.example/edges/{path}"), tmp_path)
    assert file.name == name
    assert file.parent.parent == tmp_path / "conceptnet" / "dumps"


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (["empty"] * 5, "the server sent nothing"),
        (["words"] * 5, "Content-Length"),
        (["unasked"] * 5, "a different file"),
        (["204"], "the server answered with status 204"),
        (["html"], "HTML page"),
        (["404"], "the server answered with status 404"),
        (["503"] * 5, "503"),
        (["drop"] * 5, "the next run continues"),
    ],
)
def test_failures_give_the_url_and_a_hint(faults: list[str], message: str, server: Server, tmp_path: Path) -> None:
    server.faults = faults
    with pytest.raises(DownloadError, match=message) as error:
        download(RemoteDump(server.url), tmp_path, QUIET)
    assert server.url in error.value.message
    assert "--dump" in error.value.hint
    assert "--sample" in error.value.hint


def test_a_file_with_a_wrong_size_or_hash_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    for wrong in (RemoteDump(server.url, bytes=5), RemoteDump(server.url, sha256="0" * 64)):
        with pytest.raises(DownloadError, match=r"were expected|not 0000"):
            download(wrong, tmp_path, QUIET)
    assert not list(tmp_path.rglob("part"))
    assert not list(tmp_path.rglob("*.csv.gz"))


def test_a_missing_network_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1") as error:
        download(RemoteDump("http://127.0.0.1:9/dump.csv.gz"), tmp_path, QUIET)
    assert "\n" not in str(error.value)


def test_a_build_can_read_a_dump_from_a_url(server: Server, tmp_path: Path) -> None:
    config = BuildConfig(lang="ro", dump=server.url, cache=tmp_path)
    assert find_index(config, QUIET).manifest["edges"] == 20_000


def test_the_official_dump_is_the_default_with_its_size_and_hash(tmp_path: Path) -> None:
    config = BuildConfig(lang="ro", cache=tmp_path)
    assert remote_of(config) is OFFICIAL
    assert remote_of(config.model_copy(update={"dump": OFFICIAL.url})) is OFFICIAL
    other = remote_of(config.model_copy(update={"dump": OFFICIAL.url, "dump_sha256": "0" * 64}))
    assert other != OFFICIAL, "only a file with this hash may be used, not the index of the official one"
    assert (OFFICIAL.bytes, (OFFICIAL.sha256 or "")[:8]) == (497_963_447, "accd65fe")
    first, *_ = plan(config)
    assert (first.action, first.what, first.bytes) == ("download", OFFICIAL.url, 497_963_447)


def test_a_download_by_another_process_is_awaited_with_a_note(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = RemoteDump(server.url)
    unfinished = local_path(remote, tmp_path).parent
    unfinished = unfinished.with_name(f"{unfinished.name}.unfinished")
    unfinished.mkdir(parents=True)
    locked, noted, notes = threading.Event(), threading.Event(), []

    def hold() -> None:
        lock = Lock(unfinished / "lock")
        locked.set()
        noted.wait(10)
        lock.release()

    def record_note(text: str) -> None:
        notes.append(text)
        noted.set()

    monkeypatch.setattr("lrldata.locks.warn", record_note)
    threading.Thread(target=hold).start()
    assert locked.wait(10)
    assert download(remote, tmp_path, QUIET).read_bytes() == CONTENT
    assert notes == ["another process is downloading dump.csv.gz; waiting for it to end."]
