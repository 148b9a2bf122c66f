"""Rehearse a publication offline: publish a workspace to a local Hub, and load it from there as a stranger does.

    python tools/rehearse.py WORKSPACE --lang ro

The Hub is started for this and ended after it; what it holds stays in WORKSPACE/hub. `lrl push-hub` publishes, and a
process of its own loads each dataset and adapter by name and tag.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from hub_cards.local_hub import start
from hub_cards.local_hub.access import DEFAULTS

NAMESPACE = "my-org"
LOAD_DATASET = """
import sys
from datasets import load_dataset

name, tag = sys.argv[1:]
print(f"load_dataset({name!r}, revision={tag!r})")
print(load_dataset(name, revision=tag))
"""
LOAD_ADAPTER = """
import sys
import lrltrain
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

name, tag, base = sys.argv[1:]
print(f"lrltrain.load_adapter(AutoModelForMaskedLM.from_pretrained({base!r}), {name!r}, revision={tag!r})")
model = AutoModelForMaskedLM.from_pretrained(base)
lrltrain.load_adapter(model, name, revision=tag)
kept = load_file(hf_hub_download(name, "reference.safetensors", revision=tag))
logits = model.eval()(kept["input_ids"]).logits[..., kept["words"]]
print(f"its logits differ from those after training by {(logits - kept['logits']).abs().max():.1e} at most")
"""


def surroundings(endpoint: str, home: Path, token: str) -> dict[str, str]:
    """Return the environment of a client of this Hub and no other, with a cache of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"}
    quiet |= {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    here = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_TOKEN": token, "NO_PROXY": "127.0.0.1"}
    return kept | quiet | here | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def main() -> int:
    """Publish, load, and print where the cards are. Exit code: that of the first step that failed, else 0."""
    parser = argparse.ArgumentParser(description="Publish a workspace to a local Hub, and load it from there.")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--lang", required=True)
    asked = parser.parse_args()
    lrl = [sys.executable, "-m", "hub_cards.cli"]
    with start(asked.workspace / "hub") as hub:
        client = surroundings(hub.endpoint, asked.workspace / "hub-home", DEFAULTS["tokens"][0]["token"])
        stranger = surroundings(hub.endpoint, asked.workspace / "hub-home", "")
        push = [
            *lrl,
            "push-hub",
            "--lang",
            asked.lang,
            "--namespace",
            NAMESPACE,
            "--out",
            str(asked.workspace),
            "--json",
        ]
        done = subprocess.run(push, env=client, check=False, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            return done.returncode
        published = json.loads(done.stdout)["repositories"]
        for each in published:
            print(f"{each['action']} {each['id']} v{each['version']}", flush=True)
        for each in published:
            name, tag = each["id"], f"v{each['version']}"
            if each["kind"] == "dataset":
                subprocess.run([sys.executable, "-c", LOAD_DATASET, name, tag], env=stranger, check=True)
            elif f"-{asked.lang}-" in name:
                base = f"{NAMESPACE}/lrl-mini"
                subprocess.run([sys.executable, "-c", LOAD_ADAPTER, name, tag, base], env=stranger, check=True)
    print("Cards, as Markdown and as pages:")
    datasets, adapters = (
        sorted(path.parent for path in asked.workspace.glob(f"{kind}/manifest.json"))
        for kind in (f"datasets/{asked.lang}/*", f"adapters/{asked.lang}/*/*")
    )
    for folder in [*adapters, *datasets[:1]]:  # the datasets of a language have one card
        subprocess.run([*lrl, "card", str(folder)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
