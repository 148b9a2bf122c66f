"""Task data, scores and tokens: what is read and what is refused; and stacking task adapters on language adapters."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lrldata.errors import InputError
from lrldata.language import find, languages
from lrltrain.evaluation.features import CUT_OFF, NO_TOKEN, batches, decoded, featurize, first_tokens
from lrltrain.evaluation.items import LABELS, SPLITS, Items
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.overlap import contamination, overlap
from lrltrain.evaluation.own_labels import check_labels
from lrltrain.evaluation.statistics import span_counts
from lrltrain.evaluation.tasks import open_task
from lrltrain.models import find_base, load_model, load_tokenizer
from lrltrain.modules.insert import AdapterStack, insert, take_out
from lrltrain.modules.settings import Bottlenecks, LowRanks
from lrltrain.training.loss import IGNORED

BASE = find_base("lrl-mini")
TOKENIZER = load_tokenizer(BASE)
ROMANIAN = find("ro")
GOOD = {
    "topic": "index_id\tcategory\ttext\n1\tsports\tEchipa a câștigat.\n2\thealth\tMedicul vine.\n",
    "sentiment": "Un film minunat.\tpositive\n\nUn film slab.\tnegative\n",
    "ner": "Ion\tB-PER\nvine\tO\n\nla\tO\nCluj\tB-LOC\n",
}


def write(folder: Path, task: str, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        (folder / f"{split}.tsv").write_text(texts.get(split, GOOD[task]), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("task", "inside"), [("topic", "sib200/ron_Latn"), ("sentiment", "sa/ron_Latn/one"), ("ner", "")]
)
def test_a_task_is_read_from_its_own_folder_or_that_of_all_tasks(tmp_path: Path, task: Any, inside: str) -> None:
    write(tmp_path / inside, task)
    data = open_task(task, str(tmp_path), ROMANIAN)
    assert [len(data.splits[split].labels) for split in SPLITS] == [2, 2, 2]
    assert data.provenance["name"] == {"topic": "sib200", "sentiment": "one", "ner": tmp_path.name}[task]
    assert len(data.provenance["files"]) == 3
    if task == "ner":
        assert data.splits["train"].words == (("Ion", "vine"), ("la", "Cluj"))
        assert data.splits["train"].labels == (("B-PER", "O"), ("O", "B-LOC"))
    assert open_task(task, str(tmp_path), ROMANIAN, limit=1).provenance["counts"] == dict.fromkeys(SPLITS, 1)


def test_a_limit_samples_from_all_of_a_sorted_file(tmp_path: Path) -> None:
    rows = [f"Text {number}.\t{'positive' if number < 500 else 'negative'}" for number in range(1000)]
    write(tmp_path, "sentiment", **dict.fromkeys(SPLITS, "\n".join(rows)))
    larger, smaller = (open_task("sentiment", str(tmp_path), ROMANIAN, limit).splits["test"] for limit in (100, 40))
    assert 30 < larger.labels.count("positive") < 70
    assert set(smaller.texts) < set(larger.texts)  # the smaller sample is part of the larger one
    assert list(larger.texts) == sorted(larger.texts, key=lambda text: int(text[5:-1]))


def test_training_items_that_all_have_the_same_label_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "sentiment", train="Bun.\tpositive\nFrumos.\tpositive\n")
    data = open_task("sentiment", str(tmp_path), ROMANIAN)
    with pytest.raises(InputError, match=r"every item of its split train is 'positive'"):
        check_labels(data, data)
    data = open_task("ner", str(write(tmp_path / "ner" / "ron_Latn" / "one", "ner")), ROMANIAN)
    check_labels(data, data)


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("topic", "index_id\tcategory\ttext\n1\tcooking\tCeva.\n", "line 2 has the unknown label 'cooking'"),
        ("topic", "1\tsports\tCeva.\n", "line 1 has 1, sports, Ceva., not index_id"),
        ("topic", "index_id\tcategory\ttext\n", "contains no items"),
        ("sentiment", "Ceva.\tneutral\n", "line 1 has the unknown label 'neutral'"),
        ("sentiment", "Ceva.\tpositive\nCeva.\n", "line 2 has 1 columns, not 2"),
        ("sentiment", "", "contains no items"),
        ("ner", "Ion\tB-PER\nvine\tB-MISC\n", "line 2 has the unknown label 'B-MISC'"),
        ("ner", "Ion B-PER\n", "line 1 has 1 columns, not 2"),
    ],
)
def test_bad_data_is_refused_with_file_line_and_hint(tmp_path: Path, task: Any, text: str, message: str) -> None:
    write(tmp_path, task, test=text)
    with pytest.raises(InputError, match=r"test\.tsv") as error:
        open_task(task, str(tmp_path), ROMANIAN)
    assert message in str(error.value)
    assert error.value.hint


def test_a_folder_without_the_task_or_with_two_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no sa/ron_Latn/SET/train\.tsv"):
        open_task("sentiment", str(tmp_path), ROMANIAN)
    for name in ("one", "two"):
        write(tmp_path / "sa" / "ron_Latn" / name, "sentiment")
    with pytest.raises(InputError, match="several sets"):
        open_task("sentiment", str(tmp_path), ROMANIAN)
    (tmp_path / "sa" / "ron_Latn" / "one" / "dev.tsv").unlink()
    with pytest.raises(InputError, match="no such file"):
        open_task("sentiment", str(tmp_path / "sa" / "ron_Latn" / "one"), ROMANIAN)


def test_data_is_read_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value  # noqa: PLC0415

    requests: list[Any] = []
    names = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
    tagged = Features({"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=names))})
    sets = {
        "Davlan/sib200": Dataset.from_dict({"text": ["Ceva."], "category": ["sports"]}),
        "unimelb-nlp/wikiann": Dataset.from_dict({"tokens": [["la", "Cluj"]], "ner_tags": [[0, 5]]}, features=tagged),
        "dgurgurov/romanian_sa": Dataset.from_dict({"text": ["Bun."], "label": [1]}),
    }

    def load(identifier: str, configuration: str | None) -> Any:
        requests.append((identifier, configuration))
        return dict.fromkeys(("train", "validation", "test"), sets[identifier])

    monkeypatch.setattr("lrltrain.evaluation.on_hub.load_dataset", load)
    assert open_task("topic", None, ROMANIAN).splits["dev"].labels == ("sports",)
    assert open_task("ner", None, ROMANIAN).splits["test"].labels == (("O", "B-LOC"),)
    assert open_task("sentiment", None, ROMANIAN).splits["train"].labels == ("positive",)
    assert requests == [("Davlan/sib200", "ron_Latn"), ("unimelb-nlp/wikiann", "ro"), ("dgurgurov/romanian_sa", None)]
    with pytest.raises(InputError, match="cannot be loaded"):
        open_task("topic", "some/where", ROMANIAN)
    with pytest.raises(InputError, match="has no column 'category'"):
        open_task("topic", "dgurgurov/romanian_sa", ROMANIAN)


def test_all_languages_of_the_paper_have_a_sentiment_set() -> None:
    paper = [language for language in languages() if language.paper]
    assert len({language.sentiment for language in paper}) == len(paper) == 30


def test_scores_agree_with_counts_by_hand() -> None:
    gold, predicted = ["a", "a", "b", "c"], ["a", "b", "b", "b"]
    # F1 of a: precision 1/1, recall 1/2 -> 2/3; of b: precision 1/3, recall 1/1 -> 1/2; of c: 0
    assert scores("topic", gold, predicted) == pytest.approx({"macro_f1": (2 / 3 + 1 / 2) / 3, "accuracy": 0.5})
    tags = [("B-PER", "I-PER", "O"), ("B-LOC", "O", "B-ORG")]
    predicted_tags = [("B-PER", "O", "O"), ("B-LOC", "O", "B-LOC")]
    # three entities, three predicted, one of them complete and of the right type
    assert scores("ner", tags, predicted_tags) == pytest.approx({"f1": 1 / 3, "precision": 1 / 3, "recall": 1 / 3})
    assert scores("ner", [("O",)], [("O",)]) == {"f1": 0.0, "precision": 0.0, "recall": 0.0}


WORD = st.text(st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S")), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WORD, st.sampled_from(LABELS["ner"])), min_size=1, max_size=30), st.integers(8, 40))
def test_each_word_is_labelled_only_at_its_first_token(sentence: list[tuple[str, str]], max_length: int) -> None:
    words, tags = zip(*sentence, strict=True)
    features = featurize(TOKENIZER, Items((" ".join(words),), (tags,), (words,)), LABELS["ner"], max_length)
    assert features.first is not None
    ids, labels, first = features.ids[0], features.labels[0], features.first[0]
    present = first[first >= 0]
    assert len(ids) == len(labels) <= max_length
    assert len(first) == len(words)
    assert (np.diff(present) > 0).all()
    assert np.flatnonzero(labels != IGNORED).tolist() == present.tolist()
    assert [LABELS["ner"][number] for number in labels[present]] == [tags[word] for word in np.flatnonzero(first >= 0)]
    gold = decoded([np.where(labels == IGNORED, 1, labels)], features, LABELS["ner"])[0]
    missing = {NO_TOKEN: None, CUT_OFF: "O"}
    assert gold == tuple(tag if at >= 0 else missing[int(at)] for tag, at in zip(tags, first, strict=True))


def test_words_cut_off_differ_from_words_without_a_token() -> None:
    assert first_tokens([None, 0, 0, 2, None], 4, is_cut=True).tolist() == [1, NO_TOKEN, 3, CUT_OFF]
    assert first_tokens([None, 0, 0, 2, None], 4, is_cut=False).tolist() == [1, NO_TOKEN, 3, NO_TOKEN]


def test_a_word_without_a_token_does_not_split_an_entity() -> None:
    words, tags = ("Ana", "\u200b", "Pop", "merge"), ("B-PER", "I-PER", "I-PER", "O")
    items = Items((" ".join(words),), (tags,), (words,))
    features = featurize(TOKENIZER, items, LABELS["ner"], 64)
    perfect = decoded([np.where(features.labels[0] == IGNORED, 0, features.labels[0])], features, LABELS["ner"])
    assert perfect == [("B-PER", None, "I-PER", "O")]
    assert scores("ner", [tags], perfect)["f1"] == 1
    assert span_counts([tags], [perfect])[0, 0, 0].tolist() == [1, 1, 1]
    cut = decoded([np.full(4, 2)], replace(features, first=[np.array([1, CUT_OFF, CUT_OFF, CUT_OFF])]), LABELS["ner"])
    assert scores("ner", [tags], cut)["f1"] == 0, "a cut entity is not found"


@pytest.mark.parametrize("seed", [None, 3])
def test_batches_hold_each_item_once(seed: int | None) -> None:
    lengths = np.arange(1, 1_001)[::-1] % 97
    result = batches(lengths, 16, None if seed is None else np.random.default_rng(seed))
    assert sorted(np.concatenate(result).tolist()) == list(range(1_000))
    padding = sum(len(batch) * lengths[batch].max() - lengths[batch].sum() for batch in result) / lengths.sum()
    assert padding < 0.1


def test_planted_overlap_is_counted() -> None:
    train = ["Pisica doarme pe canapeaua mare din bucătăria casei de la țară.", "Altceva cu totul, fără legătură."]
    test = [
        "pisica  doarme pe canapeaua mare din bucătăria casei de la țară.",
        "Ieri pisica doarme pe canapeaua mare din bucătăria casei de la țară.",
        "Nimic din ce s-a mai scris până acum în vreun alt rând.",
    ]
    assert overlap(test, train, spaced=True) == {"items": 3, "exact": 1, "near": 2}
    assert overlap(test[2:], train, spaced=True) == {"items": 1, "exact": 0, "near": 0}


def test_items_that_occur_in_the_corpus_are_counted(workspace: Path) -> None:
    folder = workspace / "datasets" / "ro" / "conceptnet"
    from lrldata.dataset import open_dataset  # noqa: PLC0415

    rows = open_dataset(folder)[1].collect()
    train_texts = rows.filter(split="train")["text"].to_list()
    unseen = [text for text in rows.filter(split="test")["text"].to_list() if text not in train_texts]
    texts = (
        train_texts[0],
        train_texts[1].upper(),
        unseen[0],
        "Nimic din ce s-a mai scris până acum în vreun alt rând.",
    )
    counted = contamination(folder, Items(texts, ("sports",) * 4), ROMANIAN)
    assert (counted["items"], counted["found"], counted["whole"]) == (4, 2, 2)
    with pytest.raises(InputError, match="holds ro, not ug"):
        contamination(folder, Items(texts, ("sports",) * 4), find("ug"))


def test_stacking_on_lora_equals_stacking_on_the_merged_weights() -> None:
    model = load_model(BASE).eval()
    language = AdapterStack(model, LowRanks(rank=4, alpha=4), ["language"])
    task = AdapterStack(model, Bottlenecks(reduction_factor=16), ["task"])
    for parameter in (*language.parameters(), *task.parameters()):
        torch.nn.init.normal_(parameter, std=0.1)
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        insert(model, language, task)
        stacked = model.base_model(ids).last_hidden_state
        take_out(model)
        insert(model, task)
        task_only = model.base_model(ids).last_hidden_state
        for number, layer in enumerate(model.base_model.encoder.layer):
            for updates, name in ((language.queries, "query"), (language.values, "value")):
                update = updates[str(number)]
                weight = getattr(layer.attention.self, name).weight
                weight += update.lora_B[0] @ update.lora_A[0] * update.scaling
        merged = model.base_model(ids).last_hidden_state
    assert not torch.allclose(task_only, stacked, atol=1e-2)
    torch.testing.assert_close(merged, stacked, atol=1e-4, rtol=1e-3)


def test_the_real_sets_can_be_read(shared: Path) -> None:
    uyghur = find("ug")
    assert open_task("topic", str(shared), uyghur).provenance["counts"] == {"train": 701, "dev": 99, "test": 204}
    assert len(open_task("ner", str(shared), uyghur).splits["test"].labels) > 100
    assert (
        len(open_task("sentiment", str(shared / "sa" / "yor_Latn" / "yosm"), find("yo")).splits["test"].labels) == 500
    )


def test_quotes_are_read_as_sib200_writes_them(tmp_path: Path) -> None:
    rows = ['1\ttravel\t"Флотът (""Kriegsmarine"") бил силен."', "2\ttravel\tБез кавички."]
    for split in SPLITS:
        (tmp_path / f"{split}.tsv").write_text("\n".join(["index_id\tcategory\ttext", *rows]), "utf-8")
    data = open_task("topic", str(tmp_path), find("bg"))
    assert data.splits["test"].texts == ('Флотът ("Kriegsmarine") бил силен.', "Без кавички.")
