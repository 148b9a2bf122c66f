"""Task data with its own labels, in the forms in which MasakhaNER, MasakhaNEWS, AfriSenti and CoNLL publish it."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value

from lrldata.errors import InputError, UsageError
from lrldata.language import find
from lrldata.progress import Progress
from lrltrain.config import load_eval_config
from lrltrain.evaluation.columns import Table, items_of
from lrltrain.evaluation.items import LABELS, SPLITS, Task, TaskData
from lrltrain.evaluation.score_tasks import TaskScore, score_tasks
from lrltrain.evaluation.tasks import open_task
from lrltrain.prompting.examples import open_test_sets

YORUBA = find("yo")
NEWS = "category\theadline\ttext\n" + "".join(
    f"{label}\tx\t{text} {n}\n" for n in range(4) for label, text in (("business", "owó ọjà"), ("religion", "àdúrà"))
)
TWEETS = "ID\ttweet\tlabel\n" + "".join(
    f"{n}\ttweet {n}\t{label}\n" for n, label in enumerate(["positive", "neutral"] * 3)
)
CONLL = """-DOCSTART- -X- -X- O

Adé NNP B-NP B-PER
dé VBD B-VP O
lọ́jọ́ NN B-NP S-DATE
Ajé NN I-NP E-DATE

# a comment
Ìbàdàn NNP B-NP U-LOC
"""


def write(folder: Path, text: str, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        (folder / f"{split}.tsv").write_text(texts.get(split, text), "utf-8")
    return folder


def score(out: Path, folder: Path, task: str, **options: Any) -> TaskScore:
    settings = {"lang": "yo", "base": "lrl-mini", "baselines": ["none"], "task": task, "data": str(folder), "out": out}
    settings |= {"seeds": [1], "epochs": 2, "batch_size": 2, "learning_rate": 5e-3, "labels": "data"}
    (task_score,) = score_tasks(load_eval_config(None, {**settings, **options}), Progress(quiet=True))
    return task_score


@pytest.mark.parametrize(
    ("task", "text", "labels"),
    [
        ("topic", NEWS, ("business", "religion")),
        ("sentiment", TWEETS, ("neutral", "positive")),
        ("ner", CONLL, ("O", "B-DATE", "I-DATE", "B-LOC", "I-LOC", "B-PER", "I-PER")),
        ("sentiment", "Ó dára.\tpositive\nKò dára.\tnegative\n", LABELS["sentiment"]),
        ("ner", "Adé\tB-PER\ndé\tO\n\n", LABELS["ner"]),
    ],
)
def test_labels_are_read_from_the_data_in_every_form(
    task: Any, text: str, labels: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = open_task(task, str(write(tmp_path, text)), YORUBA, own_labels=True)
    assert data.labels == labels
    stderr = capsys.readouterr().err
    assert ("uses its own labels" in stderr) is (labels != LABELS[task])
    assert data.provenance.get("labels", list(LABELS[task])) == list(labels)


def test_tags_in_other_schemes_are_read_as_iob(tmp_path: Path) -> None:
    items = open_task("ner", str(write(tmp_path, CONLL)), YORUBA, own_labels=True).splits["test"]
    assert items.words == (("Adé", "dé", "lọ́jọ́", "Ajé"), ("Ìbàdàn",))
    assert items.labels == (("B-PER", "O", "B-DATE", "I-DATE"), ("B-LOC",))


def test_the_text_column_is_found_by_its_name(tmp_path: Path) -> None:
    items = open_task("topic", str(write(tmp_path, NEWS)), YORUBA, own_labels=True).splits["train"]
    assert items.texts[:2] == ("owó ọjà 0", "àdúrà 0")


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("topic", "a\tb\tc\n", r"line 1 does not name a text and a label column: a, b, c\. The first line must name"),
        ("topic", "text\tlabel\nx\n", "line 2 has 1 columns, not 2"),
        ("sentiment", "text\tlabel\n", "contains no items"),
        ("ner", "Adé PER\n", r"line 1 has no token and tag: 'Adé PER'"),
        (
            "ner",
            "-DOCSTART- -X- -X- O\n\nIle O\nNew York B-LOC\nni O\n",
            r"line 4 has 3 columns, and most lines have 2: 'New York B-LOC'.*tabs",
        ),
        ("ner", "\n\n", "contains no items"),
        ("ner", "1\tAdé\tB-PER\n2\tni\tO\n", "its first column holds numbers"),
        (
            "topic",
            "headline\tcategory\nowó\tbusiness\n",
            "line 1 does not name a text and a label column: headline, category",
        ),
        (
            "sentiment",
            "".join(f"good\tday {n}\n" for n in range(99)),
            r"has 99 different labels in 99 items\. Are these texts",
        ),
    ],
)
def test_data_without_labels_is_refused_and_the_line_named(task: Any, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        open_task(task, str(write(tmp_path, text)), YORUBA, own_labels=True)


def test_other_labels_are_accepted_only_on_request(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown label 'neutral'.*--labels data to accept"):
        open_task("sentiment", str(write(tmp_path, "Ó wà.\tneutral\n")), YORUBA)


@pytest.mark.parametrize(("task", "text"), [("topic", NEWS), ("ner", CONLL)])
def test_a_task_with_its_own_labels_is_learned(task: str, text: str, tmp_path: Path) -> None:
    task_score = score(tmp_path / "ws", write(tmp_path / "data", text), task, epochs=12)
    run = task_score.runs[0]
    gold_labels = {tag for label in run.predictions["gold"] for tag in ([label] if isinstance(label, str) else label)}
    assert gold_labels & {"business", "B-DATE"}
    assert task_score.mean > 0.6, "the model is tested on its training items"


def test_no_transfer_between_sets_with_different_labels(tmp_path: Path) -> None:
    write(tmp_path / "sa" / "yor_Latn" / "one", TWEETS)
    write(tmp_path / "sa" / "amh_Ethi" / "one", TWEETS.replace("neutral", "mixed"))
    with pytest.raises(UsageError, match="the labels for am and yo differ"):
        score(tmp_path / "ws", tmp_path, "sentiment", transfer_from="am")


def test_labels_on_the_hub_are_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = ["O", "B-DATE", "I-DATE"]
    tagged = Features({"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=tags))})
    sets = {
        "a/ner": Dataset.from_dict({"tokens": [["lọ́jọ́", "Ajé"]], "ner_tags": [[1, 2]]}, features=tagged),
        "a/news": Dataset.from_dict({"headline": ["x"], "text": ["owó"], "label": ["business"]}),
    }

    def load(identifier: str, _: str | None) -> Any:
        return dict.fromkeys(("train", "validation", "test"), sets[identifier])

    monkeypatch.setattr("lrltrain.evaluation.on_hub.load_dataset", load)
    names = open_task("ner", "a/ner", YORUBA, own_labels=True)
    assert (names.labels, names.splits["test"].labels) == (tuple(tags), (("B-DATE", "I-DATE"),))
    news = open_task("topic", "a/news", YORUBA, own_labels=True)
    assert (news.labels, news.splits["test"].texts) == (("business",), ("owó",))


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("ner", "yo:Adé\tB-PER\nyo:ni\tO\n"),
        ("sentiment", '"Good" day he said\tpositive\nA "bad day\tnegative\n'),
        ("topic", 'index_id\tcategory\ttext\n1\tsports\t"He ""won"""\n2\thealth\tx\n'),
    ],
)
def test_data_in_the_usual_form_is_read_the_same_with_and_without_own_labels(
    task: Any, text: str, tmp_path: Path
) -> None:
    with_own, without = (
        open_task(task, str(write(tmp_path, text)), YORUBA, own_labels=own_labels) for own_labels in (True, False)
    )
    assert with_own == without


def test_comments_above_a_sentence_are_not_tokens(tmp_path: Path) -> None:
    text = "# text = I O\n# id 1\nAdé B-DATE\n# O\n"
    items = open_task("ner", str(write(tmp_path, text)), YORUBA, own_labels=True).splits["test"]
    assert items.words == (("Adé", "#"),)


def test_a_header_with_unknown_names_is_not_an_item(tmp_path: Path) -> None:
    rows = "".join(f"tweet {n}\t{('bad', 'good')[n % 2]}\n" for n in range(20))
    folder = write(tmp_path, "comment\tpolarity\n" + rows)
    with pytest.raises(InputError, match=r"line 1, comment \| polarity, has a unique label"):
        open_task("sentiment", str(folder), YORUBA, own_labels=True)
    assert len(open_task("sentiment", str(write(tmp_path, rows)), YORUBA, own_labels=True).splits["train"].labels) == 20


def test_an_item_with_several_labels_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "text\tlabel\n" + "".join(f"tweet {n}\t{('joy', 'fear', 'joy, fear')[n % 3]}\n" for n in range(9))
    open_task("sentiment", str(write(tmp_path, rows)), YORUBA, own_labels=True)
    assert "'joy, fear' is read as a single label" in capsys.readouterr().err
    columns = {"text": ["x"] * 2, "label": [["positive"], ["positive", "negative"]]}
    for own_labels in (True, False):
        with pytest.raises(InputError, match="emotions: row 2 has several labels"):
            items_of("sentiment", Table("emotions", list(columns), columns.__getitem__), own_labels=own_labels)


ROWS = [{"text": "Ó dára, púpọ̀", "label": "pos"}, {"text": "Kò dára", "label": "neg"}, {"text": "N/A", "label": "pos"}]
TOKENS = [{"tokens": ["Adé", "dé", "Èkó"], "ner_tags": ["B-PER", "O", "B-LOC"]}, {"tokens": ["Ó"], "ner_tags": ["O"]}]
NUMBERED = [{**row, "ner_tags": [LABELS["ner"].index(tag) for tag in row["ner_tags"]]} for row in TOKENS]


def as_jsonl(rows: list[dict[str, Any]]) -> str:
    return "\n\n".join(json.dumps(row) for row in rows)


def as_csv(rows: list[dict[str, Any]], separator: str) -> str:
    fields = [list(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(separator.join(f'"{value}"' for value in row) for row in fields)


def write_splits(folder: Path, ending: str, text: str) -> str:
    for split in ("train", "validation", "test"):
        (folder / f"{split}{ending}").write_text(text, "utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".csv", as_csv(ROWS, ",")),
        (".csv", as_csv(ROWS, ";")),
        (".jsonl", as_jsonl(ROWS)),
        (".json", json.dumps([{**row, "label": int(row["label"] == "pos")} for row in ROWS])),
        (".json", json.dumps([{**row, "label": [row["label"]]} for row in ROWS])),
    ],
)
def test_tables_are_read_like_datasets_on_the_hub(ending: str, text: str, tmp_path: Path) -> None:
    data = write_splits(tmp_path, ending, text)
    items = open_task("sentiment", data, YORUBA).splits["dev"]
    assert items.texts == tuple(row["text"] for row in ROWS)  # N/A is a text, not a missing value
    assert items.labels == ("positive", "negative", "positive")
    (test_set,) = open_test_sets(data, "sentiment", YORUBA, 0)
    assert tuple(example.text for example in test_set.test) == items.texts


@pytest.mark.parametrize(("rows", "own_labels"), [(TOKENS, False), (TOKENS, True), (NUMBERED, False)])
def test_tokens_and_tags_are_read_from_lists(rows: Any, own_labels: bool, tmp_path: Path) -> None:
    data = write_splits(tmp_path, ".jsonl", as_jsonl(rows))
    items = open_task("ner", data, YORUBA, own_labels=own_labels).splits["test"]
    assert items.words == (("Adé", "dé", "Èkó"), ("Ó",))
    assert items.labels == (("B-PER", "O", "B-LOC"), ("O",))
    in_parquet = tmp_path / "parquet"
    in_parquet.mkdir()
    for split in SPLITS:
        pl.DataFrame(rows).write_parquet(in_parquet / f"{split}.parquet")
    assert open_task("ner", str(in_parquet), YORUBA, own_labels=own_labels).splits["test"] == items


@pytest.mark.parametrize(
    ("ending", "text", "message"),
    [
        (".csv", "id,review\n1,x\n", r"train\.csv has no column 'text'\. It has id, review"),
        (".jsonl", as_jsonl([*ROWS, {"text": 5, "label": "pos"}]), r"train\.jsonl: line 7 has 5\.0 instead of a text"),
        (".jsonl", as_jsonl(ROWS) + "\n{", r"train\.jsonl: line 6 is not valid JSON.*Repair it"),
        (".csv", "text,label\nx, pos\ny,Fine\n", r"train\.csv: line 3 has the unknown label 'Fine'"),
        (".json", "[]", r"train\.json: contains no items"),
        (".csv", "text,label\n", r"train\.csv: contains no items"),
    ],
)
def test_faults_in_tables_are_named_with_their_line(ending: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        open_task("sentiment", write_splits(tmp_path, ending, text), YORUBA)


@pytest.mark.parametrize(
    ("task", "rows", "own_labels", "message"),
    [
        ("topic", [{"text": "a", "category": 3}], False, r"line 1 has the unknown label 3\."),
        (
            "ner",
            [{"tokens": ["a", None], "ner_tags": [0, 0]}] * 2,
            False,
            "every item has a null in tokens",
        ),
        ("ner", [{"tokens": None, "ner_tags": [0]}] * 2, False, "only nulls in its column 'tokens'"),
        (
            "sentiment",
            [{"text": "a", "score": 1}],
            True,
            "lacks a column with texts or one with labels",
        ),
    ],
)
def test_faults_of_a_table_are_described_as_they_are(
    task: Task, rows: Any, own_labels: bool, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        open_task(task, write_splits(tmp_path, ".jsonl", as_jsonl(rows)), YORUBA, own_labels=own_labels)


@pytest.mark.parametrize(
    ("line", "message"),
    [("Ó dára\tpos\tx", "line 3 has 3 columns, not 2"), ("Ó dára\t", "line 3 has an empty text or label")],
)
def test_a_line_without_a_label_is_named(line: str, message: str, tmp_path: Path) -> None:
    data = write_splits(tmp_path, ".tsv", f"text\tlabel\nKò dára\tneg\n{line}\n")
    with pytest.raises(InputError, match=message):
        open_task("sentiment", data, YORUBA, own_labels=True)


def test_labels_of_the_data_can_become_those_of_the_task() -> None:
    own = TaskData("sentiment", "yo", {}, {"name": "x", "labels": ["negative", "neutral", "positive"]}, ("neutral",))
    assert own.with_labels(("neutral",)) is own
    changed = own.with_labels(LABELS["sentiment"])
    assert (changed.labels, changed.own, changed.provenance) == (LABELS["sentiment"], None, {"name": "x"})
    assert changed.with_labels(("a", "b")).provenance == {"name": "x", "labels": ["a", "b"]}


def test_names_of_classes_in_parquet_files_are_used(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["positive", "negative"])})
    part = Dataset.from_dict({"text": ["Ó dára", "Kò dára"], "label": [0, 1]}, features=features)
    for split in SPLITS:
        part.to_parquet(tmp_path / f"{split}.parquet")
    for own_labels in (False, True):
        items = open_task("sentiment", str(tmp_path), YORUBA, own_labels=own_labels).splits["test"]
        assert items.labels == ("positive", "negative")


def test_numbers_are_labels_of_their_own_on_request(tmp_path: Path) -> None:
    data = write_splits(tmp_path, ".json", json.dumps([{"text": f"ọrọ {n}", "category": n % 4} for n in range(8)]))
    assert open_task("topic", data, YORUBA, own_labels=True).own == ("0", "1", "2", "3")


def test_files_of_a_set_have_one_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test.txt").write_text("a note\n", "utf-8")
    data = write_splits(tmp_path, ".csv", as_csv(ROWS, ","))
    assert len(open_task("sentiment", data, YORUBA).splits["test"].labels) == len(ROWS)
    lines = tmp_path / "lines"
    lines.mkdir()
    for name, count in (("train.tsv", 2), ("dev.txt", 3), ("validation.tsv", 4), ("test.tsv", 2)):
        (lines / name).write_text("Ó dára.\tpositive\nKò dára.\tnegative\n" * count, "utf-8")
    assert len(open_task("sentiment", str(lines), YORUBA).splits["dev"].labels) == 6
    assert "dev.txt: is read, and not validation.tsv." in capsys.readouterr().err


def test_empty_fields_of_a_table_are_skipped_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_splits(tmp_path, ".csv", "text,label\nx,pos\n,neg\ny,\n0,0\n")
    items = open_task("sentiment", data, YORUBA).splits["train"]
    assert (items.texts, items.labels, items.numbers) == (("x", "0"), ("positive", "negative"), (0, 3))
    assert "train.csv has 2 of 4 items with null in text or label: skipped." in capsys.readouterr().err


def test_tokens_keep_unusual_spaces_and_characters(tmp_path: Path) -> None:
    text = "# sent_id = 1\n# O\nKano B-LOC\n50\u00a0000 O\n\n"
    items = open_task("ner", str(write(tmp_path, text)), YORUBA, own_labels=True).splits["test"]
    assert items.words == (("#", "Kano", "50\u00a0000"),)


@pytest.mark.parametrize(
    "names",
    [
        ("train.txt", "dev.txt", "test.txt"),
        ("train.conll", "validation.tsv", "test.tsv"),
        ("train.tsv", "val.tsv", "test.tsv"),
    ],
)
def test_files_and_folders_are_found_under_other_common_names(names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "data/yor").mkdir(parents=True)
    for name in names:
        (tmp_path / "data/yor" / name).write_text(CONLL, "utf-8")
    data = open_task("ner", str(tmp_path / "data"), YORUBA, own_labels=True)
    assert [entry["path"] for entry in data.provenance["files"]] == list(names)
    with pytest.raises(InputError, match=r"has no train.tsv.* \(it has yor\)"):
        open_task("ner", str(tmp_path / "data"), find("ha"), own_labels=True)


def test_a_task_is_transferred_to_a_set_with_fewer_labels(tmp_path: Path) -> None:
    rows = "text\tlabel\n" + "".join(f"item {n}\t{('a', 'b', 'c')[n % 3]}\n" for n in range(12))
    write(tmp_path / "hau_Latn", rows)
    (tmp_path / "hau_Latn" / "train.tsv").write_text(rows.replace("\tc\n", "\tb\n"))  # a label that only dev has
    write(tmp_path / "yor_Latn", rows.replace("\tb\n", "\ta\n"))
    task_score = score(tmp_path / "out", tmp_path, "sentiment", transfer_from="ha")
    assert task_score.runs[0].manifest["data"]["labels"] == ["a", "b", "c"]
    with pytest.raises(UsageError, match="whose labels are all among the training labels"):
        score(tmp_path / "out", tmp_path, "sentiment", lang="ha", transfer_from="yo")


@pytest.mark.parametrize(
    ("task", "header", "used"),
    [
        ("sentiment", "text\tcategory\tsentiment", "sentiment"),
        ("topic", "text\tsentiment\tlabel\ttopic", "topic"),
        ("sentiment", "text\tcategory\tlabel", "label"),
    ],
)
def test_of_several_label_columns_the_one_named_like_the_task_is_used(
    task: Any, header: str, used: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = header.split("\t")
    rows = ["\t".join(["a text", *(f"{name}-{n % 2}" for name in names[1:])]) for n in range(4)]
    data = open_task(task, str(write(tmp_path, "\n".join([header, *rows]) + "\n")), YORUBA, own_labels=True)
    assert data.labels == (f"{used}-0", f"{used}-1")
    assert f"the label is the column {used!r}, not " in capsys.readouterr().err


def test_only_the_line_that_begins_a_document_is_left_out(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O\nAdé _ B-PER\n\n# _ B-DATE\nojó _ I-DATE\n\n# id = B-1\n-DOCSTART- -X- O\nÌbàdàn _ B-LOC\n"
    items = open_task("ner", str(write(tmp_path, text)), YORUBA, own_labels=True).splits["test"]
    assert items.words == (("Adé",), ("#", "ojó"), ("Ìbàdàn",))


def test_numbers_of_parts_and_additions_are_no_tokens(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its first column holds numbers"):
        open_task("ner", str(write(tmp_path, "1-2\tx\tO\n1\tx\tB-PER\n2.1\tx\tO\n")), YORUBA, own_labels=True)


@pytest.mark.parametrize("own", [False, True])
def test_quoting_is_removed_only_from_files_that_have_it_throughout(own: bool, tmp_path: Path) -> None:
    quoted = '"Ó ní ""dára"""\tpositive\nKò dára.\tnegative\n'
    chance = '"Ó dára."\tpositive\nÓ ní "rárá"\tnegative\n'
    files = {"train": quoted, "dev": chance, "test": quoted}
    splits = open_task("sentiment", str(write(tmp_path / "sa", "", **files)), YORUBA, own_labels=own).splits
    assert splits["train"].texts == ('Ó ní "dára"', "Kò dára.")
    assert splits["dev"].texts == ('"Ó dára."', 'Ó ní "rárá"')
    tokens = {"train": '""""\tO\nAdé\tB-PER\n', "dev": '"\tO\n"Adé"\tB-PER\n', "test": '","\tO\nAdé\tB-PER\n'}
    splits = open_task("ner", str(write(tmp_path / "ner", "", **tokens)), YORUBA, own_labels=own).splits
    assert [items.words for items in splits.values()] == [(('"', "Adé"),), (('"', '"Adé"'),), ((",", "Adé"),)]


def test_labels_that_are_never_learned_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"item {n}\t{'Positive' if n % 2 else 'Negative'}\n" for n in range(6))
    folder = write(tmp_path / "a", f"text\tlabel\n{rows}", test=f"text\tlabel\n{rows.lower()}")
    with pytest.raises(InputError, match=r"split test has no label of the training data: 'negative', 'positive'\."):
        score(tmp_path / "ws", folder, "sentiment")
    folder = write(tmp_path / "b", f"text\tlabel\n{rows}", test=f"text\tlabel\n{rows}x\tneutral\n")
    score(tmp_path / "ws", folder, "sentiment")
    assert "labels that the training data lacks, so they are never predicted: 'neutral'" in capsys.readouterr().err
    folder = write(tmp_path / "d", "text\tlabel\na\tx\nb\ty\n", test="text\tlabel\nc\tz\n")
    score(tmp_path / "ws", folder, "sentiment", limit=2)  # a sample may lack labels
    folder = write(tmp_path / "c", "Adé\tB-PER\ndé\tO\n", dev="Adé\tO\ndé\tO\n")
    with pytest.raises(InputError, match="split dev has no entities"):
        score(tmp_path / "ws", folder, "ner")


def test_a_task_is_transferred_to_a_set_with_only_labels_of_the_task(tmp_path: Path) -> None:
    write(tmp_path / "ner" / "hau_Latn", "Kano B-LOC\njiya B-DATE\nne O\n")
    write(tmp_path / "ner" / "yor_Latn", "Ìbàdàn B-LOC\nni O\n")
    task_score = score(tmp_path / "out", tmp_path, "ner", transfer_from="ha")
    assert task_score.runs[0].manifest["data"]["labels"] == ["O", "B-DATE", "I-DATE", "B-LOC", "I-LOC"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("masakhane/data/yor", "masakhane"),
        ("news/yor", "news"),
        ("sib200/yor_Latn", "sib200_own_labels"),
        ("sa/yor_Latn/tweets", "tweets"),
    ],
)
def test_a_set_has_a_name_of_its_own(folder: str, name: str, tmp_path: Path) -> None:
    write(tmp_path / folder, NEWS)
    assert open_task("topic", str(tmp_path / folder), YORUBA, own_labels=True).provenance["name"] == name
    (test_set,) = open_test_sets(tmp_path / folder, "topic", YORUBA, 0, own_labels=True)
    assert (test_set.name, test_set.provenance["name"]) == (name, name)
