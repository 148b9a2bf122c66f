"""Sizes of large files, and name patterns, that would fill the disk or keep the server busy."""

import gzip
import hashlib
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import BATCH, MODEL, OID, batch, commit, file, refused
from clients import ACCOUNTS, TOKEN

from hub_cards.local_hub import Hub, lfs, start
from hub_cards.local_hub.patterns import is_ignored, is_large

# Large files


def nothing_kept(shared: Hub) -> bool:
    return not any(path.is_file() for name in ("lfs", "parts") for path in (shared.root / name).rglob("*"))


@pytest.mark.parametrize(
    ("size", "code"), [(10**18, 413), (-1, 422), ("5", 422), (5.5, 422), (True, 422), (None, 422), ([], 422)]
)
def test_an_impossible_size_is_refused_before_anything_is_sent(http: httpx.Client, size: Any, code: int) -> None:
    for transfers in (["basic"], ["basic", "multipart"]):
        answer = batch(http, size, transfers=transfers)
        assert answer["error"]["code"] == code
        assert "actions" not in answer


def test_sizes_that_no_file_can_have_are_refused_in_raw_json(http: httpx.Client) -> None:
    for size in ("1" + "0" * 4000, "Infinity", "NaN", "1e999"):
        refused(http.post(BATCH, content=f'{{"objects": [{{"oid": "{OID}", "size": {size}}}]}}'.encode()))


def test_a_file_is_limited_to_the_configured_size_and_half_of_the_free_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        start(tmp_path / "small", accounts=ACCOUNTS, largest=100) as hub,
        httpx.Client(base_url=hub.endpoint, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as http,
    ):
        http.post("/api/repos/create", json={"name": "m", "organization": "my-org"})
        assert [batch(http, size).get("error", {}).get("code") for size in (100, 101)] == [None, 413]
        href = batch(http, 80)["actions"]["upload"]["href"]
        monkeypatch.setattr(lfs, "spare", lambda _: 100)
        assert batch(http, 51)["error"]["code"] == 413
        refused(http.put(href, content=b"1" * 80), 413)  # the disk has filled up since the batch request
        assert nothing_kept(hub)


@pytest.mark.parametrize("chunked", [False, True])
def test_exactly_as_many_bytes_are_accepted_as_were_declared(shared: Hub, http: httpx.Client, chunked: bool) -> None:
    def send(href: str, data: bytes) -> httpx.Response:
        return http.put(href, content=iter([data]) if chunked else data)

    href = batch(http, 5)["actions"]["upload"]["href"]
    refused(send(href, b"12345" * 1000), 413)
    refused(send(href, b"1234"), 400)
    refused(send(href.replace("size=5", "size=5000"), b"12345" * 1000), 403)
    refused(http.put(href, content=b"x", headers={"Content-Encoding": "gzip"}), 400)
    refused(http.put(href, content=gzip.compress(bytes(1 << 20)), headers={"Content-Encoding": "gzip"}), 413)
    assert nothing_kept(shared)
    assert send(href, b"12345").status_code == 200
    assert batch(http, 6)["error"]["code"] == 422


def test_each_part_of_a_file_is_needed_once_and_the_parts_add_up(shared: Hub, http: httpx.Client) -> None:
    data = bytes(2500)
    upload = batch(http, len(data), hashlib.sha256(data).hexdigest(), transfers=["multipart"])["actions"]["upload"]
    tags = {}
    for number, start_at in enumerate(range(0, 2500, 1000), 1):
        part = data[start_at : start_at + 1000]
        href = upload["header"][f"{number:05}"]
        refused(http.put(href, content=part + b"1"), 413)
        tags[number] = http.put(href, content=part).headers["ETag"]
    good = [{"partNumber": number, "etag": tag} for number, tag in tags.items()]
    for parts in (
        [good[0]] * 3,
        good[:2],
        [*good, {"partNumber": 4, "etag": "x"}],
        [{"partNumber": 10**18, "etag": "x"}],
        [{"partNumber": "../../../key", "etag": "x"}],
        [{"partNumber": None}],
        ["x"],
        None,
        [good[0]] * 2000,
    ):
        refused(http.post(upload["href"], json={"parts": parts}))
    assert not list((shared.root / "lfs").rglob("*"))
    assert http.post(upload["href"], json={"parts": good}).status_code == 200


def test_the_objects_and_parts_of_a_batch_are_limited(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lfs, "spare", lambda _: 1 << 40)
    refused(http.post(BATCH, json={"objects": [{}] * 1001}), 413)
    refused(http.post(BATCH, json={"objects": ["x"]}))
    refused(http.post(BATCH, json={"objects": {"x": 1}}))
    header = batch(http, 1 << 30, transfers=["multipart"])["actions"]["upload"]["header"]  # in parts of 1000 bytes
    assert len(header) == 1001
    assert int(header["chunk_size"]) * 1000 >= 1 << 30
    assert batch(http, 5, transfers=5)["actions"]


def test_a_pointer_names_an_uploaded_file_and_its_size(http: httpx.Client) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {{}}\n"
    refused(commit(http, file("a.bin", pointer.format(5))), 400)
    assert http.put(batch(http, 5)["actions"]["upload"]["href"], content=b"12345").status_code == 200
    refused(commit(http, file("a.bin", pointer.format(10**17))), 400)
    refused(commit(http, {"key": "lfsFile", "value": {"path": "a.bin", "oid": OID, "size": 6}}), 400)
    assert commit(http, file("a.bin", pointer.format(5))).status_code == 200


# Patterns


@pytest.mark.parametrize(
    "pattern", ["**/" * 40 + "b", "**/a/" * 30 + "b", "*a" * 100 + "b", "**/*a*a*a*a/" * 8 + "b", "*" * 200 + "b"]
)
def test_the_time_to_match_is_bounded_by_the_lengths_of_pattern_and_path(http: httpx.Client, pattern: str) -> None:
    started = time.process_time()
    for path in ("a/" * 40 + "a", "a" * 200, "/".join(["a" * 100] * 9)):
        assert not is_large(path, f"{pattern} filter=lfs")
        assert not is_ignored(path, pattern)
        body = {"gitAttributes": f"{pattern} filter=lfs", "gitIgnore": pattern, "files": [{"path": path, "size": 1}]}
        assert http.post(f"{MODEL}/preupload/main", json=body).json()["files"][0]["uploadMode"] == "regular"
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["b", "a/bb", "xa/b", "a/b/c"]),
        ("**/a*c/*.b", ["ac/.b", "x/abac/x.b"], ["a/c/x.b", "ac/x.b/y", "ac/x.bb"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a"]),
        ("a*b*c", ["abc", "x/abbcc", "aXbYc"], ["ab", "ab/c", "abcd"]),
        ("[a-c]?[!x]", ["abc", "d/cxz"], ["dbc", "abx", "ab", "a/c"]),
        ("[z-a]x", [], ["x", "zx", "[z-a]x"]),
        ("[", ["[", "a/["], ["]"]),
        ("a.(b|c)+$", ["a.(b|c)+$"], ["a.b"]),
    ],
)
def test_patterns_match_as_in_git(pattern: str, fits: list[str], others: list[str]) -> None:
    assert [path for path in fits + others if is_large(path, f"{pattern} filter=lfs")] == fits


def test_the_product_of_patterns_and_paths_is_limited(http: httpx.Client) -> None:
    files = [{"path": f"{'a/' * 60}{number}", "size": 1} for number in range(1000)]
    attributes = "".join(f"*{number}*x filter=lfs\n" for number in range(900))
    for body in ({"gitIgnore": attributes}, {"gitIgnore": "a\n" * 5000}, {"gitAttributes": "a" * 5000}):
        started = time.process_time()
        refused(http.post(f"{MODEL}/preupload/main", json=body | {"files": files}), 413)
        assert time.process_time() - started < 1
    body = {"gitAttributes": "[z-a] filter=lfs", "files": [{"path": "z", "size": 1}]}
    assert http.post(f"{MODEL}/preupload/main", json=body).status_code == 200
