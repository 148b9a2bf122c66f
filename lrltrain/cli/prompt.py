"""The command `lrltrain prompt`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from lrldata.cli.options import Config, Json, typed_options
from lrldata.cli.run import show_or_dump
from lrldata.errors import UsageError
from lrldata.progress import Progress
from lrltrain.cli.options import Out, Quiet, libraries


def prompt_command(
    lang: Annotated[str | None, typer.Option(help="Languages: ro | am,yo | paper.")] = None,
    task: Annotated[str | None, typer.Option(help="topic | sentiment", show_default="topic")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder of test.tsv and train.tsv (or .csv, .jsonl, .json, .parquet), a parent folder with sib200/LANG_Script or sa/LANG_Script/SET, or an id on the Hub.",
            show_default="the paper's data on the Hub",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Causal model: a folder or a Hub id; with --endpoint, its name on the server. Not needed with --answers or --export-lm-eval."
        ),
    ] = None,
    adapter: Annotated[Path | None, typer.Option(help="Local: folder of an adapter to load into the model.")] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Label set: task (SIB-200's topics, positive and negative) | data (the labels in the data).",
            show_default="task",
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            help="Score recorded answers instead: a table with columns text and answer, or a folder of LANG_Script.tsv files."
        ),
    ] = None,
    model_revision: Annotated[str | None, typer.Option(help="Revision of the model on the Hub.")] = None,
    model_id: Annotated[
        str | None, typer.Option(help="Public id of a model given as a folder, or of the model that gave --answers.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server to use instead: https://HOST/v1.")
    ] = None,
    key_env: Annotated[
        str | None,
        typer.Option(
            help="Environment variable with the server's API key; not allowed in settings files.",
            show_default="OPENAI_API_KEY, if set",
        ),
    ] = None,
    allow_http: Annotated[
        bool | None, typer.Option("--allow-http", help="Allow sending the key over http://, where others may read it.")
    ] = None,
    form: Annotated[
        str | None, typer.Option(help="chat | completion", show_default="chat; for a local model completion")
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            help="Number of examples in the prompt, sampled from train.tsv and balanced over labels.", show_default="0"
        ),
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="Custom prompt in TOML, in the format of prompting/templates/topic.toml.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Maximum number of texts, sampled at random; the same in each run.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the examples.", show_default="42")] = None,
    normalise: Annotated[
        str | None,
        typer.Option(
            help="Local: score labels by the sum of their log-probabilities, or the mean per token: sum | mean",
            show_default="sum",
        ),
    ] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="Local: tokens per batch.", show_default="by device")] = None,
    max_length: Annotated[
        int | None,
        typer.Option(help="Local: maximum tokens per prompt; longer texts are truncated.", show_default="the model's"),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Local: auto | fp32 | bf16 | fp16", show_default="auto: bf16 on a GPU that supports it"),
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Number of concurrent calls.", show_default="8")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for an answer.", show_default="60")] = None,
    patience: Annotated[
        float | None, typer.Option(help="Seconds to keep retrying each call.", show_default="300")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature.", show_default="0")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Maximum tokens per answer.", show_default="32")] = None,
    extra: Annotated[str | None, typer.Option(help="JSON object to add to each request; null removes a key.")] = None,
    price_in: Annotated[float | None, typer.Option(help="Price per million input tokens.")] = None,
    price_out: Annotated[float | None, typer.Option(help="Price per million output tokens.")] = None,
    export_lm_eval: Annotated[
        Path | None,
        typer.Option(help="Do not prompt: write test sets and prompts to a folder, as tasks of lm-evaluation-harness."),
    ] = None,
    out: Out = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Cache folder for answers, so that none is paid for twice.", show_default="the user's cache"),
    ] = None,
    config: Config = None,
    dry_run: Annotated[
        bool | None,
        typer.Option(
            "--dry-run", help="Show the number of calls and the approximate number of tokens without making calls."
        ),
    ] = None,
    overwrite: Annotated[
        bool | None,
        typer.Option("--overwrite", "--force", help="Score again; cached answers are reused."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Prompt a language model on test sets. Run the same command again to resume."""
    flags = typed_options(locals())
    if extra is not None:
        flags["extra"] = _parse_json("--extra", extra)
    from lrltrain.prompting.config import load_prompt_config

    settings = load_prompt_config(config, flags)
    progress = Progress(quiet)
    with libraries(progress):
        from lrltrain.prompting import show
        from lrltrain.prompting.plan import plan
        from lrltrain.prompting.prompt import prompt
    if settings.export_lm_eval:
        from lrltrain.prompting.lm_eval import export

        tasks = export(settings, settings.export_lm_eval)
        show_or_dump(
            as_json,
            {"tasks": [asdict(exported) | {"file": str(exported.file)} for exported in tasks]},
            show.exports_table(tasks),
        )
        return
    if settings.dry_run:
        plans = plan(settings)
        show_or_dump(as_json, {"planned": [asdict(planned) for planned in plans]}, show.plans_table(plans))
        return
    runs = prompt(settings, progress)
    show_or_dump(as_json, {"runs": [show.as_json(run) for run in runs]}, show.runs_table(runs))


def _parse_json(flag: str, value: str) -> dict[str, Any]:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{flag}: not JSON: {error}.") from error
    if not isinstance(parsed, dict):
        raise UsageError(f"{flag}: not a JSON object.", "Example: '{\"top_p\": 1}'.")
    return parsed
