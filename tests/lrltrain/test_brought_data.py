"""Users' own test data: in several languages, in other formats, published differently, with overlong items."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from datasets import Dataset
from manifests import change
from openai_server import Reply, serve

import lrldata
import lrltrain
from lrldata.errors import InputError, LrlError, UsageError
from lrldata.language import find
from lrldata.progress import Progress
from lrltrain.config import load_eval_config
from lrltrain.evaluation.on_hub import load_parts
from lrltrain.evaluation.score_tasks import TaskScore, score_tasks
from lrltrain.evaluation.sentences import open_sentences
from lrltrain.evaluation.tasks import open_task
from lrltrain.prompting.answers import label_in
from lrltrain.prompting.config import load_prompt_config
from lrltrain.prompting.prompt import prompt
from lrltrain.prompting.recorded import read_recorded

QUIET = Progress(quiet=True)
LABELS = {"sports": ["sports"], "health": ["health"]}
SMALL: dict[str, Any] = {"base": "lrl-mini", "steps": 2, "batch_size": 2, "max_length": 32, "quiet": True}
TOPICS = "index_id\tcategory\ttext\n"


def write_topics(folder: Path, word: str, items: int = 6, longer: int = 1) -> Path:
    """Write a topic dataset in which each text contains its number."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        rows = (f"{n}\t{('sports', 'health')[n % 2]}\t{word} {split} {n} {'a ' * longer}" for n in range(items))
        (folder / f"{split}.tsv").write_text(TOPICS + "\n".join(rows), "utf-8")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with topic data in Romanian and in Maltese."""
    for code in ("ron_Latn", "mlt_Latn"):
        write_topics(tmp_path / "data" / "sib200" / code, code)
    return tmp_path / "data"


def score(out: Path, data: Path, **options: Any) -> list[TaskScore]:
    defaults = {"task": "topic", "seeds": [1], "epochs": 1, "learning_rate": 5e-3, "data": str(data), "out": out}
    return score_tasks(load_eval_config(None, {**defaults, **options}), QUIET)


def test_each_adapter_is_named_and_scored_in_its_own_language(data: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("".join(f"Propoziția {n} este despre pisici.\n" for n in range(200)), "utf-8")
    options = SMALL | {"text": tmp_path / "text.txt", "out": tmp_path / "ws", "cache": tmp_path / "cache"}
    ro, mt = (lrltrain.fit(lang, method="seq_bn", **options) for lang in ("ro", "mt"))
    other = lrltrain.fit("ro", method="lora", **options)
    scored = score(tmp_path / "ws", data, adapter=[ro.path, mt.path, other.path], baselines=["none"])
    assert [(entry.as_json()["language"], entry.adapter) for entry in scored] == [
        ("ro", None), ("ro", "ro_text_seq_bn"), ("ro", "ro_text_lora"), ("mt", None), ("mt", "mt_text_seq_bn"),
    ]  # fmt: skip
    digests = {entry.runs[0].language: entry.runs[0].manifest["data"]["files"][-1]["sha256"] for entry in scored}
    assert digests["ro"] != digests["mt"]
    frame = lrltrain.Scores(tasks=tuple(scored)).to_frame()
    assert frame["adapter"].to_list()[1:3] == ["ro_text_seq_bn", "ro_text_lora"]


def test_perplexities_are_in_the_order_of_the_adapters(tmp_path: Path) -> None:
    folders: dict[str, Any] = {"out": tmp_path, "cache": tmp_path / "cache", "quiet": True}
    ro, mt = (lrldata.build(lang, source="conceptnet", sample=True, **folders) for lang in ("ro", "mt"))
    adapters = [
        lrltrain.fit(dataset, method=method, **SMALL)
        for dataset, method in ((ro, "seq_bn"), (mt, "lora"), (ro, "lora"))
    ]
    frame = lrltrain.evaluate(adapters, task="pppl", limit=2, resamples=100, quiet=True).to_frame()
    assert frame["adapter"].to_list() == ["ro_conceptnet_seq_bn", "mt_conceptnet_lora", "ro_conceptnet_lora"]


@pytest.mark.parametrize(
    ("folder", "options", "message"),
    [
        ("sib200/mlt_Latn", {"lang": "ro"}, "is a folder of mt, not of Romanian"),
        ("plain", {"lang": "ro", "transfer_from": "mt"}, "would be used for each of ro and mt"),
        ("sib200/ron_Latn", {"lang": "ro", "transfer_from": "mt"}, "would be used for each of ro and mt"),
    ],
)
def test_a_folder_of_one_language_is_refused_for_another(
    folder: str, options: dict[str, Any], message: str, data: Path, tmp_path: Path
) -> None:
    write_topics(data / "plain", "text")
    with pytest.raises(UsageError, match=message):
        score(tmp_path / "ws", data / folder, base="lrl-mini", baselines=["none"], **options)


def test_one_test_set_is_not_used_for_prompts_in_two_languages(data: Path, tmp_path: Path) -> None:
    write_topics(data / "plain", "text")
    settings = {"lang": "ro,mt", "data": data / "plain", "model": "m", "endpoint": "http://127.0.0.1:9/v1"}
    with pytest.raises(UsageError, match="would be used for each of ro and mt"):
        prompt(load_prompt_config(None, settings | {"out": tmp_path}), QUIET)


def test_predictions_contain_the_item_numbers_of_the_file(data: Path, tmp_path: Path) -> None:
    write_topics(data / "sib200" / "ron_Latn", "ro", items=30)
    table = pl.read_csv(data / "sib200" / "ron_Latn" / "test.tsv", separator="\t")
    (scored,) = score(tmp_path / "ws", data, lang="ro", base="lrl-mini", baselines=["none"], limit=8)
    with serve(lambda *_: Reply("sports")) as server:
        settings = {"lang": "ro", "data": data, "model": "m", "endpoint": server.url, "limit": 8, "out": tmp_path}
        (prompted,) = prompt(load_prompt_config(None, settings | {"cache": tmp_path / "cache"}), QUIET)
    for run in (scored.runs[0], prompted):
        rows = run.predictions
        assert rows["item"].max() > 8
        assert table[rows["item"].to_list()]["category"].to_list() == rows["gold"].to_list()


def test_truncated_items_are_counted_and_reported(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_topics(data / "sib200" / "ron_Latn", "ro", longer=1)
    options: dict[str, Any] = {"lang": "ro", "base": "lrl-mini", "baselines": ["none"]}
    (complete,) = score(tmp_path / "ws", data, **options)
    assert complete.runs[0].manifest["trained"]["cut"] == {"train": 0, "dev": 0, "test": 0}
    assert "truncated" not in capsys.readouterr().err
    write_topics(data / "sib200" / "ron_Latn", "ro", longer=90)
    (truncated,) = score(tmp_path / "ws", data, max_length=64, **options)
    assert truncated.runs[0].manifest["trained"]["cut"] == {"train": 6, "dev": 6, "test": 6}
    assert "long items are truncated: 6 of train, 6 of dev, 6 of test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Is it about sports? No, it is not.\n</think>\n\nhealth", "health"),
        ("<think>sports</think>health", "health"),
        ("<think>a</think>sports?<think>b</think>health", "health"),
        ("[THINK]sports[/THINK]health", "health"),
        ("<reasoning>sports</reasoning>health", "health"),
        ("◁think▷sports◁/think▷health", "health"),
        ("<think>sports or health? It says", None),
        ("_health_", "health"),
        ("**health**", "health"),
        ("答案是health。", "health"),
        ("healthy", None),
    ],
)
def test_reasoning_is_not_part_of_the_answer(answer: str, label: str | None) -> None:
    assert label_in(answer, LABELS) == label


def test_labels_in_scripts_without_spaces_are_found_in_a_sentence() -> None:
    assert label_in("答案是健康。", {"health": ["健康"], "sports": ["体育"]}) == "health"
    assert label_in("คำตอบคือกีฬา", {"health": ["สุขภาพ"], "sports": ["กีฬา"]}) == "sports"


def test_cut_off_and_empty_answers_are_counted_and_reported(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply_cut_off(text: str, _: int) -> Reply:
        content = None if " 0 " in text else "Is it about sports? Let me see"
        return Reply(body={"choices": [{"message": {"content": content}, "finish_reason": "length"}]})

    with serve(reply_cut_off) as server:
        settings = {"lang": "ro", "data": data, "model": "m", "endpoint": server.url, "out": tmp_path}
        for _ in range(2):  # the second run is read back and is reported too
            (run,) = prompt(load_prompt_config(None, settings | {"cache": tmp_path / "cache"}), QUIET)
            assert (run.manifest["unfinished"], run.manifest["empty"]) == (6, 1)
            errors = capsys.readouterr().err
            assert "6 of 6 answers end at --max-tokens 32, and 1 are empty. A model that thinks first" in errors


def test_sentence_tables_are_read_by_column_name(tmp_path: Path) -> None:
    texts = ["Bonġu.", "Kif int?", 'Qal "iva", imbagħad le.']
    rows = pl.DataFrame({"id": [7, 8, 9], "url": ["https://a"] * 3, "text": texts})
    (tmp_path / "plain.txt").write_text("\n".join(texts), "utf-8")
    rows.write_ndjson(tmp_path / "a[1].jsonl")
    rows.write_parquet(tmp_path / "a.parquet")
    rows.write_csv(tmp_path / "a.csv")
    rows.rename({"text": "sentence"}).write_csv(tmp_path / "a.tsv", separator="\t")
    for name in ("plain.txt", "a[1].jsonl", "a.parquet", "a.csv", "a.tsv"):
        assert list(open_sentences(str(tmp_path / name), find("mt")).sentences) == texts, name
    rows.with_columns(pl.col("text").cast(pl.Categorical)).write_parquet(tmp_path / "codes.parquet")
    assert list(open_sentences(str(tmp_path / "codes.parquet"), find("mt")).sentences) == texts
    mixed = [{"id": n, "text": None} for n in range(150)] + [{"id": "x", "score": 1.5, "text": texts[0]}]
    (tmp_path / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in mixed), "utf-8")
    assert open_sentences(str(tmp_path / "mixed.jsonl"), find("mt")).sentences == (texts[0],)
    (tmp_path / "list.json").write_text(json.dumps(texts), "utf-8")
    assert list(open_sentences(str(tmp_path / "list.json"), find("mt")).sentences) == texts
    (tmp_path / "said.tsv").write_text('id\ttext\n1\t"Fejn sejjer?\n2\tIl-belt," qalet.\n', "utf-8")
    assert open_sentences(str(tmp_path / "said.tsv"), find("mt")).sentences == ('"Fejn sejjer?', 'Il-belt," qalet.')
    rows.drop("text").write_csv(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"none\.csv: has no column content or text.*`text` or `sentence`"):
        open_sentences(str(tmp_path / "none.csv"), find("mt"))
    (tmp_path / "bad.jsonl").write_text("{not json\n")
    with pytest.raises(InputError, match=r"bad\.jsonl: "):
        open_sentences(str(tmp_path / "bad.jsonl"), find("mt"))


def test_flores_is_found_in_the_folder_it_unpacks_to(tmp_path: Path) -> None:
    (tmp_path / "devtest").mkdir()
    (tmp_path / "devtest" / "mlt_Latn.devtest").write_text("Bonġu.\n", "utf-8")
    assert open_sentences(str(tmp_path), find("mt")).sentences == ("Bonġu.",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04\xff\xff", r"\.zip archive, or a Word"),
        (b"%PDF-1.7\n\xff", "is a PDF.*pdftotext"),
        (b"\x1f\x8b\x08\xff", "compressed with gzip.*gunzip"),
        (b"PAR1\xff", "a Parquet file"),
        ("Bonġu".encode("utf-16"), "in UTF-16.*iconv -f UTF-16"),
        ("bon\nà".encode("latin-1"), "line 2 is not UTF-8.*iconv"),
    ],
)
def test_the_type_of_a_file_that_is_not_text_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_sentences(str(file), find("mt"))


def test_the_line_number_of_invalid_utf_8_is_right_in_a_long_file(tmp_path: Path) -> None:
    good = "".join(f"A sentence of answers, number {n}.\tsports\n" for n in range(900))
    (tmp_path / "answers.tsv").write_bytes(f"text\tanswer\n{good}".encode() + "à\tsports\n".encode("latin-1"))
    with pytest.raises(InputError, match="line 902 is not UTF-8"):
        read_recorded(tmp_path / "answers.tsv")


def test_configurations_are_not_requested_from_an_unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("lrltrain.evaluation.on_hub.load_dataset", unreachable)
    monkeypatch.setattr(
        "lrltrain.evaluation.on_hub.get_dataset_config_names", lambda _: pytest.fail("configurations were requested")
    )
    with pytest.raises(InputError, match=r"a/b: cannot be loaded from the Hub: no network"):
        load_parts("a/b", None, find("mt"), "")


def test_ner_files_are_read_as_wikiann_and_conll_publish_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "-DOCSTART-\tO\n\nyo:Ìbàdàn\tB-LOC\nyo::\tO\nyo:yo:\tO\n"
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.tsv").write_text(rows, "utf-8")
    items = open_task("ner", str(tmp_path), find("yo")).splits["test"]
    assert items.words == (("Ìbàdàn", ":", "yo:"),)
    assert "every token begins with yo:, which is removed" in capsys.readouterr().err
    (tmp_path / "test.tsv").write_text("yo:Ìbàdàn\tB-LOC\nni\tO\n", "utf-8")
    assert open_task("ner", str(tmp_path), find("yo")).splits["test"].words == (("yo:Ìbàdàn", "ni"),)


@pytest.fixture
def published(tmp_path: Path) -> Callable[..., str]:
    """Write a dataset in the layout of the Hub with these configurations; a folder loads in the same way as an id."""

    def write(*configurations: str) -> str:
        configs = []
        for name in configurations:
            (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": name}) + "\n")
            configs.append({"config_name": name, "data_files": [{"split": "test", "path": f"{name}.jsonl"}]})
        (tmp_path / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
        return str(tmp_path)

    return write


@pytest.mark.parametrize(
    ("available", "requested", "expected"),
    [
        (("default",), "mlt_Latn", "default"),
        (("mlt", "ron"), "mlt_Latn", "mlt"),
        (("mt", "ro"), None, "mt"),
        (("mlt_Latn", "mt"), "mlt_Latn", "mlt_Latn"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_configuration_of_a_language_is_found(
    available: tuple[str, ...], requested: str | None, expected: str, published: Callable[..., str]
) -> None:
    parts, configuration = load_parts(published(*available), requested, find("mt"), "")
    assert configuration == expected
    assert parts["test"]["text"] == [expected]


def test_the_only_configuration_is_not_used_if_its_language_differs(published: Callable[..., str]) -> None:
    with pytest.raises(LrlError, match=r"has no configuration for Maltese \(mt\)\. It has: ron_Latn\."):
        load_parts(published("ron_Latn"), "mlt_Latn", find("mt"), "")


@pytest.mark.parametrize(("code", "folder"), [("sr", "srp_Latn"), ("no", "nor_Latn"), ("mt", "mlt_Latn")])
def test_a_folder_in_another_script_belongs_to_the_same_language(code: str, folder: str, tmp_path: Path) -> None:
    assert open_task("topic", str(write_topics(tmp_path / folder, "x")), find(code)).language == find(code).code


def test_configurations_are_listed_if_none_matches_the_language(published: Callable[..., str]) -> None:
    with pytest.raises(LrlError, match=r"has no configuration for Maltese \(mt\)\. It has: ro, yo\. Append one"):
        load_parts(published("ro", "yo"), "mlt_Latn", find("mt"), "")


def test_a_configuration_can_be_appended_to_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(identifier: str, configuration: str) -> Any:
        if configuration not in ("conceptnet", "web"):
            raise ValueError(configuration)
        return {"test": Dataset.from_dict({"text": [f"{identifier} {configuration}"]})}

    monkeypatch.setattr("lrltrain.evaluation.on_hub.load_dataset", load)
    monkeypatch.setattr("lrltrain.evaluation.on_hub.get_dataset_config_names", lambda _: ["conceptnet", "web"])
    sentences = open_sentences("org/lrl-mt/web", find("mt"))
    assert (sentences.name, sentences.sentences) == ("lrl-mt-web", ("org/lrl-mt web",))
    assert sentences.origin["id"] == "org/lrl-mt"
    with pytest.raises(InputError, match="has no configuration 'other'"):
        open_sentences("org/lrl-mt/other", find("mt"))
    with pytest.raises(InputError, match="Append one to the id, as in org/lrl-mt/conceptnet"):
        open_sentences("org/lrl-mt", find("mt"))


def test_an_adapter_for_a_user_defined_language_can_be_evaluated(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("".join(f"Az tolışi zıvonədə qəp jəydəm, {n}.\n" for n in range(200)), "utf-8")
    options = SMALL | {"text": tmp_path / "text.txt", "out": tmp_path / "ws", "cache": tmp_path / "cache"}
    folder = lrltrain.fit("ro", method="seq_bn", **options).path
    change(folder, language={"code": "tly", "name": "Talysh", "hub_code": "tly"})
    scores = lrltrain.evaluate(folder, data=tmp_path / "text.txt", limit=3, out=tmp_path / "ws", quiet=True)
    assert scores.to_frame()["language"].to_list() == ["tly"]
    plain = write_topics(tmp_path / "plain", "text")
    (scored,) = score(tmp_path / "ws", plain, adapter=[folder])
    assert scored.as_json()["language"] == "tly"
