"""Rehearse a publication offline: publish a workspace to a local Hub, then load it from there without a token.

    python tools/rehearse.py WORKSPACE --lang ro

The Hub runs only during the rehearsal; its contents stay in WORKSPACE/hub. `lrl push-hub` publishes, and a separate
process loads each dataset and adapter by name and tag.
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
print(f"its logits differ from those recorded after training by at most {(logits - kept['logits']).abs().max():.1e}")
"""


def client_environment(endpoint: str, home: Path, token: str) -> dict[str, str]:
    """Return environment variables for a client that only uses this Hub and has its own cache."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"}
    quiet |= {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    local = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_TOKEN": token, "NO_PROXY": "127.0.0.1"}
    return inherited | quiet | local | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def main() -> int:
    """Publish, load, and print the paths of the cards. Return push-hub's exit code if it fails, else 0."""
    parser = argparse.ArgumentParser(description="Publish a workspace to a local Hub, then load it from there.")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--lang", required=True)
    args = parser.parse_args()
    lrl = [sys.executable, "-m", "hub_cards.cli"]
    with start(args.workspace / "hub") as hub:
        publisher_env = client_environment(hub.endpoint, args.workspace / "hub-home", DEFAULTS["tokens"][0]["token"])
        anonymous_env = client_environment(hub.endpoint, args.workspace / "hub-home", "")
        push = [
            *lrl,
            "push-hub",
            "--lang",
            args.lang,
            "--namespace",
            NAMESPACE,
            "--out",
            str(args.workspace),
            "--json",
        ]
        pushed = subprocess.run(push, env=publisher_env, check=False, stdout=subprocess.PIPE, text=True)
        if pushed.returncode:
            return pushed.returncode
        published = json.loads(pushed.stdout)["repositories"]
        for repository in published:
            print(f"{repository['action']} {repository['id']} v{repository['version']}", flush=True)
        for repository in published:
            name, tag = repository["id"], f"v{repository['version']}"
            if repository["kind"] == "dataset":
                subprocess.run([sys.executable, "-c", LOAD_DATASET, name, tag], env=anonymous_env, check=True)
            elif f"-{args.lang}-" in name:
                base = f"{NAMESPACE}/lrl-mini"
                subprocess.run([sys.executable, "-c", LOAD_ADAPTER, name, tag, base], env=anonymous_env, check=True)
    print("Cards, as Markdown and HTML:")
    datasets, adapters = (
        sorted(path.parent for path in args.workspace.glob(f"{kind}/manifest.json"))
        for kind in (f"datasets/{args.lang}/*", f"adapters/{args.lang}/*/*")
    )
    for folder in [*adapters, *datasets[:1]]:  # the datasets of a language share one card
        subprocess.run([*lrl, "card", str(folder)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
