"""Recorded answers: how they are matched with test items, and the three rules for reading them."""

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


def score_answers(data: Path, answers: Path, **options: Any) -> Run:
    flags = {"lang": "ug", "data": data, "answers": answers, "model_id": "gpt-9", "out": data / "out"}
    (run,) = prompt(load_prompt_config(None, flags | options), Progress(quiet=True))
    return run


def test_the_three_rules_read_answers_as_documented() -> None:
    results = [
        (label_in(answer, LABELS), first_label_in(answer, LABELS), study_right(answer, gold))
        for gold, _, answer in ITEMS
    ]
    assert results == [
        ("science/technology", "science/technology", False),  # its own "/" makes it wrong
        ("sports", "sports", True),
        (None, "travel", True),  # the study's rule looks only for the gold label
        (None, None, False),
        (None, "health", False),  # a comma
        ("travel", "travel", False),
    ]


def test_a_run_has_the_scores_of_all_rules_in_any_order_of_the_answers(data: Path) -> None:
    run = score_answers(data, write(data / "one.tsv", ITEMS))
    # F1 is 1 for science/technology and sports, and 0 for the other four classes that occur
    assert run.result["macro_f1"] == pytest.approx(2 / 6)
    assert (run.result["accuracy"], run.result["invalid"]) == (pytest.approx(2 / 6), 0.5)
    assert run.result["first_accuracy"] == pytest.approx(4 / 6)
    assert run.result["first_macro_f1"] == pytest.approx(
        (1 + 1 + 2 / 3 + 1) / 6
    )  # travel is predicted twice, once correctly
    assert (run.result["study_accuracy"], run.result["study_f1"]) == (pytest.approx(2 / 6), pytest.approx(0.5))
    assert (run.base, run.method) == ("gpt-9", "prompt-0")
    assert run.predictions["answer"].to_list() == [answer for _, _, answer in ITEMS]
    assert run.predictions["study"].to_list() == [False, True, True, False, False, False]
    shuffled = score_answers(data, write(data / "two.tsv", ITEMS[::-1]), out=data / "other")
    assert shuffled.predictions.equals(run.predictions)
    assert score_answers(data, data / "one.tsv").folder == run.folder
    (cell,) = read_cells(data / "out", 10)
    assert cell.score.value == run.result["macro_f1"], "a report shows the strict score"


def test_a_limit_keeps_answers_with_their_items(data: Path) -> None:
    run = score_answers(data, write(data / "one.tsv", ITEMS), limit=3)
    gold = dict(zip(run.predictions["answer"], run.predictions["gold"], strict=True))
    assert len(gold) == 3
    assert all(label == next(item[0] for item in ITEMS if item[2] == answer) for answer, label in gold.items())


def test_items_with_the_same_text_take_their_answers_in_order(data: Path) -> None:
    twice = [*ITEMS[:2], ("sports", "She ran.", "travel")]
    test = data / "sib200" / "uig_Arab" / "test.tsv"
    test.write_text("index_id\tcategory\ttext\n" + "".join(f"1\t{label}\t{text}\n" for label, text, _ in twice))
    run = score_answers(data, write(data / "one.tsv", twice))
    assert run.predictions["predicted"].to_list() == ["science/technology", "sports", "travel"]


def test_answers_that_do_not_match_are_refused_with_file_and_line(data: Path) -> None:
    file = data / "one.tsv"
    for items, message in (
        (ITEMS[1:], "one.tsv: no answer for item 1 of sib200: 'Atoms are small.'"),
        ([*ITEMS, ("sports", "Another.", "sports")], "one.tsv: line 9 answers a text that is not in sib200"),
        ([*ITEMS[:5], ("travel", *ITEMS[5][1:])], "one.tsv: line 8 has the label 'travel', but sib200 has 'geography'"),
    ):
        with pytest.raises(InputError, match=message):
            score_answers(data, write(file, items))
    for text, message in (
        ("text\tanswer\nShe ran.\n", "line 2 has 1 columns, not 2"),
        ("text\tcategory\nShe ran.\tsports\n", "line 1 has 'text', 'category'"),
        ("", "line 1 has nothing"),
        ("text\tanswer\n", "one.tsv: no answers"),
        ('text\tanswer\nShe ran.\t"sports\n', "line 2: unexpected end of data"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            score_answers(data, file)
    file.write_bytes(b"text\tanswer\nShe ran.\t\xff\n")
    with pytest.raises(InputError, match="is not UTF-8"):
        score_answers(data, file)
    with pytest.raises(InputError, match="no such file"):
        score_answers(data, data / "none.tsv")
    with pytest.raises(InputError, match=r"no answers for Uyghur \(uig_Arab.tsv\)"):
        score_answers(data, data)


def test_options_for_a_queried_model_are_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="--answers needs --model-id"):
        score_answers(data, data / "one.tsv", model_id=None)
    for name, value in {"endpoint": "https://host/v1", "shots": 4, "precision": "fp32", "price_in": 1.0}.items():
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} applies only to a model that is queried"):
            score_answers(data, data / "one.tsv", **{name: value})


def test_the_command_scores_a_folder_of_answers(
    data: Path, tmp_path: Path, lrltrain: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    write(data / "uig_Arab.tsv", ITEMS)
    arguments = (
        "prompt",
        "--lang",
        "ug",
        "--answers",
        data,
        "--data",
        data / "sib200",
        "--out",
        tmp_path / "out",
        "--json",
    )
    assert lrltrain(*arguments).returncode == 2
    result = lrltrain(*arguments, "--model-id", "gpt-9")
    assert result.returncode == 0, result.stderr
    (run,) = json.loads(result.stdout)["runs"]
    assert (run["model"], round(run["macro_f1"], 3), round(run["study_f1"], 3)) == ("gpt-9", 0.333, 0.5)


def test_gpt_on_sib_200_reproduces_the_known_figures(shared: Path, tmp_path: Path) -> None:
    """Over the paper's 30 languages: .652 and .573 strict, .458 and .450 by the study's rule; 28 are tested here."""
    if not (shared / "sib200_llm").is_dir():
        pytest.skip("the recorded answers (../shared/data/sib200_llm) are not here")
    expected = {  # model: strict macro-F1, first-label macro-F1, the study's F1 and accuracy
        "gpt4": (0.6506, 0.6825, 0.4543, 0.3044),
        "gpt3.5": (0.5733, 0.5804, 0.4448, 0.2953),
    }
    for model, figures in expected.items():
        flags = {"lang": SIB_28, "data": shared, "answers": shared / "sib200_llm" / model, "model_id": model}
        runs = prompt(load_prompt_config(None, flags | {"out": tmp_path}), Progress(quiet=True))
        assert [run.predictions.height for run in runs] == [204] * 28
        names = ("macro_f1", "first_macro_f1", "study_f1", "study_accuracy")
        assert [mean(run.result[name] for run in runs) for name in names] == pytest.approx(figures, abs=5e-5)


def test_a_gold_column_is_never_read_as_the_answers(data: Path) -> None:
    rows = [f"{text}\t{answer!r}\t{label}" for label, text, answer in ITEMS]
    file = data / "own.tsv"
    for last in ("label", "gold", "Category", "topic"):
        file.write_text("\n".join([f"text\tprediction\t{last}", *rows]) + "\n", "utf-8")
        with pytest.raises(
            InputError, match=rf"line 1 has 'text', 'prediction', '{last}'\..* needs `text`, and `answer`"
        ):
            score_answers(data, file)
    file.write_text("\n".join(["Text\tanswer\tlabel", *rows]) + "\n", "utf-8")
    assert score_answers(data, file).result["accuracy"] == pytest.approx(2 / 6)
    file.write_text("\n".join(["text\tprediction\tcategory\tlabel\tgpt", *_numbered(rows)]) + "\n", "utf-8")
    assert score_answers(data, file, model_id="gpt").result["accuracy"] == pytest.approx(2 / 6)
    file.write_text("\n".join(["text\tanswer\tgold", *rows]).replace("geography", "sports") + "\n", "utf-8")
    with pytest.raises(InputError, match="line 7 has the label 'sports', but sib200 has 'geography'"):
        score_answers(data, file)


def _numbered(rows: list[str]) -> list[str]:
    cells = [row.split("\t") for row in rows]
    return ["\t".join([text, "x", label, str(number), answer]) for number, (text, answer, label) in enumerate(cells)]


def test_vowel_signs_continue_a_word() -> None:
    words = {"car": ["कार"], "vote": ["मत"], "sport": ["खेल"]}
    assert label_in("कारोबार", words) is None, "business"
    assert label_in("अधिकार", words) is None, "right"
    assert label_in("यो खेलाडीको बारेमा हो।", words) is None, "of a player"
    assert label_in("यो खेल, हो।", words) == "sport"
    assert label_in("⚽️खेल❤️", words) == "sport"
    assert label_in("التصنيف: رياضةٌ.", {"sport": ["رياضة"]}) == "sport", "the vowel signs of Arabic are optional"
    assert label_in("เรื่องกีฬาครับ", {"sport": ["กีฬา"]}) == "sport", "Thai has no spaces between words"


def test_own_labels_that_differ_only_in_case_are_refused() -> None:
    with pytest.raises(UsageError, match="--labels data: 'positive' stands for Positive and for positive"):
        open_template(None, "sentiment").for_labels(["Positive", "positive"], given=False)
