"""Recorded answers: how they are matched with test items, and the three rules by which they are read."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from lrldata.errors import InputError, UsageError
from lrldata.progress import Progress
from lrltrain.evaluation.record import Run
from lrltrain.prompting.answers import first_label_in, label_in
from lrltrain.prompting.config import load_prompt_config
from lrltrain.prompting.prompt import prompt
from lrltrain.prompting.recorded import study_right
from lrltrain.prompting.template import open_template
from lrltrain.reporting.cells import read_cells

LABELS = open_template(None, "topic").labels
ITEMS = [
    ("science/technology", "Atoms are small.", "This is about Science/Technology."),
    ("sports", "She ran.", "Sports"),
    ("travel", "A train.", 'Either "travel" or "geography"\nI think.'),
    ("politics", "A vote.", "I cannot read this."),
    ("health", "A fever.", "Health, and not politics."),
    ("geography", "A river.", "travel"),
]
SIB_28 = "am,az,bn,bo,bg,ku,cy,da,el,he,jv,ka,lv,mr,mt,mk,ne,ro,si,sk,sl,su,te,th,ug,ur,uz,yo"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "sib200" / "uig_Arab"
    folder.mkdir(parents=True)
    rows = [f"{number}\t{label}\t{text}" for number, (label, text, _) in enumerate(ITEMS)]
    (folder / "test.tsv").write_text("\n".join(["index_id\tcategory\ttext", *rows]) + "\n", "utf-8")
    return tmp_path


def write(path: Path, items: list[tuple[str, str, str]]) -> Path:
    quoted = [[label, text, '"{}"'.format(answer.replace('"', '""'))] for label, text, answer in items]
    lines = ["\tcategory\ttext\tgpt", *("\t".join([str(n), *row]) for n, row in enumerate(quoted))]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def scored(data: Path, answers: Path, **options: Any) -> Run:
    flags = {"lang": "ug", "data": data, "answers": answers, "model_id": "gpt-9", "out": data / "out"}
    (run,) = prompt(load_prompt_config(None, flags | options), Progress(quiet=True))
    return run


def test_the_three_rules_read_an_answer_as_stated() -> None:
    read = [(label_in(said, LABELS), first_label_in(said, LABELS), study_right(said, gold)) for gold, _, said in ITEMS]
    assert read == [
        ("science/technology", "science/technology", False),  # its own "/" makes it wrong
        ("sports", "sports", True),
        (None, "travel", True),  # the study's rule looks for the gold label alone
        (None, None, False),
        (None, "health", False),  # a comma
        ("travel", "travel", False),
    ]


def test_a_run_has_the_scores_of_all_rules_and_answers_in_any_order_give_the_same(data: Path) -> None:
    run = scored(data, write(data / "one.tsv", ITEMS))
    # science/technology and sports have F1 1, the other four classes that occur 0
    assert run.result["macro_f1"] == pytest.approx(2 / 6)
    assert (run.result["accuracy"], run.result["invalid"]) == (pytest.approx(2 / 6), 0.5)
    assert run.result["first_accuracy"] == pytest.approx(4 / 6)
    assert run.result["first_macro_f1"] == pytest.approx((1 + 1 + 2 / 3 + 1) / 6)  # travel is right once of two
    assert (run.result["study_accuracy"], run.result["study_f1"]) == (pytest.approx(2 / 6), pytest.approx(0.5))
    assert (run.base, run.method) == ("gpt-9", "prompt-0")
    assert run.predictions["answer"].to_list() == [answer for _, _, answer in ITEMS]
    assert run.predictions["study"].to_list() == [False, True, True, False, False, False]
    shuffled = scored(data, write(data / "two.tsv", ITEMS[::-1]), out=data / "other")
    assert shuffled.predictions.equals(run.predictions)
    assert scored(data, data / "one.tsv").folder == run.folder
    (cell,) = read_cells(data / "out", 10)
    assert cell.score.value == run.result["macro_f1"], "a report shows the strict score"


def test_a_limit_draws_the_items_that_every_model_is_asked_about(data: Path) -> None:
    run = scored(data, write(data / "one.tsv", ITEMS), limit=3)
    gold = dict(zip(run.predictions["answer"], run.predictions["gold"], strict=True))
    assert len(gold) == 3
    assert all(label == next(item[0] for item in ITEMS if item[2] == answer) for answer, label in gold.items())


def test_items_of_one_text_have_the_answers_in_their_order(data: Path) -> None:
    twice = [*ITEMS[:2], ("sports", "She ran.", "travel")]
    test = data / "sib200" / "uig_Arab" / "test.tsv"
    test.write_text("index_id\tcategory\ttext\n" + "".join(f"1\t{label}\t{text}\n" for label, text, _ in twice))
    run = scored(data, write(data / "one.tsv", twice))
    assert run.predictions["predicted"].to_list() == ["science/technology", "sports", "travel"]


def test_what_does_not_fit_is_named_with_file_and_line(data: Path) -> None:
    file = data / "one.tsv"
    for items, said in (
        (ITEMS[1:], "one.tsv: no answer for item 1 of sib200: 'Atoms are small.'"),
        ([*ITEMS, ("sports", "Another.", "sports")], "one.tsv: line 9 answers a text that is not in sib200"),
        ([*ITEMS[:5], ("travel", *ITEMS[5][1:])], "one.tsv: line 8 has the label 'travel', but sib200 has 'geography'"),
    ):
        with pytest.raises(InputError, match=said):
            scored(data, write(file, items))
    for text, said in (
        ("text\tanswer\nShe ran.\n", "line 2 has 1 columns, not 2"),
        ("text\tcategory\nShe ran.\tsports\n", "line 1 has 'text', 'category'"),
        ("", "line 1 has nothing"),
        ("text\tanswer\n", "one.tsv: no answers"),
        ('text\tanswer\nShe ran.\t"sports\n', "line 2: unexpected end of data"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=said):
            scored(data, file)
    file.write_bytes(b"text\tanswer\nShe ran.\t\xff\n")
    with pytest.raises(InputError, match="is not UTF-8"):
        scored(data, file)
    with pytest.raises(InputError, match="no such file"):
        scored(data, data / "none.tsv")
    with pytest.raises(InputError, match=r"no answers for Uyghur \(uig_Arab.tsv\)"):
        scored(data, data)


def test_options_of_a_model_that_is_asked_are_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="--answers needs --model-id"):
        scored(data, data / "one.tsv", model_id=None)
    for name, value in {"endpoint": "https://host/v1", "shots": 4, "precision": "fp32", "price_in": 1.0}.items():
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} applies only to a model that is queried"):
            scored(data, data / "one.tsv", **{name: value})


def test_the_command_scores_a_folder_of_answers(
    data: Path, tmp_path: Path, lrltrain: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    write(data / "uig_Arab.tsv", ITEMS)
    run = ("prompt", "--lang", "ug", "--answers", data, "--data", data / "sib200", "--out", tmp_path / "out", "--json")
    assert lrltrain(*run).returncode == 2
    done = lrltrain(*run, "--model-id", "gpt-9")
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["runs"]
    assert (told["model"], round(told["macro_f1"], 3), round(told["study_f1"], 3)) == ("gpt-9", 0.333, 0.5)


def test_gpt_on_sib_200_has_the_figures_that_are_known(shared: Path, tmp_path: Path) -> None:
    """Over all 30 languages of the paper: .652 and .573 strict, .458 and .450 by the study's rule; here are 28."""
    if not (shared / "sib200_llm").is_dir():
        pytest.skip("the recorded answers (../shared/data/sib200_llm) are not here")
    known = {  # model: strict macro-F1, first label's, the study's F1 and accuracy
        "gpt4": (0.6506, 0.6825, 0.4543, 0.3044),
        "gpt3.5": (0.5733, 0.5804, 0.4448, 0.2953),
    }
    for model, figures in known.items():
        flags = {"lang": SIB_28, "data": shared, "answers": shared / "sib200_llm" / model, "model_id": model}
        runs = prompt(load_prompt_config(None, flags | {"out": tmp_path}), Progress(quiet=True))
        assert [run.predictions.height for run in runs] == [204] * 28
        names = ("macro_f1", "first_macro_f1", "study_f1", "study_accuracy")
        assert [mean(run.result[name] for run in runs) for name in names] == pytest.approx(figures, abs=5e-5)
