"""Evaluate every method on Bulgarian, Maltese and Uyghur: pseudo-perplexity on FLORES-200 devtest before and after.

    python tools/benchmarks/table_flores.py DATA WORKSPACE [--limit 200] [--steps 300]

lrl-mini was not trained on these languages. DATA contains `text/LANG_Script/*.txt`, `flores200/devtest` and ConceptNet
edges. For each language, the tool trains every kind of adapter and full fine-tuning on its running text, an adapter on
its ConceptNet sentences, and the fusion of the two invertible adapters in both orders, because a fusion uses only the
inverse of its first adapter. Finished work is not repeated.
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
NOT_TEXT = {"thuyg20_latin.txt"}  # the Arabic-script transcripts again, in Latin script
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
    """Build, fit, evaluate, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--limit", type=int, help="evaluate only the first LIMIT of the 1,012 sentences")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lang", default=",".join(EDGES))
    args = parser.parse_args()
    paths = {"out": args.workspace, "cache": args.workspace / "cache"}
    rows = []
    for code in args.lang.split(","):
        language = find(code)
        build(load_config(None, paths | {"lang": code, "dump": str(args.data / EDGES[code])}), Progress())
        texts = sorted(path for path in args.data.glob(f"text/{language.flores}/*.txt") if path.name not in NOT_TEXT)

        def train(method: str, code: str = code, **overrides: Any) -> Path:
            flags = paths | COMMON | {"lang": code, "steps": args.steps, "method": method}
            return fit(
                load_fit_config(None, flags | {"learning_rate": RATES.get(method, RATE)} | overrides), Progress()
            ).path

        adapters = {method: train(method, text=texts) for method in ("seq_bn", "seq_bn_inv", "lora", "full")}
        adapters["seq_bn_inv, ConceptNet"] = train("seq_bn_inv")
        parts = [adapters["seq_bn_inv"], adapters["seq_bn_inv, ConceptNet"]]
        adapters["fusion of seq_bn_inv, text first"] = train("fusion", text=texts, adapters=parts)
        copy = args.workspace / "other-order"  # a fusion's folder is named only after its text
        adapters["fusion of seq_bn_inv, ConceptNet first"] = train("fusion", text=texts, adapters=parts[::-1], out=copy)
        for name, folder in adapters.items():
            flags = {"adapter": [folder], "data": str(args.data / "flores200" / "devtest"), "out": folder.parents[3]}
            flags |= {"limit": args.limit} if args.limit else {}
            rows.append((name, score_text(load_eval_config(None, flags), Progress())[0]))
    first = rows[0][1]
    print(f"\n{first.metric}, {first.data}, {first.sentences:,} sentences, {args.steps} steps\n")
    print("| language | method | before | after | after / before (95 % CI) |\n| --- | --- | ---: | ---: | ---: |")
    for name, score in rows:
        assert score.before
        assert score.ratio
        ratio = f"{score.ratio.value:.3f} ({score.ratio.low:.3f}-{score.ratio.high:.3f})"
        print(f"| {score.language} | {name} | {score.before.value:,.0f} | {score.after.value:,.0f} | {ratio} |")


if __name__ == "__main__":
    main()
