"""Whatever an endpoint sends, and whatever a file of stored answers contains: no crash, and no leaked key."""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_server import KEY, Reply, Server, serve

from lrldata.errors import EndpointError, UsageError
from lrldata.network import LONGEST_WAIT, retry_after
from lrldata.progress import Progress
from lrltrain.evaluation.record import Run
from lrltrain.prompting.answers import LONGEST, answer_in, label_in, parse
from lrltrain.prompting.cache import MOST_TOKENS, Answer, open_answers, read_answers
from lrltrain.prompting.config import load_prompt_config
from lrltrain.prompting.endpoint import ask_all, find_endpoint
from lrltrain.prompting.prompt import prompt

QUESTION = {"messages": [{"role": "user", "content": "good?"}], "model": "m"}
LABELS = {"travel": ["travel"], "sports": ["sports"]}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("lrltrain.prompting.endpoint.FIRST_PAUSE", 0.01)


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Answer]:
    """Ask a server one question, and store the answer in a separate file."""
    path = tmp_path / "answers" / "one.jsonl"

    def run(server: Server, **options: Any) -> Answer:
        config = settings(endpoint=server.url, **({"patience": 0.0} | options))
        with open_answers(path) as answers:
            asyncio.run(ask_all(find_endpoint(config), [QUESTION], answers, config))
        (answer,) = read_answers(path).values()
        return answer

    return run


def settings(**options: Any) -> Any:
    return load_prompt_config(None, {"lang": "yo", "task": "sentiment", "data": "d", "model": "m"} | options)


def replying(reply: Reply) -> Any:
    return serve(lambda *_: reply)


def body(text: Any = "positive", finish: Any = "stop", **usage: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}, "finish_reason": finish}], "usage": usage}


def read(sent: dict[str, Any]) -> Answer:
    return answer_in(parse(json.dumps(sent).encode()), "chat")


def test_half_a_character_breaks_neither_this_run_nor_later_ones(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "sa" / "yor_Latn" / "tiny"
    folder.mkdir(parents=True)
    (folder / "test.tsv").write_text("good one\tpositive\nbad one\tnegative\n", "utf-8")

    def run(server: Server, **options: Any) -> Run:
        paths = {"data": tmp_path / "data", "out": tmp_path / "out", "cache": tmp_path / "cache"}
        (prompted,) = prompt(settings(endpoint=server.url, **paths, **options), Progress(quiet=True))
        return prompted

    with replying(Reply(body=body("positive \ud83d", "stop\ud83d"))) as server:
        runs = [run(server), run(server), run(server, overwrite=True)]
        assert server.calls == 2
        (stored,) = (tmp_path / "cache").rglob("*.jsonl")
        line = b'{"key": "k", "text": "\\ud83d", "finish": "stop", "prompt_tokens": 1, "completion_tokens": 1}\n'
        stored.write_bytes(
            line.replace(b'"k"', stored.read_bytes()[8:74]) + stored.read_bytes().split(b"\n")[1] + b"\n"
        )
        runs.append(run(server, overwrite=True))
        assert server.calls == 3, "a broken answer stored by an older version is requested again"
    for prompted in runs:
        assert prompted.predictions["answer"].to_list() == ["positive \ufffd"] * 2
        assert prompted.result["invalid"] == 0.0


@pytest.mark.parametrize(
    "count",
    ["1" + "0" * 400, "1" + "0" * 5_000, "-1", "NaN", "Infinity", "1e400", '"12"', "[1]", '{"a": 1}', "true", "1.5"],
    ids=lambda count: count[:9],
)
def test_an_invalid_token_count_is_ignored(count: str) -> None:
    sent = json.dumps(body(prompt_tokens="COUNT", completion_tokens=7))
    answer = answer_in(parse(sent.replace('"COUNT"', count).encode()), "chat")
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("positive", None, 7)


def test_token_counts_are_accepted_up_to_a_bound() -> None:
    assert read(body(prompt_tokens=MOST_TOKENS, completion_tokens=MOST_TOKENS + 1)) == Answer(
        "positive", "stop", MOST_TOKENS, None
    )


@pytest.mark.parametrize(
    ("sent", "text", "finish"),
    [
        (body(5), "", "stop"),
        (body({"text": "x"}), "", "stop"),
        (body([{"text": "pos"}, "x", {"text": ["y"]}, {"text": "itive"}, None]), "positive", "stop"),
        (body(finish=["a"]), "positive", None),
        (body(finish={"a": 1}), "positive", None),
        (body(finish=7), "positive", None),
        (body(finish="x" * 10_000), "positive", "x" * 64),
        (body(finish="none"), "positive", None),
        ({"choices": {"0": 1}}, "", "none"),
        ({"choices": [[]]}, "", "none"),
        ({"choices": [{"message": ["x"], "text": "t"}], "usage": [1]}, "t", None),
    ],
)
def test_values_of_the_wrong_type_in_an_answer_are_ignored(sent: dict[str, Any], text: str, finish: str | None) -> None:
    answer = read(sent)
    assert (answer.text, answer.finish) == (text, finish)


@pytest.mark.parametrize(
    "sent", [b"[" * 200_000, b'{"a":' * 200_000, b"[1]", b"\xff\xfe{", b"", b"9" * 9_999], ids=lambda sent: sent[:5]
)
def test_a_body_that_is_not_a_json_object_is_an_error_of_the_endpoint(ask: Callable[..., Answer], sent: bytes) -> None:
    with replying(Reply(body=sent)) as server, pytest.raises(EndpointError, match="not a JSON object"):
        ask(server)
    with replying(Reply(body=sent, status=500)) as server, pytest.raises(EndpointError, match="answered 500"):
        ask(server)


def endless(sent: list[int]) -> Iterator[bytes]:
    """Yield a body of a gigabyte, and record how much of it was read."""
    for _ in range(1024):
        sent.append(2**20)
        yield b" " * 2**20


@pytest.mark.parametrize("status", [200, 429])
def test_reading_an_endless_body_stops(ask: Callable[..., Answer], status: int) -> None:
    sent: list[int] = []
    reply = Reply(body=endless(sent), status=status)
    with replying(reply) as server, pytest.raises(EndpointError, match="more than 4 MB"):
        ask(server, patience=60.0)
    assert sum(sent) < 2**26, "only what is in transit when the connection is closed"


def test_reading_a_small_body_that_unpacks_to_a_large_one_stops(ask: Callable[..., Answer]) -> None:
    packed = gzip.compress(b" " * 2**23)
    reply = Reply(body=packed, headers={"Content-Encoding": "gzip"})
    with replying(reply) as server, pytest.raises(EndpointError, match="more than 4 MB"):
        ask(server)
    for encoding in ("gzip, gzip", "br", "zstd"):
        reply = Reply(body=packed, headers={"Content-Encoding": encoding})
        with replying(reply) as server, pytest.raises(EndpointError, match="encoding that was not requested"):
            ask(server)


def test_a_compressed_answer_is_read(ask: Callable[..., Answer]) -> None:
    sent = gzip.compress(json.dumps(body()).encode())
    with replying(Reply(body=sent, headers={"Content-Encoding": "gzip"})) as server:
        assert ask(server).text == "positive"


def test_the_error_message_of_an_endpoint_cannot_control_a_terminal(
    ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    message = f"\x1b]0;title\x07bad\u202e\udc00 \x9b2J {KEY[:5]}\x1b{KEY[5:]}"
    reply = Reply(status=400, body={"error": {"message": message}})
    with replying(reply) as server, pytest.raises(EndpointError) as raised:
        ask(server)
    assert str(raised.value).isprintable()
    assert "answered 400 (]0;titlebad\ufffd 2J [key])" in str(raised.value)


@pytest.mark.parametrize("error", [5, ["x"], {"message": {"a": 1}, "code": ["x"]}, {"message": "", "type": 4}, True])
def test_an_error_of_an_unexpected_type_is_still_an_error(ask: Callable[..., Answer], error: Any) -> None:
    with replying(Reply(body={"error": error})) as server, pytest.raises(EndpointError, match=r"200 \(an error\)"):
        ask(server)


# Stored answers


def test_a_stored_answer_with_any_byte_altered_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    expected = {"a" * 8: Answer("ó dára\n", "stop", 31, 1), "b" * 8: Answer("x", None, None, 5)}
    with open_answers(path) as answers:
        for key, answer in expected.items():
            answers.keep(key, answer)
    whole = path.read_bytes()
    assert read_answers(path) == expected
    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1 << index % 8]) + whole[index + 1 :])
        assert read_answers(path).items() <= expected.items()


@pytest.mark.parametrize(
    "change",
    [
        {"text": 5},
        {"text": None},
        {"text": "\ud83d"},
        {"finish": ["stop"]},
        {"finish": "\udc00"},
        {"prompt_tokens": -1},
        {"prompt_tokens": 10**400},
        {"prompt_tokens": "3"},
        {"completion_tokens": True},
        {"completion_tokens": float("nan")},
        {"key": 5},
        {"key": "\ud83d"},
        {"more": 1},
        {"hash": "0" * 16},
        {"hash": None},
    ],
)
def test_a_stored_answer_of_the_wrong_type_is_left_out(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "file.jsonl"
    entry = {"key": "k", "text": "t", "finish": None, "prompt_tokens": 1, "completion_tokens": None}
    valid = json.dumps(entry | {"key": "old"})
    invalid = ["[" * 100_000, '{"key": ' * 100_000, "null", "[]", "{}", "5", '"key"', json.dumps(entry | change)]
    path.write_text("\n".join([valid, *invalid, ""]), "utf-8")
    assert read_answers(path) == {"old": Answer("t", None, 1, None)}, "a file of an older version has no hashes"


# Waiting, and where the key is sent


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("inf", LONGEST_WAIT),
        ("1e400", LONGEST_WAIT),
        ("9" * 5_000, LONGEST_WAIT),
        ("Mon, 01 Jan 9999 00:00:00 GMT", LONGEST_WAIT),
        ("nan", 0.0),
        ("-inf", 0.0),
        ("-5", 0.0),
        ("Mon, 01 Jan 99999 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0.0),
        ("soon", 0.0),
        ("", 0.0),
    ],
    ids=lambda value: str(value)[:16],
)
def test_the_waiting_time_is_bounded(value: str, seconds: float) -> None:
    assert retry_after({"Retry-After": value}) == seconds


def test_the_wait_that_the_hub_asks_for_in_its_own_header_is_used() -> None:
    assert retry_after({"RateLimit": '"api";r=0;t=290'}) == 291
    assert retry_after({"RateLimit": '"api";r=12;t=290'}) == 0
    assert retry_after({"RateLimit": '"api";r=0;t=290', "Retry-After": "7"}) == 7


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/v1",
        "http://localhost.example.org/v1",
        "http://127.0.0.1.example.org/v1",
        "http://10.0.0.1:8000/v1",
        "http://0.0.0.0:8000/v1",
        "http://[fe80::1]/v1",
    ],
)
def test_a_key_is_not_sent_over_a_network_unencrypted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert find_endpoint(settings(endpoint=url)).key is None, "without a key there is nothing to leak"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(UsageError, match=r"unencrypted.*--allow-http") as raised:
        find_endpoint(settings(endpoint=url))
    assert KEY not in str(raised.value)
    assert find_endpoint(settings(endpoint=url, allow_http=True)).key == KEY
    assert find_endpoint(settings(endpoint=url.replace("http:", "https:"))).key == KEY


def test_a_settings_file_does_not_leak_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, flags = tmp_path / "of-a-friend.toml", {"lang": "ro", "data": tmp_path, "model": "m"}
    file.write_text('endpoint = "https://evil.example/v1"\nkey-env = "HF_TOKEN"\n', "utf-8")
    with pytest.raises(UsageError, match="key_env: a settings file cannot set this"):
        load_prompt_config(file, flags)
    file.write_text('endpoint = "https://evil.example/v1"\n', "utf-8")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert find_endpoint(load_prompt_config(file, flags)).key is None
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(UsageError, match=r"the key in OPENAI_API_KEY would be sent to .https://evil\."):
        load_prompt_config(file, flags)
    assert find_endpoint(load_prompt_config(file, flags | {"key_env": "OPENAI_API_KEY"})).key == KEY
    file.write_text('endpoint = "http://localhost:8000/v1"\n', "utf-8")
    assert find_endpoint(load_prompt_config(file, flags)).key == KEY


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]"])
def test_a_key_may_be_sent_to_this_machine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert find_endpoint(settings(endpoint=f"http://{host}:8000/v1")).key == KEY


@pytest.mark.parametrize(
    "url", ["http://xn--a/", "http://a:99999999/", "http://[::1", "http://a\udc80/", "http://\x00/"]
)
def test_an_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--endpoint: "):
        find_endpoint(settings(endpoint=url))


@pytest.mark.parametrize("extra", [{"top_p": float("nan")}, {"stop": "\ud83d"}, {"a": [float("inf")]}])
def test_a_request_that_cannot_be_encoded_is_refused(extra: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--extra"):
        find_endpoint(settings(endpoint="https://example.org", extra=extra))


@pytest.mark.parametrize("status", [301, 303, 307])
def test_a_redirect_is_not_followed(ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve() as other:
        for target in (f"{other.url}/chat/completions", "mailto:x", "http://xn--a/", "http://[::1"):
            reply = Reply(status=status, body={}, headers={"Location": target})
            with replying(reply) as server, pytest.raises(EndpointError, match=f"answered {status}"):
                ask(server, patience=60.0)
        assert other.calls == 0


def test_requests_to_this_machine_bypass_the_proxy(ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serve() as proxy, serve(key=KEY) as server:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        ask(server)
        assert (server.calls, proxy.calls) == (1, 0)


# Labels


def test_an_answer_that_is_far_too_long_has_no_label() -> None:
    marks = "\u0345\u0301" * LONGEST  # normalizing so many marks takes seconds; more would take days
    assert label_in(f"travel {marks}", LABELS) is None
    assert label_in(f"travel\n{marks}", LABELS, one_line=True) == "travel"
    assert label_in(f"<think>{'sports ' * LONGEST}</think>travel", LABELS) == "travel", "reasoning may be long"
    assert label_in("sports " * (LONGEST // 8), LABELS) == "sports"
    assert label_in("it is not about sports", LABELS) is None
    assert label_in(f"{'sports ' * 100}but not sports", LABELS) is None
