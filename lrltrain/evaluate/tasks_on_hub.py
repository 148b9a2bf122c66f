"""The data of a task from the Hub: SIB-200, WikiANN, and any set of texts with positive and negative labels. IO."""

from typing import Any

from datasets import load_dataset

from lrldata.errors import InputError
from lrldata.languages import Language
from lrltrain.evaluate.tasks import LABELS, SPLITS, Items, Task, TaskData, counts

TOPIC, NER = "Davlan/sib200", "unimelb-nlp/wikiann"
SPLIT_NAMES = {"train": ("train",), "dev": ("validation", "dev", "valid"), "test": ("test",)}
COLUMNS = {"topic": ("text", "category"), "sentiment": ("text", "label"), "ner": ("tokens", "ner_tags")}


def load_task(task: Task, identifier: str | None, language: Language) -> TaskData:
    """Load a task's data from the Hub; without an id the set that the paper used. Raises InputError."""
    paper, configuration = {
        "topic": (TOPIC, language.sib200),
        "ner": (NER, language.wikiann),
        "sentiment": (language.sentiment, None),
    }[task]
    known = configuration is not None or task == "sentiment"
    chosen = identifier or (paper if known else None)
    if chosen is None:
        raise InputError(f"No data for {task} in {language.name} is known on the Hub.", "Give a folder with --data.")
    try:
        parts = load_dataset(chosen, configuration)
    except Exception as error:
        first = str(error).strip().split("\n")[0][:200]
        raise InputError(
            f"{chosen}: cannot be loaded from the Hub: {first}", "Give a folder of its files with --data FOLDER."
        ) from error
    splits: dict[str, Items] = {}
    for split in SPLITS:
        found = next((name for name in SPLIT_NAMES[split] if name in parts), None)
        if found is None:
            raise InputError(f"{chosen}: has no split {split}.", f"It has: {', '.join(parts)}.")
        splits[split] = _items(task, chosen, parts[found])
    digests = {split: items.digest for split, items in splits.items()}
    name = chosen.rsplit("/", maxsplit=1)[-1]
    provenance = {"name": name, "id": chosen, "configuration": configuration, "counts": counts(splits)}
    return TaskData(task, language.code, splits, provenance | {"sha256": digests})


def _items(task: Task, identifier: str, rows: Any) -> Items:
    inputs, labels = COLUMNS[task]
    for column in (inputs, labels):
        if column not in rows.column_names:
            held = ", ".join(rows.column_names)
            raise InputError(
                f"{identifier}: has no column {column!r}.", f"It has {held}; {task} wants {COLUMNS[task]}."
            )
    names = _names(rows.features[labels])
    if task == "ner":
        kept = [(words, tags) for words, tags in zip(rows[inputs], rows[labels], strict=True) if words]
        words = tuple(tuple(sentence) for sentence, _ in kept)
        gold = tuple(tuple(_label(task, identifier, tag, names) for tag in tags) for _, tags in kept)
        return Items(tuple(map(" ".join, words)), gold, words)
    kept = [(text, label) for text, label in zip(rows[inputs], rows[labels], strict=True) if text and text.strip()]
    return Items(
        tuple(text.strip() for text, _ in kept), tuple(_label(task, identifier, label, names) for _, label in kept)
    )


def _names(feature: Any) -> list[str] | None:
    """Return the names behind numbers, from a ClassLabel or a list of them."""
    inner = getattr(feature, "feature", feature)
    return getattr(inner, "names", None)


def _label(task: Task, identifier: str, value: Any, names: list[str] | None) -> str:
    if isinstance(value, int):
        numbered = names or list(LABELS[task])  # without names, 0 is negative and 1 positive, and tags are WikiANN's
        value = numbered[value] if 0 <= value < len(numbered) else value
    label = str(value).lower() if task != "ner" else str(value)
    label = {"pos": "positive", "neg": "negative", "0": "negative", "1": "positive"}.get(label, label)
    if label not in LABELS[task]:
        raise InputError(f"{identifier}: has the unknown label {value!r}.", f"Known: {', '.join(LABELS[task])}.")
    return label
