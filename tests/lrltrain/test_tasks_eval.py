"""`lrltrain eval` on tasks: every kind of adapter, runs that are not repeated, transfer, and refused options."""

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from lrldata.errors import DivergedError, LrlError, ModelError, TrainingError, UsageError
from lrldata.locks import Lock
from lrldata.manifest import MANIFEST
from lrldata.progress import Progress
from lrltrain.artifact import open_language_adapter
from lrltrain.config import load_eval_config, load_fit_config
from lrltrain.dropout import replace_constants
from lrltrain.evaluation import task_runs
from lrltrain.evaluation.items import SPLITS
from lrltrain.evaluation.measure import measure
from lrltrain.evaluation.record import runs_in
from lrltrain.evaluation.score_tasks import TaskScore, score_tasks
from lrltrain.evaluation.stack import stack
from lrltrain.evaluation.training import TaskTraining
from lrltrain.fitting.fit import fit as fit_adapter
from lrltrain.models import find_base
from lrltrain.modules.insert import MODULE_NAME, inserted
from lrltrain.reporting.task_cells import read_tasks

QUIET = Progress(quiet=True)
BASE = find_base("lrl-mini")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all tasks in Romanian and Uyghur."""
    root = tmp_path_factory.mktemp("tasks")
    sentences = {"sports": "Echipa a câștigat meciul {}.", "health": "Medicul vine la spital la ora {}."}
    for code in ("ron_Latn", "uig_Arab"):
        for folder in (root / "sib200" / code, root / "sa" / code / "films", root / "ner" / code / "names"):
            folder.mkdir(parents=True)
            for number, split in enumerate(SPLITS):
                numbers = range(number * 8, number * 8 + 8)
                rows = [f"{n}\t{label}\t{text.format(n)}" for n in numbers for label, text in sentences.items()]
                texts = {
                    "sib200": "\n".join(["index_id\tcategory\ttext", *rows]),
                    "sa": "".join(f"Bun {n}.\tpositive\nSlab {n}.\tnegative\n" for n in numbers),
                    "ner": "".join(f"Ion\tB-PER\n{n}\tO\nla\tO\nCluj\tB-LOC\n\n" for n in numbers),
                }
                (folder / f"{split}.tsv").write_text(texts[folder.relative_to(root).parts[0]], "utf-8")
    return root


@pytest.fixture(scope="session")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that fits an adapter once per method and language, in four steps, and returns its folder."""
    folders: dict[tuple[str, str], Path] = {}
    out = tmp_path_factory.mktemp("adapters")

    def make(method: str = "seq_bn", lang: str = "ro") -> Path:
        if (method, lang) not in folders:
            options: dict[str, Any] = {"base": "lrl-mini", "steps": 4, "max_length": 32, "batch_size": 2}
            options["learning_rate"] = 3e-4 if method == "full" else 0.05  # at a higher rate no step improves the model
            if method == "fusion":
                options["adapters"] = [make("seq_bn"), make("seq_bn_inv")]
            text = out / "text.txt"
            text.write_text("".join(f"Propoziția {n} este despre pisici.\n" for n in range(200)), "utf-8")
            flags = {"lang": lang, "method": method, "text": [text], "out": out, "cache": out / "cache"}
            folders[method, lang] = fit_adapter(load_fit_config(None, {**flags, **options}), QUIET).path
        return folders[method, lang]

    return make


def score(out: Path, data: Path, **options: Any) -> list[TaskScore]:
    settings = {"lang": "ro", "base": "lrl-mini", "task": "topic", "seeds": [1], "epochs": 2, "learning_rate": 5e-3}
    return score_tasks(load_eval_config(None, {**settings, "data": str(data), "out": out, **options}), QUIET)


@pytest.mark.parametrize("method", ["seq_bn", "seq_bn_inv", "lora", "fusion", "full"])
def test_a_task_is_learned_on_every_kind_of_adapter(
    method: str, adapters: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    folder = adapters(method)
    (task_score,) = score(tmp_path, data, adapter=[folder])
    assert (task_score.as_json()["method"], task_score.as_json()["source"]) == (method, "text")
    manifest = task_score.runs[0].manifest
    assert manifest["trained"]["frozen_part_kept"]
    assert manifest["overlap"]["test_in_train"]["items"] == 16

    adapter = open_language_adapter(folder)
    stacked, plain = stack(BASE, adapter, adapter, 16, [1]), stack(BASE, None, None, 16, [1])
    ids = torch.arange(5, 20)[None]
    with torch.no_grad():
        states = [model.encoder.eval()(ids).last_hidden_state for model in (stacked, plain)]
    assert not torch.allclose(*states, atol=1e-4)
    task = f"{MODULE_NAME}.{0 if method == 'full' else 1}."  # above the language adapter
    trained = {name for name, value in stacked.encoder.named_parameters() if value.requires_grad}
    assert trained == {name for name, _ in stacked.encoder.named_parameters() if name.startswith(task)}
    assert all(map(torch.equal, stacked.task.parameters(), plain.task.parameters()))


def test_the_layers_of_a_fusion_can_learn_the_task(adapters: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    folder = adapters("fusion")
    options: dict[str, Any] = {"adapter": [folder], "baselines": ["none"], "epochs": 1}
    _, frozen = score(tmp_path, data, **options)
    base, learned = score(tmp_path, data, **options, learn_fusion=True)
    assert [task_score.runs[0].method for task_score in (base, frozen, learned)] == ["none", "fusion", "fusion-task"]
    parameter_counts = [task_score.runs[0].manifest["trained"]["parameters"] for task_score in (base, frozen, learned)]
    layer_parameters = 3 * 128 * 128 + 2 * 128  # queries, keys and values, and the biases of two
    assert parameter_counts == [parameter_counts[0], parameter_counts[0], parameter_counts[0] + 4 * layer_parameters]
    assert frozen.runs[0].manifest["settings"] == learned.runs[0].manifest["settings"], "they share their baselines"
    cells = {cell.row.method: cell for cell in read_tasks(tmp_path, 100, 99)}
    assert {method: cell.against is None for method, cell in cells.items()} == {
        "none": True,
        "fusion": False,
        "fusion-task": False,
    }

    adapter = open_language_adapter(folder)
    stacked = stack(BASE, adapter, adapter, 16, [1, 2], learn_fusion=True)
    trains = {name.split(".")[2] for name, value in stacked.encoder.named_parameters() if value.requires_grad}
    assert trains == {"fusions", "bottlenecks"}, "the fused adapters do not train"
    (first, second) = (stack(BASE, adapter, adapter, 16, [seed], learn_fusion=True).source for seed in (1, 2))
    for one, other, both in zip(
        *(source.fusions.parameters() for source in (first, second, stacked.source)), strict=True
    ):
        assert torch.equal(torch.cat([one, other]), both), "each seed has its own initial weights"


def test_all_tasks_with_a_baseline_are_recorded(data: Path, tmp_path: Path) -> None:
    task_scores = score(tmp_path, data, task="all", baselines=["none"], seeds=[1, 2])
    assert [(task_score.runs[0].task, len(task_score.values)) for task_score in task_scores] == [
        ("topic", 2),
        ("sentiment", 2),
        ("ner", 2),
    ]
    runs = list(runs_in(tmp_path))
    assert {(run.task, run.method, run.seed) for run in runs} == {
        (task, "none", seed) for task in ("topic", "sentiment", "ner") for seed in (1, 2)
    }
    for run in runs:
        assert run.predictions.columns == ["item", "gold", "predicted"]
        assert len(run.predictions) == (8 if run.task == "ner" else 16)
        if run.task == "ner":
            assert (run.predictions["gold"].list.len() == run.predictions["predicted"].list.len()).all()
            assert run.predictions["gold"].dtype == pl.List(pl.String)


def test_a_note_says_that_perplexity_is_left_out(
    data: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrltrain.evaluation.measure.score_tasks", lambda *_: [])
    config = load_eval_config(
        None, {"lang": "ro", "base": "lrl-mini", "task": "all", "baselines": ["none"], "data": str(data)}
    )
    with caplog.at_level("INFO", "lrldata"):
        assert measure(config, QUIET) == ([], [])
    assert f"{data}: has no flores200/devtest, so pseudo-perplexity is left out" in caplog.text


def test_an_easy_task_is_learned(data: Path, tmp_path: Path) -> None:
    (task_score,) = score(tmp_path, data, baselines=["none"], epochs=12, learning_rate=1e-2, batch_size=4)
    assert task_score.mean == 1.0


def test_finished_runs_are_not_repeated(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained_seeds: list[int] = []
    train = task_runs._train  # noqa: SLF001

    def count_seeds(job: Any, config: Any, args: Any, recipes: Any, *more: Any) -> Any:
        trained_seeds.extend(recipes)
        if len(trained_seeds) == 2:
            raise KeyboardInterrupt
        return train(job, config, args, recipes, *more)

    monkeypatch.setattr(task_runs, "_train", count_seeds)
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path, data, baselines=["none"], seeds=[1, 2, 3])
    first = score(tmp_path, data, baselines=["none"], seeds=[1, 2, 3])
    assert trained_seeds == [1, 2, 2, 3]
    again = score(tmp_path, data, baselines=["none"], seeds=[1, 2, 3])
    assert trained_seeds == [1, 2, 2, 3]
    assert again[0].as_json() == first[0].as_json()
    (first[0].runs[2].folder / MANIFEST).unlink()
    repeated = score(tmp_path, data, baselines=["none"], seeds=[1, 2, 3])
    assert trained_seeds == [1, 2, 2, 3, 3]
    assert repeated[0].values == first[0].values
    score(tmp_path, data, baselines=["none"], seeds=[1], epochs=1)
    assert trained_seeds[-1] == 1
    score(tmp_path, data, baselines=["none"], seeds=[1], epochs=1, overwrite=True)
    assert trained_seeds[-2:] == [1, 1]


def test_a_run_that_another_process_has_made_meanwhile_is_not_repeated(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"baselines": ["none"], "seeds": [1, 2], "epochs": 1}
    exclusive = task_runs.exclusive

    @contextmanager
    def after_another_process(folders: Iterable[Path]) -> Iterator[None]:
        monkeypatch.setattr(task_runs, "exclusive", exclusive)
        score(tmp_path, data, **{**options, "seeds": [1]})
        locks = next((tmp_path / "scores").rglob("seed-1")).parent / ".locks"
        with exclusive(folders):
            with pytest.raises(BlockingIOError):
                Lock(locks / "seed-2.making")
            yield

    monkeypatch.setattr(task_runs, "exclusive", after_another_process)
    trained_seeds: list[int] = []
    train = task_runs._train  # noqa: SLF001
    monkeypatch.setattr(task_runs, "_train", lambda *arguments: trained_seeds.extend(arguments[3]) or train(*arguments))
    (task_score,) = score(tmp_path, data, **options)
    assert trained_seeds == [1, 2]
    assert len(task_score.runs) == 2


def test_seeds_train_in_the_given_order(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = [100, 13, 42, 1234, 7]  # neither sorted nor in the order of a set

    def stop(_job: Any, _config: Any, _args: Any, recipes: Any, *_: Any) -> None:
        assert list(recipes) == seeds
        raise KeyboardInterrupt

    monkeypatch.setattr(task_runs, "_groups", lambda seeds: [seeds])
    monkeypatch.setattr(task_runs, "_train", stop)
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path, data, baselines=["none"], seeds=seeds)


def test_a_run_is_finished_without_the_file_of_its_circumstances(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"baselines": ["none"], "seeds": [1], "epochs": 1}
    run = score(tmp_path, data, **options)[0].runs[0]
    (run.folder / "run.json").unlink()
    monkeypatch.setattr(task_runs, "_train", None)
    (again,) = score(tmp_path, data, **options)
    assert again.runs[0].circumstances == {}
    assert len(read_tasks(tmp_path, 10, 10)) == 1


def test_a_repeated_run_has_the_same_hash(data: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"baselines": ["none"], "seeds": [1], "epochs": 1}
    runs = [score(tmp_path / name, data, **options)[0].runs[0] for name in ("a", "b")]
    assert runs[0].manifest["sha256"] == runs[1].manifest["sha256"]
    assert all(run.circumstances["seconds"] > 0 for run in runs)


def test_seeds_that_train_together_have_their_own_runs(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = task_runs._model  # noqa: SLF001

    def without_dropout(*arguments: Any) -> Any:
        result = original(*arguments)
        replace_constants(result[1], 0.0)
        return result

    monkeypatch.setattr(task_runs, "_model", without_dropout)
    options = {"baselines": ["none"], "seeds": [1, 2, 3]}
    (alone,) = score(tmp_path / "alone", data, **options)
    monkeypatch.setattr(task_runs, "_groups", lambda seeds: [seeds])
    (first,) = score(tmp_path / "together", data, **{**options, "seeds": [2]})
    (together,) = score(tmp_path / "together", data, **options)
    assert together.runs[1].manifest == first.runs[0].manifest, "a finished run is left unchanged"
    for one, other in zip(alone.runs, together.runs, strict=True):
        assert other.circumstances.get("together") == (None if one.seed == 2 else [1, 3])
        assert one.manifest["settings"] == other.manifest["settings"]
        assert one.folder.name == other.folder.name
        trained_alone, trained_together = one.manifest["trained"], other.manifest["trained"]
        assert trained_alone["parameters"] == trained_together["parameters"]
        assert trained_together["loss"] == pytest.approx(trained_alone["loss"], rel=1e-4)
        assert one.predictions["gold"].equals(other.predictions["gold"])
    assert len({tuple(run.manifest["trained"]["loss"]) for run in together.runs}) == 3


def test_seeds_that_do_not_fit_into_memory_together_are_halved(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[list[int]] = []
    original, limit = task_runs._train, 1  # noqa: SLF001

    def train(job: Any, config: Any, args: Any, recipes: Any, *more: Any) -> Any:
        attempts.append(list(recipes))
        if len(recipes) > limit:
            raise torch.OutOfMemoryError
        return original(job, config, args, recipes, *more)

    monkeypatch.setattr(task_runs, "_train", train)
    monkeypatch.setattr(task_runs, "_groups", lambda seeds: [seeds])
    (task_score,) = score(tmp_path, data, baselines=["none"], seeds=[1, 2, 3])
    assert [run.seed for run in task_score.runs] == [1, 2, 3]
    assert attempts == [[1, 2, 3], [1], [2, 3], [2], [3]]
    limit = 0
    with pytest.raises(TrainingError, match="there is not enough memory for batches of 16"):
        score(tmp_path, data, baselines=["none"], seeds=[4, 5])


@pytest.mark.parametrize("together", [True, False], ids=["as on a GPU", "as on a CPU"])
def test_a_seed_that_fails_does_not_stop_the_others(
    together: bool, data: Path, adapters: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = task_runs._model  # noqa: SLF001

    def poisoned(job: Any, config: Any, seeds: Any) -> Any:
        stacked, model = original(job, config, seeds)
        with torch.no_grad():
            for index, seed in enumerate(seeds):
                if seed == 2 and not job.target:
                    model.head.output.weight[index, 0, 0] = torch.nan
        return stacked, model

    monkeypatch.setattr(task_runs, "_model", poisoned)
    monkeypatch.setattr(
        task_runs, "_groups", lambda seeds: [seeds] if together and seeds else [[seed] for seed in seeds]
    )
    options: dict[str, Any] = {"baselines": ["none"], "adapter": [adapters("lora")]}
    for _ in range(2):
        with pytest.raises(DivergedError, match=r"ro topic none, seed 2: the loss of epoch 1 is nan.*other runs are"):
            score(tmp_path, data, seeds=[1, 2, 3], **options)
        written = sorted((run.method, run.seed) for run in runs_in(tmp_path))
        assert written == [("lora", 1), ("lora", 2), ("lora", 3), ("none", 1), ("none", 3)]


def test_finished_runs_are_checked_against_a_corpus_too(
    data: Path, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = score(tmp_path, data, baselines=["none"])
    assert before.as_json()["contamination"] is None
    monkeypatch.setattr(task_runs, "_train", lambda *_: pytest.fail("trained again"))
    (after,) = score(tmp_path, data, baselines=["none"], corpus=workspace / "datasets" / "ro" / "conceptnet")
    assert after.as_json()["contamination"]["found"] == 0
    assert after.runs[0].manifest["trained"] == before.runs[0].manifest["trained"]
    assert after.runs[0].circumstances == before.runs[0].circumstances
    (without,) = score(tmp_path, data, baselines=["none"])
    assert without.as_json()["contamination"]["items"] == 16


def test_transfer_learns_on_one_adapter_and_is_scored_on_the_other(
    adapters: Callable[..., Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    active: list[list[str]] = []

    class Watched(TaskTraining):
        """Records which adapters are in the model when it trains and when it predicts the test set."""

        def fit(self, *args: Any) -> Any:
            self._record()
            trained = super().fit(*args)
            self.fitted = True
            return trained

        def predict(self, inputs: Any) -> Any:
            if hasattr(self, "fitted"):
                self._record()
            return super().predict(inputs)

        def _record(self) -> None:
            active.append([name for stacked in inserted(self.model.encoder) for name in stacked.names])

    monkeypatch.setattr(task_runs, "TaskTraining", Watched)
    ro, ug = adapters("seq_bn", "ro"), adapters("seq_bn_inv", "ug")
    options = {"adapter": [ug], "lang": "ug", "baselines": ["none"], "transfer_from": "ro", "transfer_adapter": ro}
    baseline, adapted = score(tmp_path, data, **options)
    assert active == [["seed-1"]] * 2 + [["ro_text_seq_bn", "seed-1"], ["ug_text_seq_bn_inv", "seed-1"]]
    assert (baseline.runs[0].method, adapted.runs[0].method) == ("none-from-ro", "seq_bn_inv-from-ro")
    assert adapted.runs[0].manifest["transfer"]["adapter"]["name"] == open_language_adapter(ro).name

    both = stack(BASE, open_language_adapter(ro), open_language_adapter(ug), 16, [1])
    target_adapter = open_language_adapter(ug)
    target = stack(BASE, target_adapter, target_adapter, 16, [1])
    ids = torch.arange(5, 20)[None]
    with torch.no_grad():
        before = both.encoder.eval()(ids).last_hidden_state
        both.swap(target=True)
        after, expected = (model.encoder.eval()(ids).last_hidden_state for model in (both, target))
    torch.testing.assert_close(after, expected)
    assert not torch.allclose(before, after, atol=1e-4)


def test_invalid_options_are_refused(adapters: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    ro, ug = adapters("seq_bn", "ro"), adapters("seq_bn_inv", "ug")
    cases: list[tuple[type[LrlError], str, dict[str, Any]]] = [
        (UsageError, "--transfer-from needs --transfer-adapter", {"adapter": [ro], "transfer_from": "ug"}),
        (UsageError, "--transfer-adapter needs", {"adapter": [ro], "transfer_adapter": ug}),
        (UsageError, "is an adapter of ro", {"adapter": [ug], "transfer_from": "ug", "transfer_adapter": ro}),
        (UsageError, "applies only to tasks", {"task": "pppl", "adapter": [ro], "corpus": tmp_path}),
        (UsageError, "contains duplicates", {"adapter": [ro], "seeds": [1, 1]}),
        (UsageError, "--seed applies only to perplexity: use --seeds", {"adapter": [ro], "seed": 7}),
        (UsageError, "reads 256 tokens", {"baselines": ["none"], "max_length": 300}),
        (UsageError, "Nothing to score", {}),
        (LrlError, "no fully fine-tuned", {"baselines": ["full"]}),
        (
            ModelError,
            "cannot be swapped",
            {"adapter": [adapters("fusion")], "transfer_from": "ug", "transfer_adapter": ug},
        ),
    ]
    for kind, message, options in cases:
        with pytest.raises(kind, match=message) as error:
            score(tmp_path, data, **options)
        assert error.value.hint or error.type is UsageError


def test_the_seed_of_resampling_can_be_set_if_perplexity_is_among_what_is_measured() -> None:
    for task in ("pppl", "all"):
        assert load_eval_config(None, {"adapter": ["x"], "task": task, "seed": 7}).seed == 7
    with pytest.raises(UsageError, match="--seed applies only to perplexity"):
        load_eval_config(None, {"adapter": ["x"], "task": "topic", "seed": 7})


def test_an_option_that_would_be_ignored_is_refused_unless_it_is_in_a_file_for_all_tasks(tmp_path: Path) -> None:
    settings = tmp_path / "eval.toml"
    settings.write_text('adapter = ["x"]\nepochs = 3\nresamples = 100\nseed = 5\nbaselines = ["none"]\n')
    for task, name, value in (("pppl", "epochs", 3), ("pppl", "seeds", [4]), ("topic", "resamples", 200)):
        with pytest.raises(UsageError, match=f"--{name} applies only to (tasks|perplexity): use it with --task"):
            load_eval_config(settings, {"task": task, name: value})
        assert load_eval_config(settings, {"task": task}).epochs == 3
        for allowed in ({"task": "all"}, {"task": "pppl" if task == "topic" else "ner"}):
            load_eval_config(settings, allowed | {name: value})


def test_the_command_prints_json_or_a_table(
    lrltrain: Callable[..., subprocess.CompletedProcess[str]], data: Path, tmp_path: Path
) -> None:
    options = ("eval", "--lang", "ro", "--base", "lrl-mini", "--task", "ner", "--baselines", "none", "--data", data)
    options += ("--epochs", "1", "--seeds", "1,2", "--out", tmp_path / "out")
    result = lrltrain(*options, "--json")
    assert result.returncode == 0, result.stderr
    (task_score,) = json.loads(result.stdout)["tasks"]
    assert (task_score["language"], task_score["task"], task_score["n"], task_score["metric"]) == ("ro", "ner", 2, "f1")
    table = lrltrain(*options)
    assert "mean ± sd" in table.stdout
    assert "of 8" in table.stdout
