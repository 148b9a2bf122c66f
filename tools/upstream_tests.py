"""Run huggingface_hub's own tests against the local Hub: `python tools/upstream_tests.py [--work DIR]`.

They say what a real client expects of the real Hub, in far more detail than tests of ours could. The sdist and what
the tests need are fetched by pip into a folder of their own: with --work it is kept, and the next run is faster.

Prints passed, failed and skipped tests by class, and why each failing test fails. Exit codes: 0 all that fails is
explained below, 1 something else fails or an explanation is out of date, 2 the tests could not be run.
"""

import argparse
import json
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from fnmatch import filter as matching
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hub_cards.local_hub import start

RELEASE = "huggingface_hub==0.36.2"
NEEDED = (RELEASE, "pytest==9.2.0", "pytest-mock==3.17.0", "pytest-timeout==2.4.0", "jedi==0.20.1", "Jinja2")
# Those that ask a server. Not test_repository, as git itself is not spoken here; not what is about inference or jobs.
FILES = """test_auth test_cache_layout test_commit_api test_commit_scheduler test_file_download test_hf_api
test_hf_file_system test_hub_mixin test_lfs test_repocard test_snapshot_download test_upload_large_folder""".split()
PART = 16_000_000  # bytes; the test of an upload in parts sends 18 MB
HANGS = 180  # seconds; the slowest test needs fifty
CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"

# By test, as in `fnmatch`; besides those that upstream itself marks as tests of the public Hub.
_CARD = "checks a card, for which this release asks the public Hub wherever its endpoint is"
PUBLIC = {
    "test_hf_api.HfApiInferenceCatalogTest.test_list_inference_catalog": "asks another public server",
    "test_repocard.RepocardMetadataUpdateTest.*": _CARD,
    "test_repocard.TestMetadataUpdateOnMissingCard.*": _CARD,
    "test_repocard.RepoCardTest.test_push_to_hub": _CARD,
}
_DISCUSSIONS = "discussions are not spoken, pull requests only as far as a commit opens one"
FAILING = {
    "test_file_download.TestHfHubDownloadRelativePaths.*": "a path with a backslash is refused, as Windows misreads it",
    "test_hf_api.AccessRequestAPITest.*": "a gate has no list of guests: it lets in its namespace",
    "test_hf_api.ActivityApiTest.test_list_likes_repos_auth_*": "likes are not kept",
    "test_hf_api.CommitApiTest.test_empty_commit_on_pr": _DISCUSSIONS,
    "test_hf_api.HfApiDiscussionsTest.*": _DISCUSSIONS,
    "test_hf_api.TestListAndPermanentlyDeleteLFSFiles.*": "history is not rewritten, and large files may be shared",
    "test_hf_api.TestSquashHistory.test_super_squash_history_on_special_ref": _DISCUSSIONS,
    "test_hf_api.WebhookApiTest.*": "webhooks are not spoken",
    "test_repocard.RepoCardTest.test_push_and_create_pr": _DISCUSSIONS,
}

# In the place of upstream's own, which the sdist leaves out. It leaves out tests before they ask anybody.
CONFTEST = """
import inspect
import json
import os
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import SoftTemporaryDirectory
from tests import testing_utils

PUBLIC = json.loads(os.environ["UPSTREAM_PUBLIC"])
patched = testing_utils.with_production_testing
testing_utils.with_production_testing = lambda tested: pytest.mark.public_hub(patched(tested))


def name(item):
    return item.nodeid.removeprefix("tests/").replace(".py::", ".").replace("::", ".")


def is_public(item):
    prepared = [getattr(item.cls, each, None) for each in ("setUp", "setUpClass")]
    marks = [mark.name for each in prepared for mark in getattr(each, "pytestmark", [])]
    return "public_hub" in marks or item.get_closest_marker("public_hub") is not None


def reason(item):
    if is_public(item):
        return "asks the public Hub, says upstream"
    if "SAMPLE_CARDS_DIR" in inspect.getsource(item.function):
        return "reads sample cards, which the sdist leaves out"
    return next((why for pattern, why in PUBLIC.items() if fnmatchcase(name(item), pattern)), None)


def pytest_configure(config):
    for mark in ("public_hub", "vcr"):
        config.addinivalue_line("markers", mark)


def pytest_collection_modifyitems(items):
    left_out = {name(item): reason(item) for item in items if reason(item)}
    Path("left_out.json").write_text(json.dumps(left_out))
    items[:] = [item for item in items if name(item) not in left_out]


@pytest.fixture(autouse=True)
def no_warnings_of_experiments(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_EXPERIMENTAL_WARNING", True)


@pytest.fixture
def fx_cache_dir(request):
    with SoftTemporaryDirectory() as folder:
        request.cls.cache_dir = Path(folder).resolve()
        yield
"""


def fetch(work: Path) -> Path:
    """Return the interpreter that runs the tests, with the tests unpacked again beside it."""
    python = work / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(work / "venv", with_pip=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-c", str(CONSTRAINTS), *NEEDED], check=True)
    if not list(work.glob("*.tar.gz")):
        name = RELEASE.partition("==")[0]
        subprocess.run([*pip, "download", "--no-deps", "--no-binary", name, "-d", str(work), RELEASE], check=True)
    for folder in ("unpacked", "tests", "hub", "home"):
        shutil.rmtree(work / folder, ignore_errors=True)
    with tarfile.open(next(work.glob("*.tar.gz"))) as archive:
        archive.extractall(work / "unpacked", filter="data")
    shutil.move(next((work / "unpacked").glob("*/tests")), work / "tests")
    (work / "tests" / "__init__.py").touch()
    (work / "tests" / "conftest.py").write_text(CONFTEST, "utf-8")
    return python


def accounts(constants: Mapping[str, str]) -> dict[str, Any]:
    """Return the users of the Hub that upstream tests against, as far as the tests tell of them."""
    tokens = {"TOKEN": "USER", "OTHER_TOKEN": "OTHER_USER", "ENTERPRISE_TOKEN": "ENTERPRISE_USER"}
    organisation = constants["ENTERPRISE_ORG"]
    return {
        "users": {
            constants["USER"]: {"fullname": constants["FULL_NAME"], "organisations": {"valid_org": "admin"}},
            constants["OTHER_USER"]: {},
            constants["ENTERPRISE_USER"]: {"organisations": {organisation: "admin"}},
        },
        "organisations": {"valid_org": {"fullname": "Dummy Org"}, organisation: {"private": True}},
        "tokens": [
            {"token": constants[token], "user": constants[user], "role": "write"} for token, user in tokens.items()
        ],
    }


def run(python: Path, work: Path, endpoint: str) -> int:
    """Run the tests and return pytest's exit code. The name of the server stands in their text here and there."""
    staging = runpy.run_path(str(work / "tests" / "testing_constants.py"))["ENDPOINT_STAGING"]
    for path in (work / "tests").glob("*.py"):
        path.write_text(path.read_text("utf-8").replace(staging, endpoint), "utf-8")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "PYTEST"))}
    environment = kept | {
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HOME": str(work / "home"),
        "NO_PROXY": "127.0.0.1",
        "UPSTREAM_PUBLIC": json.dumps(PUBLIC),
    }
    options = ["-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", f"--timeout={HANGS}", "--tb=short"]
    command = [str(python), "-m", "pytest", *options, "--junitxml=results.xml", *(f"tests/{each}.py" for each in FILES)]
    with (work / "log.txt").open("w", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=work, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    return done.returncode


def outcomes(results: Path) -> dict[str, tuple[str, str]]:
    """Return what came of each test, and the message where it did not pass."""
    came: dict[str, tuple[str, str]] = {}
    for case in ET.parse(results).iter("testcase"):  # noqa: S314 (pytest has just written it)
        name = f"{case.get('classname')}.{case.get('name')}".removeprefix("tests.")
        state, message = "passed", ""
        for child in case:
            if child.tag in {"failure", "error"}:
                state, message = "failed", child.get("message") or ""
            elif child.tag == "skipped" and state == "passed":
                state = "skipped"
        if came.get(name, ("", ""))[0] != "failed":
            came[name] = (state, message)
    return came


def table(came: Mapping[str, tuple[str, str]]) -> str:
    """Return the outcomes by class."""
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, (state, _) in came.items():
        plain = name.partition("[")[0]
        rows[plain.rpartition(".")[0]][state] += 1
    width = max(map(len, rows))
    lines = [f"{'class':{width}}  passed  failed  skipped"]
    lines += [f"{each:{width}}  {n['passed']:6}  {n['failed']:6}  {n['skipped']:7}" for each, n in rows.items()]
    return "\n".join(lines)


def by_reason(names: Iterable[str], why: Callable[[str], str]) -> str:
    """Return the names below their reasons."""
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        grouped[why(name)].append(name)
    return "\n".join("\n    ".join([f"  {reason}:", *inside]) for reason, inside in grouped.items())


def explanation(name: str) -> str | None:
    """Return why a test fails, None where we do not know."""
    return next((why for pattern, why in FAILING.items() if fnmatchcase(name, pattern)), None)


def wrong(came: Mapping[str, tuple[str, str]], left_out: Iterable[str]) -> list[str]:
    """Return what the explanations do not hold for: failures without one, and explanations without a failure."""
    lines = [
        f"fails without an explanation: {name}: {' '.join(message.split())[:300]}"
        for name, (state, message) in came.items()
        if state == "failed" and explanation(name) is None
    ]
    lines += [
        f"passes, or is skipped, with an explanation: {name}"
        for name, (state, _) in came.items()
        if state != "failed" and explanation(name)
    ]
    for patterns, names in ((FAILING, list(came)), (PUBLIC, list(left_out))):
        lines += [f"is explained, but not there: {each}" for each in patterns if not matching(names, each)]
    return lines


def report(came: Mapping[str, tuple[str, str]], left_out: Mapping[str, str]) -> int:
    """Print all that there is to know, and return the exit code."""
    states = Counter(state for state, _ in came.values())
    failed = [name for name, (state, _) in came.items() if state == "failed" and explanation(name)]
    print(table(came))
    if failed:
        print("\nWhy tests fail")
        print(by_reason(failed, lambda name: explanation(name) or ""))
    print("\nTests left out")
    for reason, count in Counter(left_out.values()).most_common():
        print(f"  {count:4} {reason}")
    problems = wrong(came, left_out)
    print(f"\n{states['passed']} of {states['passed'] + states['failed']} pass, {states['skipped']} are skipped")
    for line in problems:
        print(line, file=sys.stderr)
    return 1 if problems else 0


def main() -> int:
    """Fetch the tests, run them, and report."""
    parser = argparse.ArgumentParser(description="Run huggingface_hub's own tests against the local Hub.")
    parser.add_argument("--work", type=Path, help="Folder to keep; a temporary one if it is not given.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (asked.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        try:
            python = fetch(work)
        except subprocess.CalledProcessError as error:
            print(f"error: {error}. Is there a package index?", file=sys.stderr)
            return 2
        print(f"This takes five minutes; see {work / 'log.txt'}", file=sys.stderr, flush=True)
        constants = runpy.run_path(str(work / "tests" / "testing_constants.py"))
        with start(work / "hub", accounts=accounts(constants), part=PART) as hub:
            code = run(python, work, hub.endpoint)
        if code not in {0, 1}:
            print((work / "log.txt").read_text("utf-8")[-3000:], file=sys.stderr)
            return 2
        return report(outcomes(work / "results.xml"), json.loads((work / "left_out.json").read_text("utf-8")))


if __name__ == "__main__":
    sys.exit(main())
