"""Recipes and the jobs they expand to: counts, identities, selections, mistakes. No job is run."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clients import ACCOUNTS, TOKEN, free_port, point_at
from grids import write_recipe
from huggingface_hub import HfApi
from transformers import AutoConfig, AutoModel

from hub_cards.local_hub import start
from lrldata.errors import UsageError
from lrldata.language import find
from lrltrain.config import FitConfig
from lrltrain.costs import FALLBACK, KNOWN, shape_from, step_memory
from lrltrain.evaluation.pseudo_perplexity import TOKENS_PER_BATCH
from lrltrain.grid import cost, places
from lrltrain.grid.config import load_grid_config
from lrltrain.grid.cost import cost_of
from lrltrain.grid.grid import check_libraries
from lrltrain.grid.job import Job, job_of
from lrltrain.grid.jobs import jobs_of
from lrltrain.grid.options import EngineName
from lrltrain.grid.records import Record, Records, records_of
from lrltrain.grid.schedule import Schedule
from lrltrain.grid.select import select
from lrltrain.grid.show import status
from lrltrain.training.loss import ROWS

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def jobs(file: Path) -> list[Job]:
    return jobs_of(load_grid_config(file, {}))


def test_the_recipe_of_the_paper_has_the_counts_of_the_paper() -> None:
    all_jobs = jobs(RECIPES / "paper.toml")
    fits = Counter(
        (job.labels["source"], job.labels["model"], job.labels["method"]) for job in all_jobs if job.kind == "fit"
    )
    encoders = ("google-bert/bert-base-multilingual-cased", "FacebookAI/xlm-roberta-base")
    for source in ("conceptnet", "glotcc"):
        for model in encoders:
            assert [fits[source, model, method] for method in ("seq_bn", "seq_bn_inv", "lora", "full")] == [30] * 4
        assert fits[source, "meta-llama/Meta-Llama-3-8B", "seq_bn_inv"] == 5
    assert [fits["glotcc", model, "fusion"] for model in encoders] == [30, 30]
    assert sum(fits.values()) == 480 + 60 + 10
    assert Counter(job.kind for job in all_jobs)["build"] == 60
    scored = Counter((job.labels["task"], job.labels["model"]) for job in all_jobs if job.kind == "eval")
    for model in encoders:  # 9 adapters and the base model alone
        assert scored["pppl", model] == 30 * 10
        assert scored["topic", model] == scored["sentiment", model] == scored["ner", model] == 30 * 10 * 3
    assert scored["pppl", "meta-llama/Meta-Llama-3-8B"] == 5 * 3
    assert len({job.id for job in all_jobs}) == len(all_jobs)
    settings = {
        job.labels["source"]: job.settings for job in all_jobs if job.kind == "fit" and job.labels["method"] == "lora"
    }
    assert {name: values["preset"] for name, values in settings.items()} == {
        "conceptnet": "paper-conceptnet",
        "glotcc": "paper-glotcc",
    }


def test_documents_take_longer_than_lines(tmp_path: Path) -> None:
    lines_recipe = (RECIPES / "paper.toml").read_text("utf-8")
    documents_recipe = lines_recipe.replace("\n[build.glotcc]", '\n[build.glotcc]\nunit = "documents"')
    documents_recipe = documents_recipe.replace('preset = "paper-glotcc"', 'preset = "paper-glotcc"\nmax-length = 512')
    hours = []
    for number, text in enumerate((lines_recipe, documents_recipe)):
        (tmp_path / f"{number}.toml").write_text(text)
        all_jobs = jobs(tmp_path / f"{number}.toml")
        fits = [job for job in all_jobs if job.kind == "fit" and job.labels.get("method") == "lora"]
        by_source = {job.labels["source"]: cost_of([job], all_jobs).gpu_seconds for job in fits}
        hours.append((by_source["conceptnet"], by_source["glotcc"]))
    assert hours[0][0] == hours[1][0]
    assert hours[1][1] > 3 * hours[0][1]


def test_every_shipped_recipe_can_be_planned() -> None:
    assert len([job for job in jobs(RECIPES / "demo.toml") if job.kind == "fit"]) == 3 * 2
    all_jobs = jobs(RECIPES / "all-languages.toml")
    built = {job.labels["lang"] for job in all_jobs if job.kind == "build"}
    assert len(built) > 350
    evaluated = {job.labels["lang"] for job in all_jobs if job.labels.get("task") == "pppl"}
    assert {code for code in evaluated if find(code).flores is None} == set(), "only languages in FLORES-200"
    assert len(evaluated) > 100
    assert cost_of(all_jobs).gpu_seconds > 0


def test_jobs_follow_their_dependencies_and_are_the_same_each_time(tmp_path: Path) -> None:
    all_jobs = jobs(write_recipe(tmp_path, tmp_path / "out"))
    assert Counter(job.kind for job in all_jobs) == {"build": 2, "fit": 4, "eval": 6, "report": 1}
    seen: set[str] = set()
    for job in all_jobs:
        assert set(job.needs) <= seen
        seen.add(job.id)
        assert job_of(job.as_json()) == job
    assert jobs(write_recipe(tmp_path, tmp_path / "elsewhere")) == all_jobs, "a workspace can be moved"


def test_a_changed_setting_changes_only_what_depends_on_it(tmp_path: Path) -> None:
    before = {job.name: job.id for job in jobs(write_recipe(tmp_path, tmp_path))}

    def changed(**options: int) -> set[str]:
        after = {job.name: job.id for job in jobs(write_recipe(tmp_path, tmp_path, **options))}
        return {name.split()[0] for name in before if before[name] != after[name]}

    assert changed() == set()
    assert changed(resamples=300) == {"eval", "report"}
    assert changed(steps=5) == {"fit", "eval", "report"}
    names = {job.name for job in jobs(write_recipe(tmp_path, tmp_path, steps=5)) if job.id not in before.values()}
    assert "eval bg none lrl-mini none pppl" not in names


def test_a_changed_file_changes_the_jobs_that_read_it(tmp_path: Path) -> None:
    recipe, text = write_recipe(tmp_path, tmp_path), tmp_path / "text.txt"
    text.write_text("One.\n")
    recipe.write_text(recipe.read_text().replace("steps = 4", f'steps = 4\ntext = ["{text}"]'))
    before = [job.id for job in jobs(recipe) if job.kind == "fit"]
    text.write_text("One.\nTwo.\n")
    assert not set(before) & {job.id for job in jobs(recipe) if job.kind == "fit"}


def test_a_folder_that_lacks_a_language_is_not_taken_for_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sib" / "bg").mkdir(parents=True)
    recipe = write_recipe(tmp_path, tmp_path)
    recipe.write_text(recipe.read_text().replace('"datasets/{lang}/conceptnet"', '"sib/{lang}"'))
    with pytest.raises(UsageError, match=r"\[eval\] pppl: data: sib/mt: no such file or folder"):
        jobs(recipe)
    (tmp_path / "sib" / "bg").rename(tmp_path / "sib" / "a-model")
    assert jobs(recipe), "a folder with the owner's name may contain anything else"


@pytest.mark.parametrize(
    ("library", "engine", "message"),
    [
        ("torch", EngineName.LOCAL, r"training needs torch\. .*'\.\[train\]'"),
        ("ray", EngineName.RAY, r"--engine ray needs ray\. .*'\.\[train,ray\]'"),
    ],
)
def test_a_missing_library_is_named_before_any_job_starts(
    library: str, engine: EngineName, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_jobs = jobs(write_recipe(tmp_path, tmp_path))
    check_libraries([job for job in all_jobs if job.kind == "build"], EngineName.LOCAL)
    monkeypatch.setattr("lrltrain.grid.grid.find_spec", lambda name: None if name == library else name)
    check_libraries([job for job in all_jobs if job.kind == "build"], EngineName.LOCAL)
    with pytest.raises(UsageError, match=message):
        check_libraries(all_jobs, engine)


def test_a_missing_tracker_is_named_before_any_job_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("fit", {}, {"tracker": ["wandb"]})
    monkeypatch.setattr("lrltrain.config.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="wandb is not installed"):
        check_libraries([job], EngineName.LOCAL)


def test_a_part_can_be_selected_with_its_dependencies(tmp_path: Path) -> None:
    all_jobs = jobs(write_recipe(tmp_path, tmp_path))
    selected = select(all_jobs, ["lang=bg,method=lora"])
    assert sorted(job.name for job in selected) == [
        "build bg conceptnet",
        "eval bg conceptnet lrl-mini lora pppl",
        "fit bg conceptnet lrl-mini lora",
        "report",
    ]
    assert Counter(job.kind for job in select(all_jobs, ["lang=bg", "lang=mt"])) == Counter(
        job.kind for job in all_jobs
    )
    for selection, message in (
        (["lang"], "LABEL=VALUE"),
        (["tongue=bg"], "The labels are"),
        (["lang=ro"], "There are bg, mt"),
    ):
        with pytest.raises(UsageError, match=message):
            select(all_jobs, selection)


def test_each_training_seed_has_its_own_adapter(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path)
    before = jobs(recipe)
    recipe.write_text(recipe.read_text().replace("steps = 4", "steps = 4\nseeds = [5, 7]"))
    all_jobs = jobs(recipe)
    fits = [job for job in all_jobs if job.kind == "fit"]
    assert len(fits) == 2 * len([job for job in before if job.kind == "fit"])
    assert {(job.settings["seed"], job.settings["variant"]) for job in fits} == {(5, "seed-5"), (7, "seed-7")}
    homes = {places.home_of(job): job.id for job in fits}
    assert len(homes) == len(fits)
    assert all(str(home).endswith(("-seed-5", "-seed-7")) for home in homes)
    for job in all_jobs:
        if job.kind == "eval" and "adapter" in job.settings:
            assert homes[job.settings["adapter"][0]] in job.needs
    assert [job.name for job in select(all_jobs, ["lang=bg,method=lora,train_seed=7"]) if job.kind == "fit"] == [
        "fit bg conceptnet lrl-mini lora 7"
    ]
    recipe.write_text(recipe.read_text().replace("seeds = [5, 7]", "seeds = [5]"))
    assert {job.settings.get("variant") for job in jobs(recipe) if job.kind == "fit"} == {None}, (
        "a single seed is not a variant"
    )


def test_the_recipe_in_the_how_to_guide_can_be_planned(tmp_path: Path) -> None:
    page = (RECIPES.parent / "docs" / "how-to" / "studies.md").read_text("utf-8")
    text = page.split("```toml\n")[1].split("```")[0].replace('data = "sib200/{flores}"', "epochs = 1")
    (tmp_path / "study.toml").write_text(text)
    all_jobs = jobs(tmp_path / "study.toml")
    assert len([job for job in all_jobs if job.kind == "fit"]) == 2 * 3 * (2 * 2 + 1)
    (tmp_path / "study.toml").write_text(text.replace("seeds = [1, 2, 3]\nfuse", "fuse"))
    with pytest.raises(UsageError, match=r"needs seq_bn_inv adapters of two sources .* with the same seeds"):
        jobs(tmp_path / "study.toml")


def test_a_language_without_evaluation_data_is_left_out(tmp_path: Path) -> None:
    fits = '[[fit]]\nsources = ["glotcc", "conceptnet"]\nmodels = ["lrl-mini"]\nmethods = ["lora"]\n'
    data = '[eval]\ntasks = ["pppl"]\n[eval.pppl]\ndata = "datasets/{lang}/glotcc"\n'
    (tmp_path / "study.toml").write_text(f'languages = "ro,chr"\n[build.glotcc]\n[build.conceptnet]\n{fits}{data}')
    all_jobs = jobs(tmp_path / "study.toml")
    assert {job.labels["lang"] for job in all_jobs if job.kind == "eval"} == {"ro"}
    assert {job.labels["lang"] for job in all_jobs if job.kind == "fit"} == {"ro", "chr"}, "Cherokee has no GlotCC text"


def test_data_in_the_workspace_are_an_input_however_their_path_is_written(tmp_path: Path) -> None:
    fits = '[[fit]]\nsources = ["glotcc"]\nmodels = ["lrl-mini"]\nmethods = ["lora"]\n'
    studies = []
    for number, data in enumerate(("datasets/{lang}/glotcc", "{workspace}/datasets/{lang}/glotcc")):
        table = f'[eval]\ntasks = ["pppl"]\n[eval.pppl]\ndata = "{data}"\n'
        study = tmp_path / f"{number}.toml"
        study.write_text(f'languages = "ro"\nout = "{tmp_path / "w"}"\n[build.glotcc]\n{fits}{table}')
        studies.append(jobs(study))
    assert [job.id for job in studies[0]] == [job.id for job in studies[1]]
    build = next(job.id for job in studies[1] if job.kind == "build")
    assert all(build in job.needs for job in studies[1] if job.kind == "eval")


@pytest.mark.parametrize(
    ("table", "fits"),
    [
        ('[build.web]\ninput = "own/{lang}"\n', ""),
        ('[build.glotcc]\ninput = "own/{lang}"\n', ""),
        ("", 'text = ["own/{lang}"]\n'),
    ],
)
def test_a_language_without_text_is_left_out(
    table: str, fits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = "glotcc" if "glotcc" in table else "web"
    recipe = f'languages = "ro,mt"\n{table}[[fit]]\nsources = ["{source}"]\nmodels = ["lrl-mini"]\nmethods = ["lora"]\n'
    (tmp_path / "study.toml").write_text(recipe + fits)
    with pytest.raises(UsageError, match=r"^\[.*: own/ro: no such file or folder"):
        jobs(tmp_path / "study.toml")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mt").write_text("text\n")
    assert {job.labels["lang"] for job in jobs(tmp_path / "study.toml") if job.kind in ("build", "fit")} == {"mt"}
    (tmp_path / "own" / "ro").write_text("text\n")
    assert {job.labels["lang"] for job in jobs(tmp_path / "study.toml") if job.kind == "fit"} == {"ro", "mt"}


def test_a_fit_in_a_language_that_the_study_does_not_build_uses_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = '[[fit]]\nlanguages = "tr"\nsources = ["glotcc"]\nmodels = ["lrl-mini"]\nmethods = ["lora"]\n'
    (tmp_path / "study.toml").write_text(f'languages = "mt"\n[build.glotcc]\n{fits}')
    (fit,) = [job for job in jobs(tmp_path / "study.toml") if job.kind == "fit"]
    assert fit.labels["lang"] == "tr"
    assert not fit.needs
    manifest = tmp_path / "lrl-workspace/datasets/tr/glotcc/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    monkeypatch.chdir(tmp_path)
    (other,) = [job for job in jobs(tmp_path / "study.toml") if job.kind == "fit"]
    assert (list(other.given), other.id != fit.id) == (["datasets/tr/glotcc"], True)


def test_a_fusion_uses_the_adapters_with_its_seed(tmp_path: Path) -> None:
    table = (
        '[[fit]]\nsources = ["glotcc", "conceptnet"]\nmodels = ["lrl-mini"]\nmethods = ["seq_bn_inv"]\nseeds = [1, 2]\n'
    )
    fusion_table = '[[fit]]\nsources = ["glotcc"]\nmodels = ["lrl-mini"]\nmethods = ["fusion"]\nseeds = [1, 2]\n'
    file = tmp_path / "study.toml"
    file.write_text(f'languages = "mt"\n{table}{fusion_table}')
    fusions = [job for job in jobs(file) if job.labels.get("method") == "fusion"]
    assert [job.settings["adapters"] for job in fusions] == [
        [f"adapters/mt/lrl-mini/{source}-seq_bn_inv-seed-{seed}" for source in ("glotcc", "conceptnet")]
        for seed in (1, 2)
    ]
    file.write_text(f'languages = "mt"\n{table}{fusion_table.replace("[1, 2]", "[3, 4]")}')
    with pytest.raises(UsageError, match="with the same seeds"):
        jobs(file)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 4", "stepps = 4", r"\[\[fit\]\] 1: .*unknown key 'stepps'.*'steps'"),
        ("steps = 4", "steps = 0", r"\[\[fit\]\] 1: --steps"),
        ("steps = 4", 'method = ["full"]', r"\[\[fit\]\] 1: method: is set by the study; did you mean 'methods'\?$"),
        (
            "steps = 4",
            "seed = [1, 2]",
            r"\[\[fit\]\] 1: seed: must be one number; use seeds = \[1, 2, 3\] to train several",
        ),
        ("steps = 4", "seeds = [1, 1]", r"\[\[fit\]\] 1: seeds: contains a seed twice"),
        ("[eval]", "[eval]\nseed = [1]", "eval: seed: unknown key; did you mean 'seeds'"),
        ("[eval]", "[eval.pppl]\nepoch = 1\n[eval]", r"^\[eval\], pppl: unknown key 'epoch'. Did you mean 'epochs'"),
        ("steps = 4", 'variant = "x"', "variant: is set by the study, one per seed"),
        ("sample = true", "smaple = true", r"\[build.conceptnet\]: .*'sample'"),
        ('["seq_bn_inv", "lora"]', '["seq_bn", "lore"]', r"recipe.toml: \[\[fit\]\] 1: methods.1"),
        ('["seq_bn_inv", "lora"]', '["fusion"]', "needs seq_bn_inv adapters of two sources"),
        ('["seq_bn_inv", "lora"]', '["lora", "lora"]', "occurs twice, in this table or one above"),
        ("resamples = 200", "resamples = 1", "--resamples"),
        ('languages = "bg,mt"', 'languages = "bg,klingon"', "Unknown language 'klingon'"),
        ('languages = "bg,mt"', 'langs = "bg"', "unknown key 'langs'"),
        ("[eval]", "[eval.pppl]\nbatch-size = 4\n[eval]", r"\[eval\], pppl: --batch-size applies only to tasks"),
        ("[eval]", "[eval.topik]\nepochs = 1\n[eval]", "topik: no such task; did you mean topic"),
        ("[eval]", "[eval.topic]\nseeds = [7]\n[eval]", r"topic\.seeds: applies to all tasks"),
        ("[eval]", '[push]\nnamespce = "my-org"\n[eval]', "unknown key 'namespce'; did you mean 'namespace'"),
        ("[eval]", '[eval.pppl]\ndata = "x"\n[eval]', r"\[eval\] pppl: data: x: no such file or folder"),
        ("[eval]", '[eval.pppl]\ndata = "./no/such"\n[eval]', "no such file or folder"),
        (
            '"datasets/{lang}/conceptnet"',
            '"datasets/{lang}/{source}"',
            "datasets/bg/none: the study builds no such dataset",
        ),
        ('"datasets/{lang}/conceptnet"', '"datasets/mine"', r"for a folder of your own, write \./datasets/mine"),
    ],
)
def test_mistakes_in_a_recipe_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    recipe = write_recipe(tmp_path, tmp_path)
    recipe.write_text(recipe.read_text().replace(old, new))
    with pytest.raises(UsageError, match=message):
        jobs(recipe)


def test_a_decoder_that_would_learn_a_task_is_refused_before_any_job_starts(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path)
    text = recipe.read_text().replace('["lrl-mini"]', '["meta-llama/Meta-Llama-3-8B"]')
    text = text.replace("data =", "topic.limit = 9\npppl.data =").replace("resamples", "pppl.resamples")
    recipe.write_text(text)
    assert jobs(recipe), "a decoder is accepted for perplexity"
    recipe.write_text(text.replace('["pppl"]', '["pppl", "topic"]'))
    with pytest.raises(UsageError, match=r"\[eval\] topic: meta-llama/Meta-Llama-3-8B is a decoder") as raised:
        jobs(recipe)
    assert 'tasks = ["pppl"]' in raised.value.hint
    recipe.write_text(text.replace('["pppl"]', '["pppl", "topic"]').replace("methods =", 'tasks = ["pppl"]\nmethods ='))
    assert {job.labels["task"] for job in jobs(recipe) if job.kind == "eval"} == {"pppl"}


def test_cost_estimates_use_the_batch_sizes_of_the_evaluation_and_the_loss() -> None:
    assert (TOKENS_PER_BATCH["cuda"], ROWS) == (cost.MEASURED_TOKENS, cost.LOGITS)


def test_a_decoder_in_a_folder_is_recognized(tmp_path: Path) -> None:
    sizes = {"hidden_size": 4_096, "num_hidden_layers": 32, "vocab_size": 128_256, "intermediate_size": 14_336}
    sizes |= {"num_attention_heads": 32, "num_key_value_heads": 8}
    architecture = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": False}
    (tmp_path / "config.json").write_text(json.dumps(sizes | architecture))
    assert shape_from(AutoConfig.for_model(**(architecture | {"architectures": []} | sizes))).decoder, (
        "it is recognized by its type"
    )
    encoder = AutoConfig.for_model("xlm-roberta", architectures=["XLMRobertaForCausalLM"])
    assert not shape_from(encoder, encoder.architectures).decoder, "an encoder stays one, whichever head it names"
    known = KNOWN["meta-llama/Meta-Llama-3-8B"]
    assert replace(cost.shape_of(str(tmp_path)), weights=known.weights) == known
    assert cost.shape_of(str(tmp_path)).weights == pytest.approx(known.weights, rel=0.001)
    recipe = write_recipe(tmp_path, tmp_path)
    fit = next(job for job in jobs(recipe) if job.kind == "fit")

    def time_per_weight(model: str) -> float:
        return (
            cost.cost_of([replace(fit, labels=fit.labels | {"model": model})]).gpu_seconds
            / cost.shape_of(model).weights
        )

    assert time_per_weight(str(tmp_path)) == pytest.approx(time_per_weight("meta-llama/Meta-Llama-3-8B"), rel=0.02)


@pytest.mark.parametrize(
    ("kind", "settings", "weights"),
    [
        ("xlm-roberta", {"vocab_size": 250_002}, 278_043_648),
        ("distilbert", {"vocab_size": 119_547}, 135_447_027),
        ("modernbert", {"vocab_size": 256_000}, 307_500_000),
        ("gemma2", {}, 2_614_341_888),
        ("qwen2", {"tie_word_embeddings": True}, None),
        ("mixtral", {"tie_word_embeddings": True}, 46_570_000_000),
        ("opt", {}, None),
        ("xglm", {}, None),
    ],
)
def test_the_size_of_a_model_is_computed_from_its_configuration(
    kind: str, settings: dict[str, Any], weights: int | None
) -> None:
    config = AutoConfig.for_model(kind, **settings)
    shape = shape_from(config)
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    assert shape.weights == pytest.approx(sum(parameter.numel() for parameter in model.parameters()), rel=0.02)
    assert weights is None or shape.weights == pytest.approx(weights, rel=0.05)


def test_cards_are_published_after_all_scores_they_are_corrected_for(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "out")
    recipe.write_text(recipe.read_text("utf-8") + '\n[push]\nnamespace = "my-org"\n', "utf-8")
    all_jobs = jobs(recipe)
    by_id = {job.id: job for job in all_jobs}
    evals = {job.id for job in all_jobs if job.kind == "eval"}
    pushes = [job for job in all_jobs if job.kind == "push"]
    assert len(pushes) == 2
    for push in pushes:
        assert evals <= set(push.before)
        assert {by_id[need].labels["lang"] for need in push.needs} == {push.labels["lang"]}
        schedule = Schedule(by_id, Records(tmp_path))
        schedule.done = dict.fromkeys(push.needs, Record("", "", "done"))
        assert push not in schedule.ready()
        schedule.failed = {job: Record(job, "", "failed") for job in push.after}  # of another language: does not block
        schedule._block()  # noqa: SLF001
        assert push in schedule.ready()
    (push,) = (job for job in select(all_jobs, ["lang=bg"]) if job.kind == "push")
    assert not push.after


def test_a_recipe_cannot_choose_where_the_token_is_sent(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('languages = "ro"\n[push]\nnamespace = "my-org"\nendpoint = "https://evil.example"\n', "utf-8")
    with pytest.raises(UsageError, match=r"endpoint: the token would be sent to .https://evil\.example"):
        load_grid_config(recipe, {})


def test_an_unreadable_model_is_estimated_like_a_known_one_and_noted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", logger="lrldata")
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    closed = f"http://127.0.0.1:{free_port()}"
    point_at(closed, monkeypatch)
    assert cost.shape_of("no/such-model") == KNOWN[FALLBACK]
    assert "no/such-model: its size is unknown; time and memory are estimated as for" in caplog.text
    assert not pauses, "an estimate makes no retries"


def test_the_size_of_a_model_on_the_hub_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(tmp_path / "hub", accounts=ACCOUNTS) as hub:
        point_at(hub, monkeypatch)
        model_config = {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 500}
        api = HfApi(hub.endpoint, token=TOKEN)
        api.create_repo("my-org/small")
        api.upload_file(
            path_or_fileobj=json.dumps(model_config).encode(), path_in_repo="config.json", repo_id="my-org/small"
        )
        shape = cost.shape_of("my-org/small")
    assert (shape.hidden, shape.layers, shape.words) == (64, 3, 500)


def test_the_memory_of_a_step_of_llama_and_of_a_model_that_caps_its_scores() -> None:
    config = FitConfig(lang="ro", base="x/y")
    llama = KNOWN["meta-llama/Meta-Llama-3-8B"]
    memory = step_memory(config, replace(llama, words=0), 4_096)
    assert memory / (4_096 * llama.layers * llama.hidden) == pytest.approx(39.5, rel=0.02), "measured"
    assert step_memory(config, replace(KNOWN[FALLBACK], words=0), 1) == 34 * 768 * 12
    assert step_memory(config, replace(KNOWN[FALLBACK], words=0), 1, bytes_per_value=4) == 68 * 768 * 12
    capped = replace(llama, words=0, capped_heads=16)
    assert step_memory(config, capped, 4_096) > memory


def test_the_time_left_is_estimated_from_the_pace_so_far(tmp_path: Path) -> None:
    """Only two jobs ran at once in 16 slots, because they shared a GPU; jobs of an earlier grid do not count."""
    all_jobs = [job for job in jobs(write_recipe(tmp_path, tmp_path / "out")) if job.kind in ("fit", "eval")]
    records = records_of(str(tmp_path / "out"), tmp_path)
    records.write_plan(all_jobs, 16)
    planned, slots, began = records.read_plan()
    assert status(planned, slots, began, records)[1]["seconds_left"] is None
    earlier, *current = all_jobs[:5]
    records.write(Record(earlier.id, earlier.name, "done", 100.0, ended=began - 1_000))
    for number, job in enumerate(current, 1):
        records.write(Record(job.id, job.name, "done", 100.0, ended=began + 50 * number))
    assert status(planned, slots, began, records)[1]["seconds_left"] == pytest.approx(100 * (len(all_jobs) - 5) / 2)


def test_a_job_whose_files_are_gone_is_not_done(tmp_path: Path) -> None:
    all_jobs = [job for job in jobs(write_recipe(tmp_path, tmp_path / "out")) if job.kind == "fit"]
    records = records_of(str(tmp_path / "out"), tmp_path)
    records.write_plan(all_jobs, 1)
    made = tmp_path / "out" / "adapters" / "a.bin"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"weights")
    files = records.described([made])
    records.write(Record(all_jobs[0].id, all_jobs[0].name, "done", 1.0, files=files))
    assert status(*records.read_plan(), records)[1]["done"] == 1
    made.unlink()
    assert status(*records.read_plan(), records)[1]["done"] == 0


def test_values_missing_in_a_configuration_are_the_defaults_of_its_architecture(tmp_path: Path) -> None:
    """The configuration of the multimodal Gemma 3 states neither its vocabulary size nor its norm."""
    text_config = {
        "model_type": "gemma3_text",
        "hidden_size": 3_840,
        "num_hidden_layers": 48,
        "intermediate_size": 15_360,
    }
    text_config |= {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256}
    model_config = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "text_config": text_config,
    }
    (tmp_path / "config.json").write_text(json.dumps(model_config))
    shape = cost.shape_of(str(tmp_path))
    assert (shape.decoder, shape.gated, shape.layers) == (True, True, 48)
    assert shape.weights == pytest.approx(11.8e9, rel=0.02), "the 12B's language model"
