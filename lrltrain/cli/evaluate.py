"""The command `lrltrain eval`."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from lrldata.cli.options import Config, Json, typed_options
from lrldata.cli.run import show_or_dump
from lrldata.progress import Progress
from lrltrain.cli.options import BaseId, BaseRevision, Out, Quiet, libraries


def eval_command(
    task: Annotated[
        str | None,
        typer.Option(
            help="pppl (pseudo-perplexity, or perplexity of a decoder) | topic | sentiment | ner | all.",
            show_default="pppl",
        ),
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(metavar="DIR,DIR", help="Adapters; with pppl, each is compared with its base model.")
    ] = None,
    baselines: Annotated[
        str | None,
        typer.Option(
            help="Tasks: comma-separated baselines: none (only a task adapter), full (the workspace's fully fine-tuned models), or the DIR of one."
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Base model: a folder, a Hub id, or lrl-mini (built in).", show_default="the adapter's"),
    ] = None,
    base_revision: BaseRevision = None,
    base_id: BaseId = None,
    lang: Annotated[str | None, typer.Option(help="Language of the text.", show_default="the adapter's")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="pppl: flores (Hub), a Hub id, a folder of LANG_Script.devtest files, a dataset folder (its test split), or a file (text, or a table with a column `text`). Tasks: a folder of train.tsv, dev.tsv and test.tsv (or .csv, .jsonl, .json, .parquet), a folder that contains sib200/, sa/ or ner/, or a Hub id.",
            show_default="the paper's, on the Hub",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Tasks: label set: task (SIB-200's topics, positive and negative, WikiANN's tags) | data (the labels in the data).",
            show_default="task",
        ),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Tasks: dataset folder with the adapter's training text; counts the test items that occur in it."
        ),
    ] = None,
    transfer_from: Annotated[
        str | None, typer.Option(help="Tasks: learn the task in this language and score it in --lang.")
    ] = None,
    transfer_adapter: Annotated[
        Path | None,
        typer.Option(help="Tasks: adapter of the --transfer-from language; replaced by --adapter for scoring."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(metavar="N,N", help="Tasks: seeds.", show_default="1,2,3")] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Tasks: number of epochs; the best one on dev is used.", show_default="topic 20, else 25"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Tasks: items per step.", show_default="topic 16, else 8")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Tasks: peak learning rate; lrl-mini needs about 5e-3.", show_default="2e-5")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Tasks: weight decay of AdamW.", show_default="0.01")
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Tasks: share of steps in which the learning rate rises.", show_default="0.05")
    ] = None,
    reduction_factor: Annotated[
        float | None,
        typer.Option(help="Tasks: hidden size divided by the task adapter's bottleneck size.", show_default="16"),
    ] = None,
    learn_fusion: Annotated[
        bool | None,
        typer.Option(
            "--learn-fusion", help="Tasks: reinitialize a fusion's layers and train them on the task, as in the paper."
        ),
    ] = None,
    formula: Annotated[
        str | None, typer.Option(help="pppl: corrected | paper | within_word_l2r", show_default="corrected")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of sentences: the first ones for pppl; a random sample of each split for tasks."
        ),
    ] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="pppl: tokens per batch.", show_default="by device")] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            help="Maximum tokens per sentence; longer ones are truncated.",
            show_default="pppl: the model's, at most 512, decoders 4096; tasks: 256",
        ),
    ] = None,
    resamples: Annotated[
        int | None, typer.Option(help="pppl: number of bootstrap resamples.", show_default="1000")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="pppl: bootstrap seed.", show_default="42")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 | bf16 | auto", show_default="fp32")] = None,
    out: Out = None,
    config: Config = None,
    overwrite: Annotated[
        bool | None, typer.Option("--overwrite", "--force", help="Measure again even if results exist.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure adapters: perplexity with and without them, or the score of a task learned on top of them."""
    flags = typed_options(locals(), lists=("adapter", "baselines", "seeds"))
    from lrltrain.config import load_eval_config

    settings = load_eval_config(config, flags)
    progress = Progress(quiet)
    start = time.perf_counter()
    with libraries(progress):
        from lrltrain.cli import tables
        from lrltrain.evaluation.measure import measure
        from lrltrain.scores import Scores
    tasks, results = measure(settings, progress)
    value = Scores(tuple(results), tuple(tasks)).as_json()
    output = [*([tables.task_scores(tasks)] if tasks else []), *([tables.scores(results)] if results else [])]
    show_or_dump(as_json, value | {"seconds": round(time.perf_counter() - start, 3)}, Group(*output))
