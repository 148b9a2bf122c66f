"""Reports whose changes are relative to a method or model that the user chooses."""

import csv
from pathlib import Path
from statistics import fmean, geometric_mean

import numpy as np
import polars as pl
import pytest
from results import fill, predictions, put_perplexity, put_run, recipe

import lrltrain
from lrldata.errors import UsageError
from lrltrain.reporting.cells import read_cells
from lrltrain.reporting.reference import Reference
from lrltrain.reporting.tables import Cell

ADAPTER = {"name": "ro_conceptnet_seq_bn", "manifest_sha256": "0" * 64}


def put(out: Path, method: str, share: float, seed: int = 1, language: str = "ro", **changes: object) -> None:
    gold, predicted = predictions("topic", share, seed)
    put_run(out, recipe(language, "topic", method, seed, **changes), gold, predicted)


def changes(out: Path, name: str) -> dict[str, float | None]:
    """Return the change of each method and source relative to the named reference."""
    cells = read_cells(out, 100, together=True, against=Reference(name))
    return {" ".join(filter(None, cell.row[2:])): _change(cell) for cell in cells}


def _change(cell: Cell) -> float | None:
    return None if cell.against is None else cell.against.change.value


def test_a_reference_method_is_compared_with_those_of_its_base_model_and_text(tmp_path: Path) -> None:
    put(tmp_path, "none", 0.3)
    put(tmp_path, "lora", 0.6)
    put(tmp_path, "seq_bn", 0.9)
    put(tmp_path, "seq_bn", 0.9, source="glotcc", adapter={"name": "ro_glotcc_seq_bn", "manifest_sha256": "2" * 64})
    put(tmp_path, "prompt-0", 0.5)
    put(tmp_path, "lora", 0.8, base={"id": "org/other", "revision": None})
    scores = {cell.row[1:4]: cell.score.value for cell in read_cells(tmp_path, 100)}
    base = "FacebookAI/xlm-roberta-base"
    lora = scores[base, "lora", "conceptnet"]
    lora_changes = changes(tmp_path, "lora")
    assert lora_changes["seq_bn conceptnet"] == pytest.approx(scores[base, "seq_bn", "conceptnet"] - lora)
    assert lora_changes["none"] == pytest.approx(scores[base, "none", None] - lora)
    not_compared = {name for name, change in lora_changes.items() if change is None}
    assert not_compared == {"prompt-0", "lora conceptnet", "seq_bn glotcc"}, "another model, itself, and another text"
    with_source = changes(tmp_path, "lora, conceptnet")
    assert with_source.pop("seq_bn glotcc") is not None, "a source that is named is compared with other sources"
    assert with_source == {name: change for name, change in lora_changes.items() if name != "seq_bn glotcc"}
    put(tmp_path, "lora", 0.7, source="glotcc", adapter={"name": "ro_glotcc_lora", "manifest_sha256": "3" * 64})
    lora_changes = changes(tmp_path, "lora")
    assert lora_changes["none"] is None, "the reference could have either source"
    assert lora_changes["seq_bn conceptnet"] != lora_changes["seq_bn glotcc"] is not None
    glotcc_changes = changes(tmp_path, "lora,glotcc")
    assert None not in (glotcc_changes["none"], glotcc_changes["seq_bn conceptnet"], glotcc_changes["lora conceptnet"])
    assert changes(tmp_path, "xlm-roberta-base: lora, glotcc")["none"] == glotcc_changes["none"]
    with_model = changes(tmp_path, "xlm-roberta-base: lora")
    assert with_model["seq_bn glotcc"] == lora_changes["seq_bn glotcc"]


def test_against_a_reference_model_every_seed_counts(tmp_path: Path) -> None:
    put(tmp_path, "prompt-0", 0.4)
    for seed, share in ((1, 0.5), (2, 0.7), (3, 0.9)):
        put(tmp_path, "none", share, seed)
        put(tmp_path, "lora", share, seed)
    means = {cell.row.method: fmean(value for *_, value in cell.runs) for cell in read_cells(tmp_path, 100)}
    for name in ("prompted-1B", "org/prompted-1B", "prompted-1B: prompt-0"):
        model_changes = changes(tmp_path, name)
        assert model_changes["none"] == pytest.approx(means["none"] - means["prompt-0"])
        assert model_changes["lora conceptnet"] == pytest.approx(means["lora"] - means["prompt-0"])
        assert model_changes["prompt-0"] is None
    assert changes(tmp_path, "xlm-roberta-base: lora")["prompt-0"] == pytest.approx(means["prompt-0"] - means["lora"])
    assert changes(tmp_path, "lora")["prompt-0"] is None, "a method is compared only within its base model"


def test_adapters_of_several_seeds_are_compared_seed_by_seed(tmp_path: Path) -> None:
    for method, offset in (("lora", 0.0), ("seq_bn", 0.05)):
        for train_seed in (1, 2, 3):
            for seed in (1, 2):
                adapter = {"name": f"ro_conceptnet_{method}_seed_{train_seed}", "manifest_sha256": f"{train_seed}" * 64}
                put(tmp_path, method, 0.5 + offset + 0.1 * train_seed, seed, adapter=adapter)
    put(tmp_path, "none", 0.4, 1)
    put(tmp_path, "none", 0.4, 2)
    cells = {cell.row.method: cell for cell in read_cells(tmp_path, 100, together=True)}
    lora_changes = changes(tmp_path, "lora")
    assert lora_changes["seq_bn conceptnet"] == pytest.approx(cells["seq_bn"].score.value - cells["lora"].score.value)
    assert lora_changes["none"] == pytest.approx(cells["none"].score.value - cells["lora"].score.value)


def test_perplexities_of_two_adapters_are_compared_by_sentence(tmp_path: Path) -> None:
    lora = put_perplexity(tmp_path, "ro", "lora", "0" * 64, 0.9)
    inverse = put_perplexity(tmp_path, "ro", "seq_bn_inv", "1" * 64, 0.7)
    cells = {cell.row.method: cell for cell in read_cells(tmp_path, 400, together=True, against=Reference("lora"))}
    assert cells["lora"].against is None
    against = cells["seq_bn_inv"].against
    assert against is not None
    assert against.change.value == pytest.approx(inverse / lora)
    tables = [pl.read_parquet(*(tmp_path / "scores").glob(f"*/*/*{name}*/*/*.parquet")) for name in ("inv", "lora")]
    log_likelihoods = [table["log_likelihood"].to_numpy() for table in tables]
    resampled = np.random.default_rng(1).integers(0, 40, (2_000, 40))
    expected = np.quantile(
        np.exp((log_likelihoods[1][resampled].sum(1) - log_likelihoods[0][resampled].sum(1)) / 800), [0.025, 0.975]
    )
    assert [against.change.low, against.change.high] == pytest.approx(list(expected), rel=0.05)
    assert cells["none"].against is not None
    assert cells["seq_bn_inv"].verdict == "gain"
    assert cells["none"].verdict == "loss"


def test_perplexities_of_several_seeds_are_paired_by_seed(tmp_path: Path) -> None:
    after: dict[tuple[str, int], float] = {}
    for method, seeds in (("lora", (2, 3)), ("seq_bn", (1, 2, 3, 10))):
        for seed in seeds:
            scale = 0.95 - 0.1 * seed + (0.05 if method == "seq_bn" else 0)
            manifest_hash = f"{len(after):x}" * 64
            after[method, seed] = put_perplexity(tmp_path, "ro", method, manifest_hash, scale, f"_seed_{seed}")
    cells = {cell.row.method: cell for cell in read_cells(tmp_path, 100, together=True, against=Reference("lora"))}
    against = cells["seq_bn"].against
    assert against is not None
    ratios = [after["seq_bn", seed] / after["lora", seed] for seed in (2, 3)]
    assert against.change.value == pytest.approx(geometric_mean(ratios))
    assert against.change.value > 1


def test_no_variant_is_chosen_silently(tmp_path: Path) -> None:
    for variant, share in (("a", 0.3), ("b", 0.9)):
        adapter = {"name": f"ro_conceptnet_lora_{variant}", "manifest_sha256": variant * 64}
        put(tmp_path, "lora", share, adapter=adapter)
    put(tmp_path, "seq_bn", 0.6)
    assert changes(tmp_path, "lora")["seq_bn conceptnet"] is None
    put(tmp_path, "lora", 0.5)
    assert changes(tmp_path, "lora")["seq_bn conceptnet"] is not None, "the adapter without a variant is chosen"


def test_transfer_is_compared_with_transfer_from_the_same_language(tmp_path: Path) -> None:
    transfer = {"transfer": {"language": "bg", "data": {"name": "sib200"}, "adapter": None}}
    put(tmp_path, "lora", 0.9)
    put(tmp_path, "lora-from-bg", 0.4, **transfer)
    put(tmp_path, "seq_bn-from-bg", 0.4, adapter=ADAPTER, **transfer)
    lora_changes = changes(tmp_path, "lora")
    assert lora_changes == {"lora conceptnet": None, "lora-from-bg conceptnet": None, "seq_bn-from-bg conceptnet": 0.0}


def test_an_unknown_or_ambiguous_reference_is_a_usage_error(tmp_path: Path) -> None:
    put(tmp_path, "none", 0.3)
    put(tmp_path, "prompt-0", 0.4)
    put(tmp_path, "prompt-4", 0.4)
    with pytest.raises(UsageError, match="gpt-4: no method or model with this name has scores") as error:
        read_cells(tmp_path, 100, against=Reference("gpt-4"))
    assert (
        error.value.hint
        == "The methods are none, prompt-0, prompt-4, and the models are prompted-1B, xlm-roberta-base."
    )
    with pytest.raises(UsageError, match="prompted-1B: has scores of several methods") as error:
        read_cells(tmp_path, 100, against=Reference("prompted-1B"))
    assert error.value.hint == "Choose one: 'prompted-1B: prompt-0', 'prompted-1B: prompt-4'."
    assert changes(tmp_path, "prompted-1B:prompt-4")["none"] is not None


def test_the_report_names_the_reference_of_its_changes(tmp_path: Path) -> None:
    fill(tmp_path, languages=("ro", "mt"), seeds=(1,))
    report = lrltrain.report(tmp_path, against="lora", out=tmp_path / "against")
    folder = report.page.parent
    assert "Changes are relative to lora:" in (folder / "results.md").read_text("utf-8")
    for name in ("results.tex", *(str(path.relative_to(folder)) for path in (folder / "tables").glob("*.tex"))):
        assert "a difference from lora that is more than chance" in (folder / name).read_text("utf-8")
    page = report.page.read_text("utf-8")
    assert "comparisons with lora," in page
    assert "without a language adapter" not in page.replace("Grey is the base model without a language adapter", "")
    with (folder / "results.csv").open(encoding="utf-8") as file:
        rows = {(row["language"], row["method"], row["task"]): row["change"] for row in csv.DictReader(file)}
    assert rows["ro", "lora", "topic"] == ""
    assert float(rows["ro", "seq_bn_inv", "topic"]) > 0.1
    assert float(rows["ro", "none", "pppl"]) > 1
