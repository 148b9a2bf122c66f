"""The command `lrltrain`: parse, call the recipe, print. What needs torch is imported when a command runs."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.markdown import Markdown

from lrldata import __version__
from lrldata.command import DEBUG_HELP, run, show_or_dump
from lrldata.errors import UsageError
from lrldata.languages import find
from lrldata.progress import Progress
from lrltrain.config import load_eval_config, load_fit_config

app = typer.Typer(
    help="Language adapters: train them, and measure what they did.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars, no log lines.")]
Config = Annotated[
    Path | None, typer.Option(help="Settings in TOML, by the names of these options; flags stand above it.")
]
Out = Annotated[Path | None, typer.Option(help="The workspace.", show_default="lrl-workspace")]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    if version:
        print(f"lrltrain {__version__}")
        raise typer.Exit
    _ = debug  # read from the arguments by `run`


@app.command("fit")
def fit_command(
    lang: Annotated[str | None, typer.Option(help="Code or name of the language: ug, uig_Arab, Uyghur.")] = None,
    source: Annotated[
        str | None, typer.Option(help="Source of the dataset in the workspace.", show_default="conceptnet")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset folder or Hub id, in place of the workspace's.")] = None,
    dataset_revision: Annotated[str | None, typer.Option(help="Revision of a dataset on the Hub.")] = None,
    text: Annotated[
        str | None, typer.Option(help="Plain text instead: FILE,FILE, a sentence or paragraph a line.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="Base model: folder, Hub id, or lrl-mini (built in).", show_default="FacebookAI/xlm-roberta-base"
        ),
    ] = None,
    base_revision: Annotated[str | None, typer.Option(help="Revision of the base model on the Hub.")] = None,
    base_id: Annotated[str | None, typer.Option(help="Public id of a base model that is given as a folder.")] = None,
    method: Annotated[
        str | None, typer.Option(help="seq_bn | seq_bn_inv | lora | full | fusion", show_default="seq_bn_inv")
    ] = None,
    adapters: Annotated[str | None, typer.Option(help="For fusion: DIR,DIR of adapters made before.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="paper-conceptnet | paper-glotcc | paper-llama; all below stands above it.")
    ] = None,
    objective: Annotated[str | None, typer.Option(help="mlm | clm", show_default="the model's")] = None,
    batching: Annotated[
        str | None,
        typer.Option(
            help="packed: lines share a block unseen by each other; joined: seen; line: one a block, as the paper.",
            show_default="packed",
        ),
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens a block.", show_default="256")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Blocks a step and process.", show_default="16")] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Batches whose gradients make a step.", show_default="1")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the optimizer.", show_default="2000")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak of the learning rate.", show_default="5e-4; full: 5e-5")
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Share of the steps in which the rate rises.", show_default="0.05")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay of AdamW.", show_default="0.01")] = None,
    reduction_factor: Annotated[
        float | None, typer.Option(help="Hidden size over bottleneck size.", show_default="16")
    ] = None,
    lora_r: Annotated[int | None, typer.Option(help="Rank of LoRA.", show_default="8")] = None,
    lora_alpha: Annotated[int | None, typer.Option(help="Scaling of LoRA.", show_default="8")] = None,
    mask_probability: Annotated[
        float | None, typer.Option(help="Share of tokens to predict.", show_default="0.15")
    ] = None,
    whole_word: Annotated[bool | None, typer.Option("--whole-word/--no-whole-word", help="Mask whole words.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout everywhere.", show_default="the model's")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order and masks.", show_default="42")] = None,
    eval_every: Annotated[
        int | None, typer.Option(help="Steps between evaluations, each a checkpoint.", show_default="a tenth")
    ] = None,
    eval_batch_size: Annotated[
        int | None, typer.Option(help="Blocks a batch of validation.", show_default="batch size")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto | fp32 | bf16 | fp16", show_default="auto: bf16 on a GPU")
    ] = None,
    torch_compile: Annotated[bool | None, typer.Option("--torch-compile", help="Compile the model.")] = None,
    tracker: Annotated[str | None, typer.Option(help="tensorboard,trackio,wandb", show_default="none")] = None,
    out: Out = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where tokenised text is kept.", show_default="the user's cache")
    ] = None,
    config: Config = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run", help="Say what would run: tokens, steps, parameters, memory, time.")
    ] = None,
    overwrite: Annotated[bool | None, typer.Option("--overwrite", help="Replace what is in the output folder.")] = None,
    resume: Annotated[
        bool | None, typer.Option("--resume", help="Go on with an unfinished run although settings differ.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train an adapter for a language. A killed run goes on when the same command is given again."""
    options = locals() | {}
    flags = {
        key: value for key, value in options.items() if key not in ("config", "as_json", "quiet") and value is not None
    }
    for listed in ("text", "adapters", "tracker"):
        if listed in flags:
            flags[listed] = _parts(f"--{listed}", flags[listed])
    settings = load_fit_config(config, flags)
    find(settings.lang)  # a typo should not wait for torch
    progress = Progress(quiet)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    with _libraries(progress):
        from lrltrain import show
        from lrltrain.estimate import estimate
        from lrltrain.fit import fit
    if settings.dry_run:
        estimated = estimate(settings, progress)
        show_or_dump(as_json, estimated, show.estimate(estimated))
        return
    result = fit(settings, progress)
    if os.environ.get("RANK", "0") == "0":
        show_or_dump(as_json, result.as_json(), show.fitted(result))
        if not as_json and result.status == "unchanged":
            print("Unchanged: the same text, base model and settings, so nothing was done. --overwrite trains again.")


@app.command("eval")
def eval_command(
    task: Annotated[
        str | None,
        typer.Option(
            help="pppl: pseudo-perplexity, or a decoder's perplexity | topic | sentiment | ner | all.",
            show_default="pppl",
        ),
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(help="DIR,DIR of adapters; in pppl each is compared with its base model.")
    ] = None,
    baselines: Annotated[
        str | None,
        typer.Option(
            help="Tasks: none (a task adapter alone), full (the workspace's fully fine-tuned), DIR of one; by commas."
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Base model: folder, Hub id or lrl-mini.", show_default="the adapter's")
    ] = None,
    base_revision: Annotated[str | None, typer.Option(help="Revision of the base model on the Hub.")] = None,
    base_id: Annotated[str | None, typer.Option(help="Public id of a base model that is given as a folder.")] = None,
    lang: Annotated[str | None, typer.Option(help="Language of the text.", show_default="the adapter's")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="pppl: flores (Hub), a Hub id, a folder of LANG.devtest files, a dataset folder (its test split), or a text file. Tasks: a folder of train.tsv, dev.tsv, test.tsv, one with sib200/, sa/, ner/ in it, or a Hub id.",
            show_default="the paper's, on the Hub",
        ),
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Tasks: dataset folder of the adapter's text; test items in it are counted.")
    ] = None,
    transfer_from: Annotated[
        str | None, typer.Option(help="Tasks: learn the task in this language, score in --lang.")
    ] = None,
    transfer_adapter: Annotated[
        Path | None, typer.Option(help="Tasks: adapter of that language, swapped for --adapter to score.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Tasks: seeds, by commas.", show_default="1,2,3")] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Tasks: epochs, of which the best on dev counts.", show_default="topic 20, else 25"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Tasks: items a step.", show_default="topic 16, else 8")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Tasks: peak of the rate; lrl-mini wants about 5e-3.", show_default="2e-5")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Tasks: of AdamW.", show_default="0.01")] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Tasks: share of the steps in which the rate rises.", show_default="0.05")
    ] = None,
    reduction_factor: Annotated[
        float | None, typer.Option(help="Tasks: hidden size over the task adapter's.", show_default="16")
    ] = None,
    formula: Annotated[
        str | None, typer.Option(help="pppl: corrected | paper | within_word_l2r", show_default="corrected")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many sentences, of each split.")] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="pppl: tokens a batch.", show_default="by device")] = None,
    max_length: Annotated[
        int | None,
        typer.Option(help="Longest sentence in tokens; the rest is cut.", show_default="pppl the model's, tasks 256"),
    ] = None,
    resamples: Annotated[
        int | None, typer.Option(help="pppl: resamples of the bootstrap.", show_default="1000")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="pppl: seed of the bootstrap.", show_default="42")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 | bf16 | auto", show_default="fp32")] = None,
    out: Out = None,
    config: Config = None,
    overwrite: Annotated[bool | None, typer.Option("--overwrite", help="Measure again.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure adapters: pseudo-perplexity with and without them, or the score of a task learned on top of them."""
    options = locals() | {}
    flags = {
        key: value for key, value in options.items() if key not in ("config", "as_json", "quiet") and value is not None
    }
    for listed in ("adapter", "baselines", "seeds"):
        if listed in flags:
            flags[listed] = _parts(f"--{listed}", flags[listed])
    settings = load_eval_config(config, flags)
    progress = Progress(quiet)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    began = time.perf_counter()
    with _libraries(progress):
        from lrltrain import show
        from lrltrain.evaluate.score_tasks import score_tasks
        from lrltrain.scores import evaluate
    tasks = score_tasks(settings, progress) if settings.task != "pppl" else []
    results = evaluate(settings, progress) if settings.measures_text else []
    value = {"scores": [each.as_json() for each in results], "tasks": [each.as_json() for each in tasks]}
    drawn = [*([show.task_scores(tasks)] if tasks else []), *([show.scores(results)] if results else [])]
    show_or_dump(as_json, value | {"seconds": round(time.perf_counter() - began, 3)}, Group(*drawn))


@app.command("prompt")
def prompt_command(
    lang: Annotated[str | None, typer.Option(help="Languages: ro | am,yo | paper.")] = None,
    task: Annotated[str | None, typer.Option(help="topic | sentiment", show_default="topic")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of test.tsv and train.tsv, or a parent: sib200/LANG_Script, sa/LANG_Script/SET."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Causal model: folder or Hub id; with --endpoint, its name there.")
    ] = None,
    model_revision: Annotated[str | None, typer.Option(help="Revision of the model on the Hub.")] = None,
    model_id: Annotated[str | None, typer.Option(help="Public id of a model that is given as a folder.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server to ask instead: https://HOST/v1.")
    ] = None,
    key_env: Annotated[
        str | None, typer.Option(help="Environment variable with its key.", show_default="OPENAI_API_KEY, if set")
    ] = None,
    form: Annotated[
        str | None, typer.Option(help="chat | completion", show_default="chat; of a local model completion")
    ] = None,
    shots: Annotated[
        int | None, typer.Option(help="Examples shown, drawn from train.tsv, balanced over labels.", show_default="0")
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="Own prompt in TOML, as prompting/templates/topic.toml.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many texts.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the examples.", show_default="42")] = None,
    normalise: Annotated[
        str | None, typer.Option(help="Local: sum of a label's log-probabilities, or mean a token.", show_default="sum")
    ] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="Local: tokens a batch.", show_default="by device")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Local: longest prompt in tokens; its text is cut.", show_default="the model's")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Local: auto | fp32 | bf16", show_default="auto: bf16 on a GPU")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Calls at once.", show_default="8")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for an answer.", show_default="60")] = None,
    patience: Annotated[
        float | None, typer.Option(help="Seconds to try again for, a call.", show_default="300")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the answers.", show_default="0")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer.", show_default="32")] = None,
    extra: Annotated[
        str | None, typer.Option(help="JSON object to add to each request; null takes a key away.")
    ] = None,
    price_in: Annotated[float | None, typer.Option(help="Price of a million tokens read.")] = None,
    price_out: Annotated[float | None, typer.Option(help="Price of a million tokens written.")] = None,
    out: Out = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where answers are kept, so that none is paid for twice.", show_default="the user's cache"),
    ] = None,
    config: Config = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run", help="Say how many calls there would be, and about how many tokens.")
    ] = None,
    overwrite: Annotated[
        bool | None, typer.Option("--overwrite", help="Score again; answers that are kept are not asked for again.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Prompt a language model about test sets. A killed run goes on when the same command is given again."""
    options = locals() | {}
    flags = {
        key: value for key, value in options.items() if key not in ("config", "as_json", "quiet") and value is not None
    }
    if extra is not None:
        flags["extra"] = _json("--extra", extra)
    from lrltrain.prompting.config import load_prompt_config

    settings = load_prompt_config(config, flags)
    progress = Progress(quiet)
    with _libraries(progress):
        from lrltrain.prompting import show
        from lrltrain.prompting.plan import plan
        from lrltrain.prompting.prompt import prompt
    if settings.dry_run:
        plans = plan(settings)
        show_or_dump(as_json, {"planned": [asdict(each) for each in plans]}, show.planned(plans))
        return
    runs = prompt(settings, progress)
    show_or_dump(as_json, {"runs": [show.as_json(run) for run in runs]}, show.prompted(runs))


def _json(flag: str, value: str) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except ValueError as error:
        raise UsageError(f"{flag}: no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise UsageError(f"{flag}: no JSON object.", "As '{\"top_p\": 1}'.")
    return found


@app.command("report")
def report_command(
    workspace: Annotated[Path, typer.Argument(help="The workspace, e.g. lrl-workspace.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to.", show_default="WORKSPACE/report")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write tables, plots and a page of all scores, with intervals, and with what is a gain by more than chance."""
    progress = Progress(quiet)
    with _libraries(progress):
        from lrltrain.results.recipe import report
    with progress.waiting("Counting"):
        reported = report(workspace, out)
    shown = f"{reported.scores} scores; of {reported.compared} comparisons {reported.gains} are gains and "
    shown += f"{reported.losses} losses by more than chance.\n"
    shown += f"{reported.page}: open it in a browser; it asks for nothing from the network."
    tables = Markdown((reported.page.parent / "results.md").read_text("utf-8"))
    show_or_dump(as_json, reported.as_json(), Group(tables, "", shown))


def _parts(flag: str, value: str) -> list[str]:
    parts = [part for part in value.split(",") if part]
    if not parts:
        raise UsageError(f"{flag}: nothing is named.")
    return parts


@contextmanager
def _libraries(progress: Progress) -> Iterator[None]:
    """Import what is slow, and say what to install where it is missing."""
    try:
        with progress.waiting("Loading libraries"):
            yield
    except ModuleNotFoundError as error:
        raise UsageError(f"training needs {error.name}.", "Use `pip install 'lrl[train]'`.") from error


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad usage; a traceback only with --debug."""
    run(app, "lrltrain")


if __name__ == "__main__":
    main()
