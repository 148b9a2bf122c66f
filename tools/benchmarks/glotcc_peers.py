"""Programs timed by bench_glotcc.py, each in a separate process: datatrove, fastText, datasketch and our MinHash.

    python tools/benchmarks/glotcc_peers.py datatrove FOLDER OUT LABEL THRESHOLD spacy|split
    python tools/benchmarks/glotcc_peers.py fasttext FOLDER
    python tools/benchmarks/glotcc_peers.py datasketch|datasketch-xxh32 FILE OUT
    python tools/benchmarks/glotcc_peers.py near FILE OUT

FOLDER contains JSONL shards with id, url and text, and FILE is one such shard. The output is written to OUT; for
MinHash, it is the number of the first document in each document's cluster (.npy). Each command prints a JSON object in
which `seconds` is the time without start-up and reading (for datatrove, reading is a stage and included).
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

MODEL = str(files("lrldata.langid").joinpath("compact.ftz"))  # the same model for all
STOP_WORDS = 8  # like Gopher's list for English
WORDS_WITH_LETTERS = 0.5  # share; Gopher's 0.8 assumes that punctuation does not count as words
SHINGLE, BANDS, ROWS, SIMILAR = 5, 14, 8, 0.75  # as in lrldata/web/minhash.py


def texts_of(path: Path) -> list[str]:
    """Return the texts of a JSONL file, or of all JSONL files in a folder, in order."""
    shards = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    return [json.loads(line)["text"] for shard in shards for line in shard.read_bytes().splitlines()]


def run_fasttext(folder: Path) -> dict[str, Any]:
    """Only identify the language of whole documents, with the model in the form that a build uses."""
    import fasttext

    from lrldata.langid.dense import with_full_matrix
    from lrldata.langid.modelfile import read_layout

    texts = texts_of(folder)
    with with_full_matrix(Path(MODEL), read_layout(Path(MODEL))) as full:
        model = fasttext.load_model(str(full))
    began = time.perf_counter()
    labels, _ = model.predict([text.replace("\n", " ") for text in texts])
    return {"seconds": time.perf_counter() - began, "documents": len(labels)}


# --- datatrove ---------------------------------------------------------------------------------------------


def run_datatrove(folder: Path, out: Path, label: str, threshold: float, tokenizer: str) -> dict[str, Any]:
    """Run datatrove's filters and MinHash in the same order as FineWeb, one task at a time."""
    from datatrove.executor import LocalPipelineExecutor
    from loguru import logger

    logger.remove()  # by default, it logs to standard error
    words = _tokenizer(tokenizer)
    common = Counter(chain.from_iterable(text.split() for text in texts_of(folder)))
    stop_words = [word for word, _ in common.most_common(STOP_WORDS)]
    began = time.perf_counter()
    stages = []
    steps = chain(_filters(folder, out, label, threshold, words, stop_words), _deduplication(out, words))
    for index, (pipeline, tasks) in enumerate(steps):
        logs = str(out / f"logs{index}")
        result = LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=logs).run()
        for step in result.stats:
            counts = [int(step.stats[kind].total) if kind in step.stats else None for kind in ("total", "forwarded")]
            stages.append([_plain_name(step.name), step.time_stats.total, *counts])
    return {"seconds": time.perf_counter() - began, "stages": stages}


def _filters(
    folder: Path, out: Path, label: str, threshold: float, words: Any, stop_words: Sequence[str]
) -> Iterator[tuple[list[Any], int]]:
    from datatrove.pipeline import filters
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    # It requires fasttext-numpy2-wheel, which would overwrite the module of fasttext-community.
    filters.LanguageFilter._requires_dependencies = []  # noqa: SLF001
    language = filters.LanguageFilter([label], threshold)
    language.model = _local_model(label)
    yield (
        [
            JsonlReader(str(folder)),
            language,
            filters.GopherRepetitionFilter(language=words),
            filters.GopherQualityFilter(
                language=words, stop_words=list(stop_words), max_non_alpha_words_ratio=WORDS_WITH_LETTERS
            ),
            filters.C4QualityFilter(language=words, filter_no_terminal_punct=False),
            filters.FineWebQualityFilter(language=words),
            PIIFormatter(),
            JsonlWriter(str(out / "filtered"), compression=None),
        ],
        1,
    )


def _deduplication(out: Path, words: Any) -> Iterator[tuple[list[Any], int]]:
    from datatrove.pipeline import dedup
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig

    # SHA-1, like FineWeb: xxhash 4 does not accept what datatrove passes to it.
    config = MinhashConfig(
        n_grams=SHINGLE, num_buckets=BANDS, hashes_per_bucket=ROWS, hash_config=HashConfig(hash_fc="sha1")
    )
    filtered, signatures, buckets, removed = (str(out / name) for name in ("filtered", "signed", "pairs", "removed"))
    yield [JsonlReader(filtered), dedup.MinhashDedupSignature(signatures, config, language=words)], 1
    yield [dedup.MinhashDedupBuckets(signatures, buckets, config=config)], BANDS  # it requires one task per bucket
    yield [dedup.MinhashDedupCluster(buckets, removed, config)], 1
    final = JsonlWriter(str(out / "final"), compression=None)
    yield [JsonlReader(filtered), dedup.MinhashDedupFilter(removed), final], 1


def _plain_name(step: str) -> str:
    """Return a step's name without emoji: "Language ID" for `x - FILTER: x Language ID`, "reader" for a reader."""
    kind, _, name = step.partition(": ")
    return kind.split()[-1].lower() if name.endswith("Jsonl") else name.split(" ", 1)[-1]


def _local_model(label: str) -> Any:
    from datatrove.utils.lid import FastTextLID

    class LocalModel(FastTextLID):
        """datatrove's language identification with a model from a file."""

        @property
        def model(self) -> Any:
            """Return the model, loading it on first use."""
            if self._model is None:
                import fasttext

                self._model = fasttext.load_model(MODEL)
            return self._model

    return LocalModel([label])


def _tokenizer(name: str) -> Any:
    """Return spaCy's multilingual tokenizer, which datatrove uses for most languages, or one that uses `str.split`.

    For Maltese and Uyghur, datatrove uses Stanza, which downloads its models and is much slower.
    """
    from datatrove.utils.word_tokenizers import SpaCyTokenizer, WhitespaceTokenizer, WordTokenizer

    class SplitTokenizer(WhitespaceTokenizer):
        """Splits words at spaces, and sentences by datatrove's pattern."""

        def word_tokenize(self, text: str) -> list[str]:
            """Return the words."""
            return text.split()

    tokenizer: WordTokenizer = SpaCyTokenizer("xx") if name == "spacy" else SplitTokenizer()
    return tokenizer


# --- MinHash -----------------------------------------------------------------------------------------------


def run_near(file: Path, out: Path) -> dict[str, Any]:
    """Cluster documents with lrldata/web/minhash.py, like our pipeline."""
    import numpy as np
    import polars as pl

    from lrldata.web.minhash import clusters, signatures

    texts = pl.Series(texts_of(file))
    began = time.perf_counter()
    first = clusters(signatures(texts, spaced=True))
    seconds = time.perf_counter() - began
    np.save(out, first)
    return {"seconds": seconds}


def run_datasketch(file: Path, out: Path, hashed_by: str) -> dict[str, Any]:
    """Cluster documents with datasketch, with the same shingles, permutations, bands and verification as ours.

    Uses the bulk API, its fastest. `hashed_by` is "xxh32"; any other value selects SHA-1, its slower default.
    """
    import numpy as np
    from datasketch import MinHash, MinHashLSH
    from xxhash import xxh32_intdigest

    texts = texts_of(file)
    began = time.perf_counter()
    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    shingled = ([shingle.encode() for shingle in shingles_of(text)] for text in texts)
    function = xxh32_intdigest if hashed_by == "xxh32" else None
    digests = MinHash.bulk(shingled, num_perm=BANDS * ROWS, hashfunc=function)
    first = list(range(len(texts)))

    def root(document: int) -> int:
        while first[document] != document:
            first[document] = first[first[document]]
            document = first[document]
        return document

    for number, digest in enumerate(digests):
        for other in index.query(digest):
            first_root, second_root = root(number), root(other)
            if first_root != second_root and digest.jaccard(digests[other]) >= SIMILAR:
                first[max(first_root, second_root)] = min(first_root, second_root)
        index.insert(number, digest, check_duplication=False)
    cluster_firsts = [root(document) for document in range(len(texts))]
    seconds = time.perf_counter() - began
    np.save(out, np.array(cluster_firsts))
    return {"seconds": seconds}


def shingles_of(text: str) -> list[str]:
    """Return the shingles that minhash.py compares; a text shorter than a shingle is a single shingle."""
    words = [word for word in text.lower().split(" ") if word]
    return [" ".join(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1))]


def main() -> None:
    """Run the command given by the arguments."""
    match sys.argv[1:]:
        case ["datatrove", folder, out, label, threshold, tokenizer]:
            result = run_datatrove(Path(folder), Path(out), label, float(threshold), tokenizer)
        case ["fasttext", folder]:
            result = run_fasttext(Path(folder))
        case ["near", file, out]:
            result = run_near(Path(file), Path(out))
        case ["datasketch" | "datasketch-xxh32" as variant, file, out]:
            result = run_datasketch(Path(file), Path(out), variant.partition("-")[2])
        case _:
            sys.exit(__doc__)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
