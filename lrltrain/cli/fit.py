"""The command `lrltrain fit`."""

from pathlib import Path
from typing import Annotated

import typer

from lrldata.cli.completion import complete_from, complete_languages
from lrldata.cli.options import Config, Json, typed_options
from lrldata.cli.run import show_or_dump
from lrldata.output import say
from lrldata.progress import Progress
from lrltrain.cli.options import BASES, BaseId, BaseRevision, Out, Quiet, libraries


def fit_command(
    lang: Annotated[
        str | None,
        typer.Option(
            help="Code or name of a language: ug, uig_Arab or Uyghur; or several: ug,mt,sw.",
            metavar="LANG,LANG",
            autocompletion=complete_languages,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Source of the dataset in the workspace, or several sources.", show_default="conceptnet"),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Dataset folder or Hub id, instead of a dataset in the workspace.")
    ] = None,
    dataset_revision: Annotated[str | None, typer.Option(help="Revision of a dataset on the Hub.")] = None,
    text: Annotated[
        str | None,
        typer.Option(help="Plain text files instead of a dataset: FILE,FILE, with one sentence or paragraph per line."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="Base model: a folder, a Hub id, or lrl-mini (built in).",
            show_default="FacebookAI/xlm-roberta-base",
            autocompletion=complete_from(*BASES),
        ),
    ] = None,
    base_revision: BaseRevision = None,
    base_id: BaseId = None,
    base_folder: Annotated[
        str | None,
        typer.Option(help="Name of the base model's folder in adapters/LANG.", show_default="last part of its id"),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            help="Name that distinguishes adapters of the same language, base model, source and method.",
            show_default="with several seeds: seed-N",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="seq_bn | seq_bn_inv | lora | full | fusion, or several",
            show_default="seq_bn_inv",
            autocompletion=complete_from("seq_bn", "seq_bn_inv", "lora", "full", "fusion"),
        ),
    ] = None,
    adapters: Annotated[
        str | None, typer.Option(metavar="DIR,DIR", help="Fusion: the trained adapters to fuse.")
    ] = None,
    fuse_invertible: Annotated[
        str | None,
        typer.Option(
            help="Fusion: which invertible adapter to use: that of the first adapter, or none: first | none",
            show_default="first",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Settings of the paper, overridden by other options: paper-conceptnet | paper-glotcc | paper-llama",
            autocompletion=complete_from("paper-conceptnet", "paper-glotcc", "paper-llama"),
        ),
    ] = None,
    objective: Annotated[str | None, typer.Option(help="mlm | clm", show_default="the model's")] = None,
    batching: Annotated[
        str | None,
        typer.Option(
            help="packed: lines share a block without attending to each other | joined: they attend to each other | line: one line per block.",
            show_default="packed",
        ),
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens per block.", show_default="256")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Blocks per batch and process.", show_default="16")] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Batches per step, whose gradients are accumulated.", show_default="1")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Number of optimizer steps.", show_default="2000")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate.", show_default="5e-4; full: 5e-5")
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Share of steps in which the learning rate rises.", show_default="0.05")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay of AdamW.", show_default="0.01")] = None,
    reduction_factor: Annotated[
        float | None, typer.Option(help="Hidden size divided by the bottleneck size.", show_default="16")
    ] = None,
    lora_r: Annotated[int | None, typer.Option(help="LoRA rank.", show_default="8")] = None,
    lora_alpha: Annotated[int | None, typer.Option(help="LoRA scaling (alpha).", show_default="8")] = None,
    mask_probability: Annotated[
        float | None, typer.Option(help="Share of tokens to predict.", show_default="0.15")
    ] = None,
    whole_word: Annotated[bool | None, typer.Option("--whole-word/--no-whole-word", help="Mask whole words.")] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Dropout rate of all layers.", show_default="the model's")
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(help="Seed of weights, data order and masks, or several seeds.", metavar="N,N", show_default="42"),
    ] = None,
    eval_every: Annotated[
        int | None,
        typer.Option(help="Steps between evaluations, which save checkpoints.", show_default="a tenth of the steps"),
    ] = None,
    eval_blocks: Annotated[
        int | None,
        typer.Option(help="Maximum number of blocks of the validation split to evaluate.", show_default="1000"),
    ] = None,
    eval_batch_size: Annotated[
        int | None, typer.Option(help="Blocks per validation batch.", show_default="batch size")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto | fp32 | bf16 | fp16", show_default="auto: bf16 on a GPU that supports it")
    ] = None,
    torch_compile: Annotated[bool | None, typer.Option("--torch-compile", help="Compile the model.")] = None,
    group: Annotated[
        str | None,
        typer.Option(help="How many of several adapters to train at once: auto | N.", show_default="auto"),
    ] = None,
    tracker: Annotated[
        str | None, typer.Option(help="Experiment trackers: tensorboard,trackio,wandb", show_default="none")
    ] = None,
    out: Out = None,
    cache: Annotated[
        Path | None, typer.Option(help="Cache folder for tokenized text.", show_default="the user's cache")
    ] = None,
    config: Config = None,
    dry_run: Annotated[
        bool | None,
        typer.Option(
            "--dry-run", help="Show what would run without training: tokens, steps, parameters, memory, time."
        ),
    ] = None,
    overwrite: Annotated[bool | None, typer.Option("--overwrite", "--force", help="Replace existing adapters.")] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume", help="Resume an unfinished run even if settings such as steps or learning rate have changed."
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train adapters for one or several languages. Run the same command again to resume."""
    flags = typed_options(locals(), lists=("text", "adapters", "tracker"))
    from lrldata.language import find
    from lrltrain.config import load_fit_configs

    settings = load_fit_configs(config, flags)
    for fit_config in settings:
        find(fit_config.lang)  # report a typo before importing torch
    progress = Progress(quiet)
    with libraries(progress):
        from lrltrain.cli import tables
        from lrltrain.fitting.estimate import estimate
        from lrltrain.fitting.groups import fit_all
        from lrltrain.training.processes import first_process
    several = len(settings) > 1
    if settings[0].dry_run and not first_process():
        return
    if settings[0].dry_run:
        estimated = [estimate(fit_config, progress) for fit_config in settings]
        show_or_dump(as_json, estimated if several else estimated[0], *map(tables.estimate, estimated))
        return
    results = fit_all(settings, progress)
    if first_process():
        output = [adapter.as_json() for adapter in results]
        show_or_dump(as_json, output if several else output[0], *map(tables.fitted, results))
        if not as_json and all(adapter.status == "unchanged" for adapter in results):
            say("Unchanged: text, base model and settings are the same, so nothing was done. --overwrite trains again.")
