"""Reports whose changes are against a method or a model of the reader's choice."""

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
    """Return the change of each method and source against what is named."""
    cells = read_cells(out, 100, together=True, against=Reference(name))
    return {" ".join(filter(None, cell.row[2:])): _change(cell) for cell in cells}


def _change(cell: Cell) -> float | None:
    return None if cell.against is None else cell.against.change.value


def test_against_a_method_all_of_its_base_model_and_text_are_compared(tmp_path: Path) -> None:
    put(tmp_path, "none", 0.3)
    put(tmp_path, "lora", 0.6)
    put(tmp_path, "seq_bn", 0.9)
    put(tmp_path, "seq_bn", 0.9, source="glotcc", adapter={"name": "ro_glotcc_seq_bn", "manifest_sha256": "2" * 64})
    put(tmp_path, "prompt-0", 0.5)
    put(tmp_path, "lora", 0.8, base={"id": "org/other", "revision": None})
    scores = {cell.row[1:4]: cell.score.value for cell in read_cells(tmp_path, 100)}
    base = "FacebookAI/xlm-roberta-base"
    lora = scores[base, "lora", "conceptnet"]
    found = changes(tmp_path, "lora")
    assert found["seq_bn conceptnet"] == pytest.approx(scores[base, "seq_bn", "conceptnet"] - lora)
    assert found["none"] == pytest.approx(scores[base, "none", None] - lora)
    nothing = {name for name, change in found.items() if change is None}
    assert nothing == {"prompt-0", "lora conceptnet", "seq_bn glotcc"}, "another model, itself, and another text"
    of_source = changes(tmp_path, "lora, conceptnet")
    assert of_source.pop("seq_bn glotcc") is not None, "a source that is named is compared with others"
    assert of_source == {name: change for name, change in found.items() if name != "seq_bn glotcc"}
    put(tmp_path, "lora", 0.7, source="glotcc", adapter={"name": "ro_glotcc_lora", "manifest_sha256": "3" * 64})
    found = changes(tmp_path, "lora")
    assert found["none"] is None, "it could be either of the two"
    assert found["seq_bn conceptnet"] != found["seq_bn glotcc"] is not None
    named = changes(tmp_path, "lora,glotcc")
    assert None not in (named["none"], named["seq_bn conceptnet"], named["lora conceptnet"])
    assert changes(tmp_path, "xlm-roberta-base: lora, glotcc")["none"] == named["none"]
    of_model = changes(tmp_path, "xlm-roberta-base: lora")
    assert of_model["seq_bn glotcc"] == found["seq_bn glotcc"]


def test_against_a_model_every_seed_of_the_others_counts(tmp_path: Path) -> None:
    put(tmp_path, "prompt-0", 0.4)
    for seed, share in ((1, 0.5), (2, 0.7), (3, 0.9)):
        put(tmp_path, "none", share, seed)
        put(tmp_path, "lora", share, seed)
    means = {cell.row.method: fmean(value for *_, value in cell.runs) for cell in read_cells(tmp_path, 100)}
    for name in ("prompted-1B", "org/prompted-1B", "prompted-1B: prompt-0"):
        found = changes(tmp_path, name)
        assert found["none"] == pytest.approx(means["none"] - means["prompt-0"])
        assert found["lora conceptnet"] == pytest.approx(means["lora"] - means["prompt-0"])
        assert found["prompt-0"] is None
    assert changes(tmp_path, "xlm-roberta-base: lora")["prompt-0"] == pytest.approx(means["prompt-0"] - means["lora"])
    assert changes(tmp_path, "lora")["prompt-0"] is None, "a method is of its own base model"


def test_adapters_of_several_seeds_are_compared_seed_by_seed(tmp_path: Path) -> None:
    for method, offset in (("lora", 0.0), ("seq_bn", 0.05)):
        for trained in (1, 2, 3):
            for seed in (1, 2):
                adapter = {"name": f"ro_conceptnet_{method}_seed_{trained}", "manifest_sha256": f"{trained}" * 64}
                put(tmp_path, method, 0.5 + offset + 0.1 * trained, seed, adapter=adapter)
    put(tmp_path, "none", 0.4, 1)
    put(tmp_path, "none", 0.4, 2)
    cells = {cell.row.method: cell for cell in read_cells(tmp_path, 100, together=True)}
    found = changes(tmp_path, "lora")
    assert found["seq_bn conceptnet"] == pytest.approx(cells["seq_bn"].score.value - cells["lora"].score.value)
    assert found["none"] == pytest.approx(cells["none"].score.value - cells["lora"].score.value)


def test_perplexities_of_two_adapters_are_compared_by_sentence(tmp_path: Path) -> None:
    lora = put_perplexity(tmp_path, "ro", "lora", "0" * 64, 0.9)
    inverse = put_perplexity(tmp_path, "ro", "seq_bn_inv", "1" * 64, 0.7)
    cells = {cell.row.method: cell for cell in read_cells(tmp_path, 400, together=True, against=Reference("lora"))}
    assert cells["lora"].against is None
    against = cells["seq_bn_inv"].against
    assert against is not None
    assert against.change.value == pytest.approx(inverse / lora)
    tables = [pl.read_parquet(*(tmp_path / "scores").glob(f"*/*/*{name}*/*/*.parquet")) for name in ("inv", "lora")]
    sums = [table["log_likelihood"].to_numpy() for table in tables]
    drawn = np.random.default_rng(1).integers(0, 40, (2_000, 40))
    expected = np.quantile(np.exp((sums[1][drawn].sum(1) - sums[0][drawn].sum(1)) / 800), [0.025, 0.975])
    assert [against.change.low, against.change.high] == pytest.approx(list(expected), rel=0.05)
    assert cells["none"].against is not None
    assert cells["seq_bn_inv"].verdict == "gain"
    assert cells["none"].verdict == "loss"


def test_perplexities_of_several_seeds_are_paired_by_seed(tmp_path: Path) -> None:
    after: dict[tuple[str, int], float] = {}
    for method, seeds in (("lora", (2, 3)), ("seq_bn", (1, 2, 3, 10))):
        for seed in seeds:
            better = 0.95 - 0.1 * seed + (0.05 if method == "seq_bn" else 0)
            hashed = f"{len(after):x}" * 64
            after[method, seed] = put_perplexity(tmp_path, "ro", method, hashed, better, f"_seed_{seed}")
    cells = {cell.row.method: cell for cell in read_cells(tmp_path, 100, together=True, against=Reference("lora"))}
    against = cells["seq_bn"].against
    assert against is not None
    ratios = [after["seq_bn", seed] / after["lora", seed] for seed in (2, 3)]
    assert against.change.value == pytest.approx(geometric_mean(ratios))
    assert against.change.value > 1


def test_one_of_several_variants_is_not_chosen_unseen(tmp_path: Path) -> None:
    for variant, share in (("a", 0.3), ("b", 0.9)):
        adapter = {"name": f"ro_conceptnet_lora_{variant}", "manifest_sha256": variant * 64}
        put(tmp_path, "lora", share, adapter=adapter)
    put(tmp_path, "seq_bn", 0.6)
    assert changes(tmp_path, "lora")["seq_bn conceptnet"] is None
    put(tmp_path, "lora", 0.5)
    assert changes(tmp_path, "lora")["seq_bn conceptnet"] is not None, "the usual one"


def test_transfer_is_compared_with_transfer_from_the_same_language(tmp_path: Path) -> None:
    learned = {"transfer": {"language": "bg", "data": {"name": "sib200"}, "adapter": None}}
    put(tmp_path, "lora", 0.9)
    put(tmp_path, "lora-from-bg", 0.4, **learned)
    put(tmp_path, "seq_bn-from-bg", 0.4, adapter=ADAPTER, **learned)
    found = changes(tmp_path, "lora")
    assert found == {"lora conceptnet": None, "lora-from-bg conceptnet": None, "seq_bn-from-bg conceptnet": 0.0}


def test_what_is_not_there_or_several_is_bad_usage(tmp_path: Path) -> None:
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


def test_the_report_says_what_its_changes_are_against(tmp_path: Path) -> None:
    fill(tmp_path, languages=("ro", "mt"), seeds=(1,))
    written = lrltrain.report(tmp_path, against="lora", out=tmp_path / "against")
    home = written.page.parent
    assert "Changes are relative to lora:" in (home / "results.md").read_text("utf-8")
    for name in ("results.tex", *(str(path.relative_to(home)) for path in (home / "tables").glob("*.tex"))):
        assert "a difference from lora that is more than chance" in (home / name).read_text("utf-8")
    page = written.page.read_text("utf-8")
    assert "comparisons with lora," in page
    assert "without a language adapter" not in page.replace("Grey is the base model without a language adapter", "")
    with (home / "results.csv").open(encoding="utf-8") as file:
        rows = {(row["language"], row["method"], row["task"]): row["change"] for row in csv.DictReader(file)}
    assert rows["ro", "lora", "topic"] == ""
    assert float(rows["ro", "seq_bn_inv", "topic"]) > 0.1
    assert float(rows["ro", "none", "pppl"]) > 1
