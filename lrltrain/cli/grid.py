"""The commands `lrltrain grid` and `lrltrain status`."""

from pathlib import Path
from typing import Annotated

import typer

from lrldata.cli.options import Json, typed_options
from lrldata.cli.run import show_or_dump
from lrltrain.cli.options import Quiet
from lrltrain.grid.options import EngineName, Options


def grid_command(
    study: Annotated[Path, typer.Argument(help="The study: a TOML file such as recipes/demo.toml.")],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run only these jobs and their dependencies: lang=ug,method=lora. Repeatable."),
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="Where to run jobs: processes on this machine, or a Ray cluster.")
    ] = EngineName.LOCAL,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of concurrent jobs of the local engine.", show_default="by cores, memory and GPUs"
        ),
    ] = None,
    jobs_per_gpu: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Jobs that share a GPU.",
            show_default="similar fits as a group; other jobs as memory allows, at most 4",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of a Ray cluster: auto | HOST:PORT.", show_default="RAY_ADDRESS, or a new local cluster"
        ),
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="How often to retry a failed job.")] = 1,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check finished files by hash, not only by size and time."),
    ] = False,
    out: Annotated[
        str | None, typer.Option(help="The workspace.", show_default="the study's, or lrl-workspace")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for downloads and intermediate files.", show_default="the study's, or the user's"),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the jobs as a tree, with GPU hours and bytes, without running them."),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a whole study: datasets, adapters, scores and report. Run the same command again to resume."""
    from lrltrain.grid import show
    from lrltrain.grid.config import load_grid_config
    from lrltrain.grid.grid import grid, planned
    from lrltrain.grid.records import records_of

    config = load_grid_config(study, typed_options({"out": out, "cache": cache}))
    options = Options(
        engine=engine,
        workers=workers,
        address=address,
        jobs_per_gpu=jobs_per_gpu,
        retries=retries,
        verify=verify,
        only=tuple(only or ()),
    )
    jobs = planned(config, options.only)
    records = records_of(config.out, config.cache)
    if dry_run:
        records.fetch(["grid/jobs"])
        done = {job.id for job in jobs if records.is_done(job)}
        show_or_dump(as_json, show.plan_as_json(jobs, done), show.plan(jobs, done))
        return
    outcome = grid(config, options, show.progress_printer(len(jobs), quiet=quiet), jobs)
    show_or_dump(as_json, outcome.as_json(), show.outcome(jobs, outcome.state, records))
    outcome.checked(records)


def status_command(
    workspace: Annotated[
        str, typer.Argument(help="The workspace of a study: a folder, or s3://BUCKET/FOLDER.")
    ] = "lrl-workspace",
    cache: Annotated[
        Path | None, typer.Option(help="The cache folder of the study.", show_default="the user's")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the status of a study: jobs that are done, running, failed and left, and the remaining time."""
    from platformdirs import user_cache_path

    from lrltrain.grid import show
    from lrltrain.grid.records import records_of

    records = records_of(workspace, cache or user_cache_path("lrl"))
    output, value = show.status(*records.read_plan(), records)
    show_or_dump(as_json, value, output)
