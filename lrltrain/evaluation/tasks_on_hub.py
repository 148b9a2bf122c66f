"""Task data from the Hub: SIB-200, WikiANN, and any set of texts with positive and negative labels. IO."""

from typing import Any

from lrldata.errors import InputError
from lrldata.language import Language
from lrltrain.evaluation.columns import Table, class_names, items_of
from lrltrain.evaluation.items import PUBLISHED, SPLIT_NAMES, SPLITS, Items, Task, TaskData, counts
from lrltrain.evaluation.on_hub import load_parts, split_id


def load_task(task: Task, identifier: str | None, language: Language, *, own_labels: bool = False) -> TaskData:
    """Load a task's data from the Hub; without an id, the set that the paper used. Raises InputError.

    With `own_labels`, all labels are accepted.
    """
    paper, configuration = {
        "topic": (PUBLISHED["topic"], language.sib200),
        "ner": (PUBLISHED["ner"], language.wikiann),
        "sentiment": (language.sentiment, None),
    }[task]
    is_known = configuration is not None or task == "sentiment"
    set_id = identifier or (paper if is_known else None)
    if set_id is None:
        raise InputError(f"No data for {task} in {language.name} is known on the Hub.", "Give a folder with --data.")
    parts, configuration = load_parts(set_id, configuration, language, "Give a folder of its files with --data FOLDER.")
    splits: dict[str, Items] = {}
    for split in SPLITS:
        source_split = next((name for name in SPLIT_NAMES[split] if name in parts), None)
        if source_split is None:
            raise InputError(f"{set_id}: has no split {split}.", f"It has: {', '.join(parts)}.")
        table = _table(f"{set_id}: split {source_split}", parts[source_split])
        splits[split] = items_of(task, table, own_labels=own_labels)
    digests = {split: items.digest for split, items in splits.items()}
    identifier, _ = split_id(set_id)
    name = identifier.rsplit("/", maxsplit=1)[-1]
    provenance = {"name": name, "id": identifier, "configuration": configuration, "counts": counts(splits)}
    return TaskData(task, language.code, splits, provenance | {"sha256": digests})


def _table(place: str, rows: Any) -> Table:
    return Table(place, rows.column_names, rows.__getitem__, names_of=lambda column: class_names(rows.features[column]))
