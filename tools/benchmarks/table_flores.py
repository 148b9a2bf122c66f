"""Every method on Bulgarian, Maltese and Uyghur: pseudo-perplexity on FLORES-200 devtest before and after.

    python tools/benchmarks/table_flores.py DATA WORKSPACE [--limit 200] [--steps 300]

lrl-mini has not seen these languages. DATA holds `text/LANG_Script/*.txt`, `flores200/devtest` and ConceptNet edges. Of
each language: adapters of every shape and full fine-tuning on its running text, an adapter on its ConceptNet sentences,
and the fusion of both invertible ones in either order, as the first one's inverse alone is used. Finished ones are not
made again.
"""

import argparse
from pathlib import Path
from typing import Any

from lrldata.conceptnet.build import build
from lrldata.conceptnet.config import load_config
from lrldata.language import find
from lrldata.progress import Progress
from lrltrain.config import load_eval_config, load_fit_config
from lrltrain.evaluation.score_text import score_text
from lrltrain.fitting.fit import fit

EDGES = {
    "bg": "conceptnet/reconstructed/assertions-bg.csv.gz",
    "mt": "conceptnet/reconstructed/assertions-mt.csv.gz",
    "ug": "conceptnet/assertions-ug.csv.gz",
}
NOT_TEXT = {"thuyg20_latin.txt"}  # the Arabic transcripts once more, in another script
RATES = {"full": 2e-3}
RATE = 5e-3
COMMON: dict[str, Any] = {
    "base": "lrl-mini",
    "max_length": 128,
    "batch_size": 16,
    "reduction_factor": 4,
    "lora_r": 16,
    "lora_alpha": 32,
}


def main() -> None:
    """Build, fit, measure, and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--limit", type=int, help="only the first so many of the 1,012 sentences")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lang", default=",".join(EDGES))
    given = parser.parse_args()
    where = {"out": given.workspace, "cache": given.workspace / "cache"}
    rows = []
    for code in given.lang.split(","):
        language = find(code)
        build(load_config(None, where | {"lang": code, "dump": str(given.data / EDGES[code])}), Progress())
        texts = sorted(path for path in given.data.glob(f"text/{language.flores}/*.txt") if path.name not in NOT_TEXT)

        def train(method: str, code: str = code, **more: Any) -> Path:
            flags = where | COMMON | {"lang": code, "steps": given.steps, "method": method}
            return fit(
                load_fit_config(None, flags | {"learning_rate": RATES.get(method, RATE)} | more), Progress()
            ).path

        made = {method: train(method, text=texts) for method in ("seq_bn", "seq_bn_inv", "lora", "full")}
        made["seq_bn_inv, ConceptNet"] = train("seq_bn_inv")
        both = [made["seq_bn_inv"], made["seq_bn_inv, ConceptNet"]]
        made["fusion of seq_bn_inv, text first"] = train("fusion", text=texts, adapters=both)
        copy = given.workspace / "other-order"  # a fusion's folder is named by its text alone
        made["fusion of seq_bn_inv, ConceptNet first"] = train("fusion", text=texts, adapters=both[::-1], out=copy)
        for name, folder in made.items():
            flags = {"adapter": [folder], "data": str(given.data / "flores200" / "devtest"), "out": folder.parents[3]}
            flags |= {"limit": given.limit} if given.limit else {}
            rows.append((name, score_text(load_eval_config(None, flags), Progress())[0]))
    first = rows[0][1]
    print(f"\n{first.metric}, {first.data}, {first.sentences:,} sentences, {given.steps} steps\n")
    print("| language | method | before | after | after / before (95 % CI) |\n| --- | --- | ---: | ---: | ---: |")
    for name, score in rows:
        assert score.before
        assert score.ratio
        ratio = f"{score.ratio.value:.3f} ({score.ratio.low:.3f}-{score.ratio.high:.3f})"
        print(f"| {score.language} | {name} | {score.before.value:,.0f} | {score.after.value:,.0f} | {ratio} |")


if __name__ == "__main__":
    main()
