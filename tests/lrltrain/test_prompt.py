"""Prompting: the prompts, reading labels from answers, faults of endpoints, and likelihoods under a local model."""

import asyncio
import copy
import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from importlib.resources import files
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from openai_server import KEY, Reply, Server, by_word, serve
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from warm import Warm

import hub_cards
from lrldata.errors import EndpointError, InputError, LrlError, ModelError, StorageError, UsageError
from lrldata.language import find
from lrldata.locks import Lock
from lrldata.progress import Progress
from lrltrain.config import load_fit_config
from lrltrain.evaluation.items import LABELS
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.record import Run, runs_in
from lrltrain.evaluation.tasks import open_task
from lrltrain.fitting.fit import fit
from lrltrain.methods import load_adapted
from lrltrain.models import mini_path
from lrltrain.prompting import endpoint, likelihood
from lrltrain.prompting.answers import error_in, label_in
from lrltrain.prompting.cache import Answer, open_answers, read_answers
from lrltrain.prompting.config import load_prompt_config
from lrltrain.prompting.examples import Example, draw, open_test_sets
from lrltrain.prompting.local import Local, find_local
from lrltrain.prompting.plan import plan
from lrltrain.prompting.prompt import open_jobs, prompt
from lrltrain.prompting.template import Prompts, open_template
from lrltrain.reporting.task_cells import read_tasks

QUIET = Progress(quiet=True)
TEMPLATE = """
task = "sentiment"
instruction = "In {language}: {labels}?"
question = "{text} ="
answer = " {label}"
[labels]
positive = ["good"]
negative = ["bad"]
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("lrltrain.prompting.endpoint.FIRST_PAUSE", 0.01)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with a Yoruba sentiment test set (40 texts) and a Uyghur topic test set (14 texts)."""
    sentiment = tmp_path / "data" / "sa" / "yor_Latn" / "tiny"
    topic = tmp_path / "data" / "sib200" / "uig_Arab"
    for folder in (sentiment, topic):
        folder.mkdir(parents=True)
    words = {"positive": "good", "negative": "bad"}
    for split, count in (("train", 30), ("test", 40)):
        rows = [
            (f'"{split} {n} is {words[label]}', label)
            for n in range(count)
            for label in [("positive", "negative")[n % 2]]
        ]
        (sentiment / f"{split}.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in rows), "utf-8")
        rows = [(f'"{split} ""{n}"" of {label}"', label) for n in range(14) for label in [LABELS["topic"][n % 7]]]
        lines = ["index_id\tcategory\ttext", *(f"{n}\t{label}\t{text}" for n, (text, label) in enumerate(rows))]
        (topic / f"{split}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path / "data"


@pytest.fixture
def ask(data: Path, tmp_path: Path) -> Callable[..., Run]:
    """Return a function that prompts for the sentiment test set in this process."""

    def run_prompt(server: Server | None = None, items: int = 40, **options: Any) -> Run:
        file = data / "sa/yor_Latn/tiny/test.tsv"
        file.write_text("".join(file.read_text("utf-8").splitlines(keepends=True)[:items]), "utf-8")
        flags = {"lang": "yo", "task": "sentiment", "data": data, "out": tmp_path / "out", "cache": tmp_path / "cache"}
        if server is not None:
            flags |= {"model": "org/some-model", "endpoint": server.url}
        (run,) = prompt(load_prompt_config(None, flags | options), QUIET)
        return run

    return run_prompt


def number_in(text: str) -> int:
    """Return the number of a text in the test set."""
    return int(text.rsplit("test ", maxsplit=1)[1].split(maxsplit=1)[0])


def predicted(run: Run) -> list[str | None]:
    return run.predictions["predicted"].to_list()


# Prompts


def test_test_sets_are_found_by_their_folder_or_a_parent(data: Path) -> None:
    yoruba, uyghur = find("yo"), find("ug")
    for folder in (data, data / "sa", data / "sa/yor_Latn", data / "sa/yor_Latn/tiny"):
        (test_set,) = open_test_sets(folder, "sentiment", yoruba, 0)
        assert (test_set.name, test_set.test[1]) == ("tiny", Example('"test 1 is bad', "negative"))
        assert test_set.train == ()
    for folder in (data, data / "sib200", data / "sib200/uig_Arab"):
        (test_set,) = open_test_sets(folder, "topic", uyghur, 1)
        assert (test_set.name, test_set.test[1]) == ("sib200", Example('test "1" of geography', "geography"))
        assert test_set.provenance["counts"] == {"test": 14, "train": 14}
    with pytest.raises(InputError, match="no topic test set of Yoruba"):
        open_test_sets(data, "topic", yoruba, 0)
    broken = data / "sa/yor_Latn/tiny/test.tsv"
    broken.write_text("one\tpositive\ntwo\tneutral\n")
    with pytest.raises(InputError, match="line 2 has"):
        open_test_sets(data, "sentiment", yoruba, 0)


def test_real_test_sets_are_read(shared: Path) -> None:
    (topic,) = open_test_sets(shared, "topic", find("ug"), 1)
    assert (len(topic.test), len(topic.train)) == (204, 701)
    assert [test_set.name for test_set in open_test_sets(shared, "sentiment", find("jv"), 0)] == [
        "nusa_translation",
        "nusax",
    ]


def test_examples_are_balanced_seeded_and_never_from_the_test_set(data: Path) -> None:
    (test_set,) = open_test_sets(data, "topic", find("ug"), 1)
    for shots in (1, 4, 7, 10, 14):
        examples = draw(test_set.train, test_set.test, shots, 3)
        counts = Counter(example.label for example in examples)
        assert (len(examples), len(set(examples))) == (shots, shots)
        assert max(counts.values()) - min(counts.get(label, 0) for label in LABELS["topic"]) <= 1
        assert examples == draw(test_set.train[::-1], test_set.test, shots, 3), "the order of the file does not matter"
    assert draw(test_set.train, test_set.test, 4, 3) != draw(test_set.train, test_set.test, 4, 4)
    assert not set(draw(test_set.train, test_set.train[:7], 7, 3)) & set(test_set.train[:7])
    with pytest.raises(UsageError, match="there are 7 examples"):
        draw(test_set.train, test_set.train[:7], 8, 3)


def test_prompts_have_instruction_examples_and_text() -> None:
    shots = (Example("Ó dára {x}", "positive"),)
    prompts = Prompts(open_template(None, "sentiment"), "Yoruba", shots)
    instruction = "Classify the sentiment of a text in Yoruba. Answer with one of these labels and nothing else: "
    instruction += "positive, negative."
    example = "Text: Ó dára {x}\nSentiment:"
    assert prompts.completion("Kò") == f"{instruction}\n\n{example} positive\n\nText: Kò\nSentiment:"
    assert prompts.chat("Kò") == [
        {"role": "user", "content": f"{instruction}\n\n{example}"},
        {"role": "assistant", "content": "positive"},
        {"role": "user", "content": "Text: Kò\nSentiment:"},
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{text}", "the text", r"question: lacks the placeholder \{text\}"),
        ("{language}", "{tongue}", r"\{tongue\} is not a placeholder here.*Known: \{labels\}, \{language\}"),
        ("{language}", "{language.__class__}", "is not a placeholder here"),
        ("{labels}?", "{", "Double a literal brace"),
        ('["bad"]', '["Good "]', "stands for positive and for negative"),
        ('["bad"]', "[]", "negative: no word"),
        ("positive =", "neutral =", "missing or unknown: neutral, positive"),
        ("answer =", "anwser =", "missing keys: answer. Unknown keys: anwser"),
        ('"sentiment"', '"topic"', "Use --task topic"),
        ("[labels]", "[labels", "not TOML"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(TEMPLATE)
    assert open_template(path, "sentiment").words == {"positive": "good", "negative": "bad"}
    assert "name" not in open_template(path, "sentiment").as_json()
    path.write_text(TEMPLATE.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        open_template(path, "sentiment")


# Labels in answers


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Sports", "sports"),
        (" **politics**.\n", "politics"),
        ("“Health”", "health"),
        ("The topic is: science and technology!", "science/technology"),
        ("SCIENCE/TECHNOLOGY", "science/technology"),
        ("Ｔｒａｖｅｌ", "travel"),
        ("<think>politics or health?</think>travel", "travel"),
        ("<think>it may be politics", None),
        ("sports or health", None),
        ("not sports", None),
        ("It isn't about travel", None),
        ("transports", None),
        ("", None),
        ("I cannot say.", None),
    ],
)
def test_a_label_is_read_from_a_free_form_answer(answer: str, label: str | None) -> None:
    assert label_in(answer, open_template(None, "topic").labels) == label


def test_only_the_first_line_of_a_continuation_counts() -> None:
    labels = open_template(None, "topic").labels
    assert label_in(" sports\n\nText: more\nTopic: health", labels, one_line=True) == "sports"


def test_scores_agree_with_a_count_by_hand() -> None:
    gold = ["a", "a", "a", "b", "b", "c"]
    predictions = ["a", "a", None, "b", "a", None]
    # a: precision 2/3, recall 2/3; b: precision 1, recall 1/2; c: F1 0
    result = scores("topic", gold, predictions)
    assert result["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert result["accuracy"] == pytest.approx(3 / 6)


# Endpoints


@pytest.mark.parametrize("form", ["chat", "completion"])
def test_each_text_is_sent_to_the_endpoint_once(ask: Callable[..., Run], tmp_path: Path, form: str) -> None:
    with serve() as server:
        run = ask(server, form=form, shots=4, price_in=1.0, price_out=10.0)
        assert run.result == {"macro_f1": 1.0, "accuracy": 1.0, "invalid": 0.0}
        assert (server.calls, set(server.asked.values())) == (40, {1})
        assert set(server.paths) == {"/v1/chat/completions" if form == "chat" else "/v1/completions"}
        assert server.bodies[0]["temperature"] == 0.0
        assert len(server.bodies[0].get("messages", "9 messages")) == (9 if form == "chat" else 10)
        repeated = ask(server, form=form, shots=4, price_in=1.0, price_out=10.0)
        more_expensive = ask(server, form=form, shots=4, price_in=2.0, price_out=10.0)
        ask(server, form=form, shots=4, overwrite=True, out=tmp_path / "other")
        assert server.calls == 40
        ask(server, form=form, shots=4, seed=1)
        assert server.calls > 40, "other examples make other prompts"
    assert repeated.manifest == run.manifest
    assert run.manifest["tokens"] == {"prompt": 4000, "completion": 80}
    assert (run.manifest["cost"], more_expensive.manifest["cost"]) == (0.0048, 0.0088)
    assert (run.language, run.task, run.data, run.method) == ("yo", "sentiment", "tiny", "prompt-4")
    assert (run.base, run.source, run.manifest["adapter"]) == ("org/some-model", None, None)
    saved_runs = list(runs_in(tmp_path / "out"))
    assert sorted(saved_run.seed for saved_run in saved_runs) == [1, 42]
    assert saved_runs[0].folder.parent == saved_runs[1].folder.parent
    assert run.predictions["item"].to_list() == list(range(40))
    assert run.predictions["answer"][0] == "Positive."


def test_a_limit_selects_the_items_that_adapters_are_tested_on(ask: Callable[..., Run], data: Path) -> None:
    folder = data / "sa/yor_Latn/tiny"
    (folder / "dev.tsv").write_text("A text.\tpositive\n", "utf-8")
    with serve(by_word) as server:
        ask(server, limit=10, shots=0, concurrency=1)
        numbers = {number_in(text) for text in server.asked}
    assert numbers == set(map(number_in, open_task("sentiment", str(folder), find("yo"), 10).splits["test"].texts))
    assert max(numbers) > 10


def test_answers_without_a_label_are_wrong_and_counted_as_invalid(ask: Callable[..., Run]) -> None:
    odd_answers = {0: "positive or negative", 1: "", 2: None, 3: "hard to say"}

    def script(text: str, count: int) -> Reply:
        number = number_in(text)
        return Reply(odd_answers[number]) if number in odd_answers else by_word(text, count)

    with serve(script) as server:
        run = ask(server, items=10)
    assert predicted(run)[:4] == [None] * 4
    assert None not in predicted(run)[4:]
    assert run.result["invalid"] == pytest.approx(0.4)
    assert run.result["accuracy"] == pytest.approx(0.6)
    assert run.result["macro_f1"] == pytest.approx(0.75)  # of each label 3 of 5 are recalled, with no false positive


def test_transient_faults_are_retried(ask: Callable[..., Run]) -> None:
    faults = [
        Reply(status=429, headers={"Retry-After": "0.3"}, body={"error": {"message": "slow down"}}),
        Reply(status=503, headers={"Retry-After": formatdate(time.time() - 5, usegmt=True)}, body=b"busy"),
        Reply(status=500, body=b"<html>"),
        Reply(body=b'{"choices": [{"mess'),
        Reply(body=["no object"]),
        Reply(body={"error": {"message": "upstream", "code": 502}}),
        Reply(after=2.0),
        Reply(body={"choices": [], "usage": {}}),
    ]

    def script(text: str, count: int) -> Reply:
        number = number_in(text)
        return faults[number] if number < len(faults) and count == 1 else by_word(text, count)

    with serve(script) as server:
        run = ask(server, items=12, timeout=0.5, concurrency=3)
        assert run.result["macro_f1"] == 1.0
        assert server.calls == 12 + len(faults)


def test_retry_after_delays_all_calls(ask: Callable[..., Run]) -> None:
    def script(text: str, count: int) -> Reply:
        if "test 0 " in text and count == 1:
            return Reply(status=429, headers={"Retry-After": "0.5"}, body={})
        return Reply(by_word(text, count).text, after=0.2 if "test 1 " in text else 0.0)

    with serve(script) as server:
        ask(server, items=4, concurrency=2)
    first, second, third = server.moments[:3]
    assert second - first < 0.5, "it was sent already"
    assert third - first >= 0.5


def test_a_reply_that_never_has_a_choice_is_an_invalid_answer(ask: Callable[..., Run]) -> None:
    refusal = Reply(status=400, body={"error": {"message": "no", "code": "content_filter"}})
    empty = Reply(body={"choices": []})

    def script(text: str, count: int) -> Reply:
        return empty if "test 0 " in text else refusal if "test 1 " in text else by_word(text, count)

    with serve(script) as server:
        run = ask(server, items=4)
        assert server.calls == 3 + 3
        assert predicted(run) == [None, None, "positive", "negative"]
        assert run.manifest["tokens"] is None, "the tokens of some replies are unknown"


def test_a_reply_without_a_choice_is_requested_again_by_the_next_run(ask: Callable[..., Run]) -> None:
    broken = True

    def script(prompt: str, number: int) -> Reply:
        return Reply(body={"choices": []}) if broken and "test 0 " in prompt else by_word(prompt, number)

    with serve(script) as server:
        assert predicted(ask(server, items=4, concurrency=1))[0] is None
        assert server.moments[2] - server.moments[0] > 2 * endpoint.FIRST_PAUSE, "it waits between its tries"
        broken, calls = False, server.calls
        assert predicted(ask(server, items=4, overwrite=True))[0] is not None
        assert server.calls == calls + 1


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "This model's maximum context length is 4096 tokens.", "code": 400}},
        {"error": {"message": "the request exceeds the size", "code": 400, "type": "exceed_context_size_error"}},
        {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400},
        {"detail": "input is too long"},
    ],
)
def test_a_text_that_is_too_long_does_not_end_the_run_whatever_server_says_so(
    ask: Callable[..., Run], body: dict[str, Any]
) -> None:
    with serve(lambda p, n: Reply(status=400, body=body) if "test 1 " in p else by_word(p, n)) as server:
        run = ask(server, items=4)
    assert predicted(run) == ["positive", None, "positive", "negative"]
    assert run.manifest["refused"] == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (503, "KV cache is full: cannot reserve the context window now, retry later"),
        (400, "'max_tokens' is too large: 100000. This model's maximum context length is 4096 tokens."),
    ],
)
def test_an_error_that_only_mentions_the_context_refuses_no_text(
    ask: Callable[..., Run], status: int, message: str
) -> None:
    body = {"error": {"message": message, "code": status}}
    with serve(lambda p, n: Reply(status=status, body=body) if n == 1 else by_word(p, n)) as server:
        if status == 503:
            assert None not in predicted(ask(server, items=2))
        else:
            with pytest.raises(EndpointError, match="too large"):
                ask(server, items=2)


def test_an_empty_code_does_not_hide_the_type_of_an_error() -> None:
    assert error_in({"error": {"message": "blocked", "type": "content_filter", "code": ""}})[1] == "content_filter"


def test_the_message_of_a_server_without_an_error_object_is_shown(ask: Callable[..., Run]) -> None:
    body = {"object": "error", "message": "The model `x` does not exist.", "code": 400}
    with serve(lambda *_: Reply(status=400, body=body)) as server, pytest.raises(EndpointError, match="does not exist"):
        ask(server)


def test_a_filtered_answer_is_refused_even_if_it_has_text(
    ask: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    filtered = {"choices": [{"message": {"content": "positive"}, "finish_reason": "content_filter"}]}
    with serve(lambda p, n: Reply(body=filtered) if "test 0 " in p else by_word(p, n)) as server:
        run = ask(server, items=4)
    assert predicted(run)[0] is None
    assert [run.manifest[name] for name in ("refused", "empty", "unfinished")] == [1, 0, 0]
    assert "empty" not in capsys.readouterr().err


def test_a_refused_text_does_not_end_the_run(ask: Callable[..., Run], capsys: pytest.CaptureFixture[str]) -> None:
    too_long = {"message": "maximum context length", "code": "context_length_exceeded"}
    flagged = {"message": "flagged", "code": 403, "metadata": {"reasons": ["violence"]}}
    refusals = {
        "test 0 ": Reply(status=400, body={"error": too_long}),
        "test 1 ": Reply(status=403, body={"error": flagged}),
    }

    def script(text: str, count: int) -> Reply:
        return next((reply for part, reply in refusals.items() if part in text), by_word(text, count))

    with serve(script) as server:
        run = ask(server, items=4)
        assert server.calls == 4
    assert predicted(run) == [None, None, "positive", "negative"]
    assert run.manifest["tokens"] is not None, "a refused text costs nothing"
    stderr = capsys.readouterr().err
    assert "the endpoint refuses 2 of 4 texts" in stderr
    assert "thinks first" not in stderr


def test_answers_of_a_newer_run_take_precedence_over_those_of_earlier_versions(
    ask: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"now": "negative"}
    with serve(lambda _, __: Reply(answer["now"])) as server:
        before = ask(server)
        versions = before.manifest["made_with"] | {"scikit-learn": "9.0"}
        monkeypatch.setattr("lrltrain.prompting.prompt.made_with", lambda *_: versions)
        answer["now"] = "positive"
        newer = ask(server, cache=tmp_path / "another", overwrite=True)
        assert set(newer.predictions["predicted"]) == {"positive"}
        priced = ask(server, cache=tmp_path / "another", price_in=1.0, price_out=2.0)
        assert priced.folder == newer.folder
        assert set(priced.predictions["predicted"]) == {"positive"}


def test_paid_answers_survive_an_upgrade_and_the_loss_of_the_cache(
    ask: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as server:
        before = ask(server)
        versions = before.manifest["made_with"] | {"scikit-learn": "9.0"}
        monkeypatch.setattr("lrltrain.prompting.prompt.made_with", lambda *_: versions)
        after = ask(server, cache=tmp_path / "another")
        assert server.calls == 40, "each text is sent once"
        assert (after.result, after.manifest["tokens"]) == (before.result, before.manifest["tokens"])
        assert after.predictions.equals(before.predictions)
        assert after.manifest["made_with"]["scikit-learn"] == "9.0"
        ask(server, cache=tmp_path / "another", overwrite=True)
        assert server.calls == 80


@pytest.mark.parametrize("failed", [{"finish_reason": "error", "error": {"code": 502}}, {"finish_reason": "abort"}])
def test_a_failed_answer_is_requested_again(ask: Callable[..., Run], failed: dict[str, Any]) -> None:
    def script(text: str, count: int) -> Reply:
        if "test 0 " in text and count == 1:
            return Reply(body={"choices": [{"message": {"content": ""}, **failed}]})
        return by_word(text, count)

    with serve(script) as server:
        run = ask(server, items=3)
        assert server.calls == 4
    assert run.result["accuracy"] == 1.0


def test_each_seed_gets_its_own_answers_only_if_they_are_sampled(ask: Callable[..., Run]) -> None:
    for temperature, calls in ((0.8, 3 * 4), (0.0, 4)):
        with serve() as server:
            for seed in (42, 1, 2):
                ask(server, items=4, seed=seed, temperature=temperature)
            assert server.calls == calls


def test_an_endpoint_can_be_used_inside_a_running_event_loop(ask: Callable[..., Run]) -> None:
    async def notebook_cell(server: Server) -> Run:
        return ask(server, items=4)

    with serve() as server:
        assert asyncio.run(notebook_cell(server)).result["accuracy"] == 1.0


def test_turkish_and_azerbaijani_letters_are_read_in_any_case() -> None:
    labels = {"sports": ["idman"], "politics": ["siyasət"], "health": ["ışık"]}
    for answer, label in (("İdman", "sports"), ("İDMAN", "sports"), ("SİYASƏT", "politics"), ("IŞIK", "health")):
        assert label_in(answer, labels) == label


def test_patience_runs_out_and_received_answers_are_kept(ask: Callable[..., Run]) -> None:
    broken = True

    def script(text: str, count: int) -> Reply:
        if broken and "test 5 " in text:
            return Reply(status=500, body=b"")
        return by_word(text, count)

    with serve(script) as server:
        with pytest.raises(EndpointError, match=r"answered 500.*--patience"):
            ask(server, items=10, patience=0.2, concurrency=1)
        before = server.calls
        broken = False
        ask(server, items=10)
        assert server.calls == before + 5, "the 5 answers received before are kept"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(status=400, body={"error": {"message": "max_tokens is unsupported"}}), r"400 \(max_tokens is .*--extra"),
        (Reply(status=404, body={"error": "no such model"}), r"404 \(no such model\).*--model"),
        (
            Reply(status=429, body={"error": {"message": "quota", "code": "insufficient_quota"}}),
            r"429 \(quota\).*credit",
        ),
        (Reply(status=301, body=b"", headers={"Location": "http://127.0.0.1:1/"}), "answered 301"),
    ],
)
def test_permanent_faults_end_the_run_at_once(ask: Callable[..., Run], reply: Reply, message: str) -> None:
    with serve(lambda *_: reply) as server:
        with pytest.raises(EndpointError, match=message):
            ask(server, concurrency=2)
        assert server.calls <= 2


def test_concurrency_sets_the_number_of_simultaneous_calls(ask: Callable[..., Run]) -> None:
    five = threading.Barrier(5)

    def script(text: str, count: int) -> Reply:
        five.wait(30)
        return by_word(text, count)

    with serve(script) as server:
        ask(server, concurrency=5)
        assert server.most_at_once == 5


def test_extra_changes_the_request(ask: Callable[..., Run]) -> None:
    with serve() as server:
        ask(server, items=1, extra={"max_tokens": None, "max_completion_tokens": 9})
        assert "max_tokens" not in server.bodies[0]
        assert server.bodies[0]["max_completion_tokens"] == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoint": "https://me:secret@host/v1"}, "would be written into manifests"),
        ({"endpoint": "https://host/v1?key=secret"}, "would be written into manifests"),
        ({"endpoint": "host/v1"}, "is not a web address"),
        ({"endpoint": "http://h", "key_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE is not set"),
        ({"endpoint": "http://h", "normalise": "mean"}, "--normalise applies only to a local model"),
        ({"concurrency": 2}, "--concurrency applies only to an --endpoint"),
        ({"endpoint": "http://h", "price_in": 1.0}, "must be set together"),
        ({"lang": "xx-nothing"}, "Unknown language"),
    ],
)
def test_invalid_options_are_refused(ask: Callable[..., Run], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        ask(None, model="m", **options)
    assert "secret" not in str(error.value)


def test_a_truncated_answer_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "answers" / "file.jsonl"
    first, second = Answer("ó dára\n", "stop", 3, 1), Answer("x", None, None, None)
    with open_answers(path) as answers:
        answers.keep("a", first)
        answers.keep("b", second)
    complete = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    for removed in (1, 2, 20):
        path.write_bytes(complete[:-removed])
        with open_answers(path) as answers:
            answers.keep("c", second)
        assert read_answers(path) in ({"a": first, "c": second}, {"a": first, "b": second, "c": second})
        assert read_answers(path)["a"] == first
    with open_answers(path), pytest.raises(StorageError, match="another process"), open_answers(path):
        pass


def command(server: Server, data: Path, tmp_path: Path, *options: object) -> list[str]:
    common = ("--lang", "yo", "--task", "sentiment", "--data", data, "--model", "m", "--endpoint", server.url)
    folders = ("--out", tmp_path / "out", "--cache", tmp_path / "cache")
    return ["prompt", *map(str, (*common, *folders, *options))]


def test_no_answer_is_requested_twice_after_a_kill(
    data: Path, tmp_path: Path, warm: Warm, lrltrain: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with serve(lambda text, count: Reply(by_word(text, count).text, after=0.05)) as server:
        arguments = command(server, data, tmp_path, "--concurrency", "2", "--json")
        with warm.killed(arguments, tmp_path, warm.environment) as is_running:
            while server.calls < 12:
                assert is_running()
                time.sleep(0.01)
        (answers_file,) = (tmp_path / "cache").rglob("*.jsonl")
        answered = len(read_answers(answers_file))
        before = server.calls
        assert before - 2 <= answered <= before
        result = lrltrain(*arguments)
        assert result.returncode == 0, result.stderr
        assert server.calls == before + 40 - answered, "only requests that were in flight are sent again"
        (run,) = json.loads(result.stdout)["runs"]
        assert (run["macro_f1"], run["tokens"]) == (1.0, {"prompt": 4000, "completion": 80})


def test_the_key_is_sent_to_the_endpoint_and_appears_nowhere_else(
    data: Path, tmp_path: Path, lrltrain: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with serve(key=KEY) as server:
        arguments = command(server, data, tmp_path, "--limit", 6, "--key-env", "MY_KEY")
        good = lrltrain(*arguments, "--price-in", 1, "--price-out", 1, MY_KEY=KEY)
        assert good.returncode == 0, good.stderr
        assert "0.0006" in good.stdout
        wrong = lrltrain(*arguments, "--shots", 1, MY_KEY="sk-wrong-987654")
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "answered 401 (Incorrect API key: Bearer [key]). Check the key in MY_KEY" in wrong.stderr
        traced = lrltrain(*arguments, "--shots", 1, "--debug", MY_KEY="sk-wrong-987654")
        assert "Traceback" in traced.stderr
        assert len(wrong.stderr.strip().split("\n")) == 1
        output = "".join(result.stdout + result.stderr for result in (good, wrong, traced))
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for key in (KEY, "sk-wrong-987654"):
        assert key not in output
        assert key.encode() not in written


def test_a_key_is_sent_over_http_only_with_a_flag(
    data: Path, lrltrain: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    arguments = ["prompt", "--lang", "yo", "--task", "sentiment", "--data", data, "--model", "m", "--dry-run"]
    arguments += ["--endpoint", "http://models.example.org/v1"]
    refused = lrltrain(*arguments, OPENAI_API_KEY=KEY)
    assert refused.returncode == 2
    assert "would be sent to models.example.org unencrypted. Use https://" in refused.stderr
    assert KEY not in refused.stderr
    assert lrltrain(*arguments, "--allow-http", OPENAI_API_KEY=KEY).returncode == 0
    assert lrltrain(*arguments).returncode == 0, "without a key there is nothing to leak"


def test_a_dry_run_counts_the_remaining_calls(
    ask: Callable[..., Run], data: Path, tmp_path: Path, lrltrain: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with serve() as server:
        flags = {"lang": "yo", "task": "sentiment", "data": data, "cache": tmp_path / "cache"}
        flags |= {"model": "m", "endpoint": server.url, "price_in": 1.0, "price_out": 1.0}
        (complete,) = plan(load_prompt_config(None, flags))
        ask(server, model="m", limit=10)
        (remaining,) = plan(load_prompt_config(None, flags))
        result = lrltrain(*command(server, data, tmp_path, "--dry-run", "--json"))
        assert server.calls == 10
    assert (complete.calls, remaining.calls, remaining.items) == (40, 30, 40)
    assert remaining.prompt_tokens == pytest.approx(3000, rel=0.05), "estimated from the earlier answers"
    assert remaining.completion_tokens == 60
    assert remaining.cost == pytest.approx(0.00306, rel=0.05)
    assert json.loads(result.stdout)["planned"][0]["calls"] == 30


# Local models


def test_the_test_set_of_the_hub_is_the_one_that_adapters_are_tested_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = LABELS["topic"][:4]
    splits = {
        split: datasets.Dataset.from_dict(
            {"text": [None, *(f"{split} {label}" for label in labels)], "category": [labels[0], *labels]}
        )
        for split in ("train", "validation", "test")
    }
    monkeypatch.setattr("lrltrain.evaluation.on_hub.load_dataset", lambda *_: splits)
    flags = {"lang": "yo", "task": "topic", "out": tmp_path / "out", "cache": tmp_path / "cache", "model": "m"}
    for data in ({}, {"data": "Davlan/sib200"}):
        with serve(lambda *_: Reply(labels[0])) as server:
            config = load_prompt_config(None, flags | {"endpoint": server.url, "shots": 1} | data)
            (run,) = prompt(config, QUIET)
        assert run.predictions["gold"].to_list() == list(labels)
        assert run.predictions["item"].to_list() == [1, 2, 3, 4], "the numbers in the split, as eval records them"
        assert run.manifest["data"] == open_task("topic", None, find("yo")).provenance
        assert "train " in server.bodies[0]["messages"][0]["content"]


def test_only_labels_that_occur_are_offered_if_those_of_the_data_are_wanted(data: Path) -> None:
    for split in ("train", "test"):
        file = data / "sib200" / "uig_Arab" / f"{split}.tsv"
        rows = file.read_text("utf-8").splitlines()
        file.write_text("\n".join(row for row in rows if "\tsports\t" not in row) + "\n", "utf-8")
    flags = {"lang": "ug", "task": "topic", "data": data, "model": "m", "endpoint": "http://127.0.0.1:9/v1"}
    for wanted, count in (("task", 7), ("data", 6)):
        (job,) = open_jobs(load_prompt_config(None, flags | {"labels": wanted, "cache": data.parent / "cache"}))
        assert len(job.prompts.template.words) == count
        assert ("sports" in job.prompts.chat("x")[0]["content"]) == (wanted == "task")


def test_labels_of_the_data_are_used_in_prompts(
    ask: Callable[..., Run], tiny: Path, data: Path, tmp_path: Path
) -> None:
    tweets = "tweet\tlabel\n" + "".join(f"tweet {n}\t{('good', 'so-so', 'bad')[n % 3]}\n" for n in range(12))
    for split in ("train", "test"):
        (data / f"sa/yor_Latn/tiny/{split}.tsv").write_text(tweets.replace("tweet ", f"{split} "), "utf-8")
    with pytest.raises(InputError, match=r"unknown label 'label'.* --labels data to accept the labels of the data"):
        ask(model=str(tiny))
    run = ask(model=str(tiny), labels="data", shots=3)
    assert set(run.predictions["gold"]) == {"good", "so-so", "bad"} >= set(run.predictions["predicted"])
    assert run.manifest["settings"]["template"]["labels"] == {label: [label] for label in ("bad", "good", "so-so")}
    template = tmp_path / "own.toml"
    text = files("lrltrain").joinpath("prompting/templates/sentiment.toml").read_text("utf-8")
    template.write_text(f"{text.partition('[labels]')[0]}[labels]\ngood = ['fine']\nbad = ['awful']\n", "utf-8")
    with pytest.raises(UsageError, match="template: its labels lack so-so"):
        ask(model=str(tiny), labels="data", template=template)
    template.write_text(template.read_text("utf-8") + "so-so = ['fair']\n", "utf-8")
    assert ask(model=str(tiny), labels="data", template=template).manifest["settings"]["template"]["labels"][
        "good"
    ] == ["fine"]
    with pytest.raises(UsageError, match="With --labels data a template may have others"):
        ask(model=str(tiny), template=template)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small LLaMA with random weights and the tokenizer of lrl-mini."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(mini_path() / "tokenizer.json"), **marks)
    tokenizer.chat_template = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(tiny: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    return AutoModelForCausalLM.from_pretrained(tiny).eval(), AutoTokenizer.from_pretrained(tiny)


def test_a_local_model_is_not_prompted_while_another_process_does_it(
    tiny: Path, ask: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classify = Local.classify

    def check(*arguments: Any) -> Any:
        (lock,) = tmp_path.rglob("*.making")
        with pytest.raises(BlockingIOError):
            Lock(lock)
        return classify(*arguments)

    monkeypatch.setattr(Local, "classify", check)
    assert ask(model=str(tiny)).circumstances["seconds"] > 0


@pytest.mark.parametrize("method", ["lora", "seq_bn_inv"])
def test_a_model_is_prompted_with_an_adapter(
    method: str, tiny: Path, ask: Callable[..., Run], data: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"Ọjọ́ {n} jẹ́ ọjọ́ rere fún wọn.\n" for n in range(200)), "utf-8")
    options = {"lang": "yo", "base": str(tiny), "method": method, "text": [text], "steps": 3, "learning_rate": 0.05}
    folders = {"out": tmp_path / "out", "cache": tmp_path / "cache"}
    adapter = fit(load_fit_config(None, options | folders | {"batch_size": 2, "max_length": 32}), QUIET)
    plain, adapted = ask(model=str(tiny)), ask(model=str(tiny), adapter=adapter.path)
    assert (plain.method, adapted.method) == ("prompt-0", f"prompt-0+{method}")
    assert adapted.manifest["adapter"]["name"] == adapter.name
    (test_set,) = open_test_sets(data, "sentiment", find("yo"), 0)
    prompts = Prompts(open_template(None, "sentiment"), "Yoruba")
    flags = {"lang": "yo", "task": "sentiment", "data": data, "model": str(tiny), "adapter": adapter.path}
    local, _ = find_local(load_prompt_config(None, flags))
    assert local.adapter
    model = load_adapted(local.adapter.folder, local.adapter.manifest, local.base)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    for row, example in enumerate(test_set.test[:5]):
        question, _ = likelihood.ask(prompts, example.text, tokenizer, "completion", 256)
        values = [log_probability(model, question.prompt, answer) for answer in question.answers]
        assert adapted.predictions["predicted"][row] == ("positive", "negative")[int(np.argmax(values))]
    cells = {cell.row.method: cell for cell in read_tasks(tmp_path / "out", 99, 99)}
    assert cells["prompt-0"].against is None
    change = cells[f"prompt-0+{method}"].against
    assert change is not None
    assert change.change.value == pytest.approx(adapted.result["macro_f1"] - plain.result["macro_f1"])
    assert cells[f"prompt-0+{method}"].row.variant == ""
    card = hub_cards.render_card(adapter.path, out=tmp_path / "cards")
    assert "sentiment, prompted without examples" in card.markdown.read_text("utf-8")


def test_a_model_given_as_adapter_and_an_adapter_given_as_model_are_refused(
    tiny: Path, ask: Callable[..., Run], tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="no finished adapter"):
        ask(model=str(tiny), adapter=tiny)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="is an adapter, not a base model"):
        ask(model=str(tmp_path))
    with pytest.raises(UsageError, match="--adapter applies only to a local model"):
        ask(model="x", endpoint="http://127.0.0.1:1/v1", adapter=tmp_path)


def log_probability(model: Any, prompt: np.ndarray, answer: np.ndarray) -> float:
    """Return log P(answer | prompt), computed in one call without a batch or a cache."""
    ids = torch.from_numpy(np.concatenate([prompt, answer]))[None]
    with torch.inference_mode():
        log_probabilities = model(ids, use_cache=False).logits.log_softmax(-1)[0]
    positions = range(len(prompt) - 1, ids.shape[1] - 1)
    return float(sum(log_probabilities[position, ids[0, position + 1]] for position in positions))


@pytest.mark.parametrize("form", ["chat", "completion"])
def test_likelihoods_equal_those_of_single_calls(loaded: tuple[Any, Any], form: Any) -> None:
    model, tokenizer = loaded
    prompts = Prompts(open_template(None, "topic"), "Uyghur", (Example("Sjakk", "sports"),))
    texts = ["Een", "Tekst die langer is dan de andere teksten", "yaxshi " * 9, "Три слова тут", "x"]
    questions = [likelihood.ask(prompts, text, tokenizer, form, 256)[0] for text in texts]
    scores, *others = (likelihood.score(model, questions, tokens) for tokens in (10_000, 300, 1))
    for other in others:
        np.testing.assert_allclose(other.log_likelihood, scores.log_likelihood, atol=1e-3)
    for row, question in enumerate(questions):
        for label, answer in enumerate(question.answers):
            assert scores.log_likelihood[row, label] == pytest.approx(
                log_probability(model, question.prompt, answer), abs=1e-3
            )
            assert scores.tokens[row, label] == len(answer)
    assert scores.tokens.max() > scores.tokens.min(), "labels differ in length"
    assert (scores.best("sum") == scores.log_likelihood.argmax(1)).all()
    assert (scores.best("mean") == (scores.log_likelihood / scores.tokens).argmax(1)).all()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_model_is_prompted_in_half_precision(tiny: Path, ask: Callable[..., Run], precision: str) -> None:
    single, half = (ask(model=str(tiny), precision=name) for name in ("fp32", precision))
    assert half.manifest["settings"]["precision"] == precision
    assert half.folder != single.folder
    agreement = (half.predictions["predicted"] == single.predictions["predicted"]).mean()
    assert agreement > 0.8  # type: ignore[operator]


def test_an_overflow_in_fp16_is_an_error(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = copy.deepcopy(loaded[0]).half(), loaded[1]
    question, _ = likelihood.ask(
        Prompts(open_template(None, "sentiment"), "Yoruba"), "Ó dára", tokenizer, "completion", 256
    )
    likelihood.score(model, [question])
    model.model.layers[0].mlp.down_proj.weight.data.fill_(6e4)  # the largest number in fp16 is 65,504
    with pytest.raises(ModelError, match="not finite"):
        likelihood.score(model, [question])


def test_prompt_and_label_tokens_are_those_of_the_whole_text(loaded: tuple[Any, Any]) -> None:
    _, tokenizer = loaded
    prompts = Prompts(open_template(None, "sentiment"), "Yoruba")
    question, truncated = likelihood.ask(prompts, "Ó dára", tokenizer, "completion", 256)
    assert not truncated
    for label, answer in zip(prompts.template.words, question.answers, strict=True):
        whole = tokenizer(prompts.completion("Ó dára") + prompts.answer(label), add_special_tokens=False)["input_ids"]
        assert [*question.prompt, *answer] == [tokenizer.bos_token_id, *whole]
    assert question.prompt[0] == tokenizer.bos_token_id


def test_a_long_text_is_truncated_but_not_the_instruction(loaded: tuple[Any, Any]) -> None:
    _, tokenizer = loaded
    prompts = Prompts(open_template(None, "sentiment"), "Yoruba")
    question, truncated = likelihood.ask(prompts, "dára pupo " * 200, tokenizer, "completion", 80)
    assert truncated
    prompt_text = tokenizer.decode(question.prompt)
    assert prompt_text.startswith(("<s> Classify", "<s>Classify"))
    assert prompt_text.endswith("Sentiment:")
    assert 60 < len(question.prompt) + max(map(len, question.answers)) <= 80
    with pytest.raises(UsageError, match="only one character of the text exceeds 20 tokens"):
        likelihood.ask(prompts, "dára", tokenizer, "completion", 20)


def test_of_a_script_with_several_tokens_per_character_as_much_text_as_fits_is_kept() -> None:
    tokenizer = Tokenizer(BPE({letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    by_byte = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    prompts, text = Prompts(open_template(None, "sentiment"), "Tibetan"), "བོད་" * 80
    whole, _ = likelihood.ask(prompts, text, by_byte, "completion", 10_000)
    for too_many in (1, 50, 350, 900):
        limit = len(whole) - too_many
        question, cut = likelihood.ask(prompts, text, by_byte, "completion", limit)
        assert cut
        assert limit - 3 < len(question) <= limit, "one more character, of three bytes, would not fit"


def test_the_start_token_of_the_tokenizer_is_used_even_if_it_is_not_the_bos_token(loaded: tuple[Any, Any]) -> None:
    tokenizer = copy.deepcopy(loaded[1])
    start = ("</s>", tokenizer.convert_tokens_to_ids("</s>"))  # as XGLM's
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="</s> $A", special_tokens=[start])
    prompts = Prompts(open_template(None, "sentiment"), "Yoruba")
    question, _ = likelihood.ask(prompts, "Ó dára", tokenizer, "completion", 256)
    assert question.prompt[0] == start[1] != tokenizer.bos_token_id


def test_the_order_of_labels_and_the_chat_template_make_another_run(
    ask: Callable[..., Run], tiny: Path, tmp_path: Path
) -> None:
    files_by_order = tmp_path / "a.toml", tmp_path / "b.toml"
    texts, labels = TEMPLATE.split("[labels]\n")
    for file, order in zip(files_by_order, (1, -1), strict=True):
        file.write_text(f"{texts}[labels]\n" + "\n".join(labels.split("\n")[::order]), "utf-8")
    one, other = (ask(model=str(tiny), template=file, limit=4) for file in files_by_order)
    assert one.folder != other.folder
    model = shutil.copytree(tiny, tmp_path / "copied")
    chat = ask(model=str(model), form="chat", limit=4)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = f"{{{{ '!!' }}}}{tokenizer.chat_template}"
    tokenizer.save_pretrained(model)
    assert ask(model=str(model), form="chat", limit=4).folder != chat.folder


def test_new_prices_are_applied_to_stored_answers_without_any_call(ask: Callable[..., Run], tmp_path: Path) -> None:
    with serve() as server:
        ask(server, cache=tmp_path / "one")
        assert server.calls == 40
        run = ask(server, cache=tmp_path / "two", price_in=1.0, price_out=2.0)
        again = ask(server, cache=tmp_path / "three", price_in=5.0, price_out=10.0)
        flags = {"lang": "yo", "task": "sentiment", "data": tmp_path / "data", "out": tmp_path / "out"}
        flags |= {"model": "org/some-model", "endpoint": server.url, "cache": tmp_path / "four"}
        assert [item.calls for item in plan(load_prompt_config(None, flags))] == [0]
        assert server.calls == 40
    assert again.manifest["cost"] == pytest.approx(5 * run.manifest["cost"])
    assert again.manifest["prices"] == [5.0, 10.0]


def test_a_local_model_produces_a_run(ask: Callable[..., Run], tiny: Path, data: Path) -> None:
    run = ask(model=str(tiny), shots=2, limit=9, max_length=200)
    assert (run.base, run.method, run.language) == ("tiny-llama", "prompt-2", "yo")
    assert run.predictions.columns == ["item", "gold", "predicted"]
    assert set(predicted(run)) <= set(LABELS["sentiment"])
    assert run.result["invalid"] == 0.0
    assert str(tiny.parent) not in (run.folder / "manifest.json").read_text()
    modified = (run.folder / "manifest.json").stat().st_mtime_ns
    assert ask(model=str(tiny), shots=2, limit=9, max_length=200).manifest == run.manifest
    assert (run.folder / "manifest.json").stat().st_mtime_ns == modified, "the run is not repeated"
    chat = ask(model=str(tiny), limit=9, form="chat", normalise="mean")
    topic = ask(model=str(tiny), task="topic", lang="ug", data=data)
    assert chat.folder != run.folder
    assert len(topic.predictions) == 14
    with pytest.raises(LrlError, match="reads 256 tokens at most"):
        ask(model=str(tiny), max_length=300)


def test_the_command_prints_a_table(
    data: Path, tmp_path: Path, tiny: Path, lrltrain: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f'lang = "yo"\ntask = "sentiment"\nbatch-tokens = 50\nout = "{tmp_path / "out"}"\nlimit = 6\n')
    result = lrltrain("prompt", "--config", settings, "--data", data, "--model", tiny)
    assert result.returncode == 0, result.stderr
    for fragment in ("macro-F1", "tiny-llama", "sentiment (tiny)", "invalid", "0.0%"):
        assert fragment in result.stdout
    wrong = lrltrain("prompt", "--lang", "yo", "--data", data, "--model", "m", "--dry-run")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith(f"error: {data}: no topic test set of Yoruba")
    assert lrltrain("prompt", "--data", data, "--model", "m").returncode == 2


def test_an_encoder_cannot_be_prompted(ask: Callable[..., Run]) -> None:
    with pytest.raises(LrlError, match="an encoder, which cannot be prompted"):
        ask(model=str(mini_path()))
