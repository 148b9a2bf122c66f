"""Write hub_cards/cards/rules.json: the values that the Hub accepts in a card's metadata.

    python tools/make/make_hub_rules.py

Language codes come from the npm package `@huggingface/languages` and tasks from `@huggingface/tasks`; npm downloads
both packages. Licences and sizes are copied from the Hub's documentation (hub/repositories-licenses,
hub/datasets-cards).
"""

import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

LANGUAGES, TASKS = "@huggingface/languages@1.0.0", "@huggingface/tasks@0.21.54"
RULES = Path(__file__).resolve().parents[2] / "hub_cards" / "cards" / "rules.json"
SIZES = ("n<1K 1K<n<10K 10K<n<100K 100K<n<1M 1M<n<10M 10M<n<100M 100M<n<1B 1B<n<10B 10B<n<100B 100B<n<1T n>1T").split()
COLLECTIVE = """
afa alg apa art ath aus bad bai bat ber bih bnt btk cai cau cel cmc cpe cpf cpp crp cus day dra fiu gem ijo inc ine
ira iro kar khi kro map mkh mno mun myn nah nai nic nub oto paa phi pra roa sai sal sem sgn sio sit sla smi son ssa
tai tup tut wak wen ypk znd
""".split()  # of ISO 639-2
LICENCES = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m afl-3.0
artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0
cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0
epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c
ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma apple-amlr apple-ascl
fair-noncommercial-research-license grok2-community h-research intel-research openmdw-1.0 unknown other
""".split()


def fetch(package: str, ending: str) -> str:
    """Return the text of the file in an npm package whose path ends with `ending`."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True)
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            member = next(name for name in archive.getnames() if name.endswith(ending))
            stream = archive.extractfile(member)
            assert stream is not None
            return stream.read().decode()


def main() -> None:
    """Download the packages, extract the codes and names, and write the file."""
    codes = sorted({*re.findall(r'code: "([a-z]{2,3})"', fetch(LANGUAGES, "dist/index.mjs")), *COLLECTIVE})
    tasks = sorted(set(re.findall(r'^\t"([a-z0-9-]+)": \{', fetch(TASKS, "src/pipelines.ts"), re.MULTILINE)))
    subtasks = sorted(set(re.findall(r'^\t\t\t\ttype: "([a-z0-9-]+)"', fetch(TASKS, "src/pipelines.ts"), re.MULTILINE)))
    assert len(codes) > 8_000, len(codes)
    assert "fill-mask" in tasks
    rules = {
        "made_from": [LANGUAGES, TASKS],
        "languages": " ".join(codes),
        "tasks": " ".join(tasks),
        "subtasks": " ".join(subtasks),
        "licences": " ".join(LICENCES),
        "sizes": " ".join(SIZES),
    }
    RULES.write_text(json.dumps(rules, indent=1) + "\n", encoding="utf-8")
    print(f"{RULES.name}: {len(codes)} language codes, {len(tasks)} tasks, {len(subtasks)} subtasks")


if __name__ == "__main__":
    main()
