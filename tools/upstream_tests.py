"""Run huggingface_hub's own tests against the local Hub: `python tools/upstream_tests.py [--work DIR]`.

They show what the real client expects of the real Hub, in far more detail than our own tests could. pip downloads the
sdist and the packages that the tests need into a separate folder; --work keeps it, which makes the next run faster.

Prints the passed, failed and skipped tests by class, and the reason for each expected failure. Exit codes: 0 if all
failures are explained below, 1 if another test fails or an explanation is outdated, 2 if the tests could not be run.
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
NEEDED = (RELEASE, "pytest", "pytest-mock==3.17.0", "pytest-timeout==2.4.0", "jedi==0.20.1", "Jinja2")
# Test files that use a server, except test_repository, as the local Hub does not speak git, and those for inference or
# jobs.
FILES = """test_auth test_cache_layout test_commit_api test_commit_scheduler test_file_download test_hf_api
test_hf_file_system test_hub_mixin test_lfs test_repocard test_snapshot_download test_upload_large_folder""".split()
PART = 16_000_000  # bytes; the test of a multipart upload sends 18 MB
TEST_TIMEOUT = 180  # timeout in seconds; the slowest test takes 50
CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints-adapters.txt"  # the versions around this release

# Tests that use the public Hub, as `fnmatch` patterns, in addition to those that upstream marks as such.
_CARD = "validates a card, for which this release always contacts the public Hub, whatever the endpoint"
PUBLIC = {
    "test_hf_api.HfApiInferenceCatalogTest.test_list_inference_catalog": "contacts another public server",
    "test_repocard.RepocardMetadataUpdateTest.*": _CARD,
    "test_repocard.TestMetadataUpdateOnMissingCard.*": _CARD,
    "test_repocard.RepoCardTest.test_push_to_hub": _CARD,
}
_DISCUSSIONS = "discussions are not implemented; pull requests only so far that a commit can open one"
FAILING = {
    "test_file_download.TestHfHubDownloadRelativePaths.*": "a path with a backslash is refused, as Windows misreads it",
    "test_hf_api.AccessRequestAPITest.*": "a gated repository has no access list: only its namespace has access",
    "test_hf_api.ActivityApiTest.test_list_likes_repos_auth_*": "likes are not stored",
    "test_hf_api.CommitApiTest.test_empty_commit_on_pr": _DISCUSSIONS,
    "test_hf_api.HfApiDiscussionsTest.*": _DISCUSSIONS,
    "test_hf_api.TestListAndPermanentlyDeleteLFSFiles.*": "history is never rewritten, and large files may be shared",
    "test_hf_api.TestSquashHistory.test_super_squash_history_on_special_ref": _DISCUSSIONS,
    "test_hf_api.WebhookApiTest.*": "webhooks are not implemented",
    "test_repocard.RepoCardTest.test_push_and_create_pr": _DISCUSSIONS,
}

# Replaces upstream's conftest.py, which is not in the sdist. It deselects tests before they contact any server.
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
        return "contacts the public Hub, according to upstream"
    if "SAMPLE_CARDS_DIR" in inspect.getsource(item.function):
        return "reads sample cards, which are not in the sdist"
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
    """Install the packages, unpack the tests into `work`, and return the interpreter that runs them."""
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
    """Return the accounts of the Hub that upstream tests against, as far as the tests reveal them."""
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
    """Run the tests and return pytest's exit code. The tests hard-code a server, which is replaced first."""
    staging = runpy.run_path(str(work / "tests" / "testing_constants.py"))["ENDPOINT_STAGING"]
    for path in (work / "tests").glob("*.py"):
        path.write_text(path.read_text("utf-8").replace(staging, endpoint), "utf-8")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "PYTEST"))}
    environment = inherited | {
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HOME": str(work / "home"),
        "NO_PROXY": "127.0.0.1",
        "UPSTREAM_PUBLIC": json.dumps(PUBLIC),
    }
    options = ["-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", f"--timeout={TEST_TIMEOUT}", "--tb=short"]
    command = [str(python), "-m", "pytest", *options, "--junitxml=results.xml", *(f"tests/{name}.py" for name in FILES)]
    with (work / "log.txt").open("w", encoding="utf-8") as log:
        result = subprocess.run(command, cwd=work, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    return result.returncode


def outcomes(results: Path) -> dict[str, tuple[str, str]]:
    """Return the outcome of each test by its name, with the message of a failure."""
    results_by_test: dict[str, tuple[str, str]] = {}
    for case in ET.parse(results).iter("testcase"):  # noqa: S314 (pytest has just written it)
        name = f"{case.get('classname')}.{case.get('name')}".removeprefix("tests.")
        state, message = "passed", ""
        for child in case:
            if child.tag in {"failure", "error"}:
                state, message = "failed", child.get("message") or ""
            elif child.tag == "skipped" and state == "passed":
                state = "skipped"
        if results_by_test.get(name, ("", ""))[0] != "failed":
            results_by_test[name] = (state, message)
    return results_by_test


def table(results: Mapping[str, tuple[str, str]]) -> str:
    """Return a table of the outcomes by class."""
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, (state, _) in results.items():
        unparametrized = name.partition("[")[0]
        rows[unparametrized.rpartition(".")[0]][state] += 1
    width = max(map(len, rows))
    lines = [f"{'class':{width}}  passed  failed  skipped"]
    lines += [
        f"{class_name:{width}}  {counts['passed']:6}  {counts['failed']:6}  {counts['skipped']:7}"
        for class_name, counts in rows.items()
    ]
    return "\n".join(lines)


def by_reason(names: Iterable[str], why: Callable[[str], str]) -> str:
    """Return the names grouped by reason."""
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        grouped[why(name)].append(name)
    return "\n".join("\n    ".join([f"  {reason}:", *members]) for reason, members in grouped.items())


def explanation(name: str) -> str | None:
    """Return why a test is expected to fail, None if it is not."""
    return next((why for pattern, why in FAILING.items() if fnmatchcase(name, pattern)), None)


def mismatches(results: Mapping[str, tuple[str, str]], left_out: Iterable[str]) -> list[str]:
    """Return the mismatches: failures without an explanation, and explanations without a failure or a test."""
    lines = [
        f"unexplained failure: {name}: {' '.join(message.split())[:300]}"
        for name, (state, message) in results.items()
        if state == "failed" and explanation(name) is None
    ]
    lines += [
        f"explained as failing, but passes or is skipped: {name}"
        for name, (state, _) in results.items()
        if state != "failed" and explanation(name)
    ]
    for patterns, names in ((FAILING, list(results)), (PUBLIC, list(left_out))):
        lines += [
            f"explained, but there is no such test: {pattern}" for pattern in patterns if not matching(names, pattern)
        ]
    return lines


def report(results: Mapping[str, tuple[str, str]], left_out: Mapping[str, str]) -> int:
    """Print the outcomes and the mismatches, and return the exit code."""
    states = Counter(state for state, _ in results.values())
    failed = [name for name, (state, _) in results.items() if state == "failed" and explanation(name)]
    print(table(results))
    if failed:
        print("\nExpected failures")
        print(by_reason(failed, lambda name: explanation(name) or ""))
    print("\nDeselected tests")
    for reason, count in Counter(left_out.values()).most_common():
        print(f"  {count:4} {reason}")
    mismatched = mismatches(results, left_out)
    print(f"\n{states['passed']} of {states['passed'] + states['failed']} passed, {states['skipped']} skipped")
    for line in mismatched:
        print(line, file=sys.stderr)
    return 1 if mismatched else 0


def main() -> int:
    """Fetch the tests, run them, and print a report."""
    parser = argparse.ArgumentParser(description="Run huggingface_hub's own tests against the local Hub.")
    parser.add_argument("--work", type=Path, help="Working folder to keep. Default: a temporary folder.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        try:
            python = fetch(work)
        except subprocess.CalledProcessError as error:
            print(f"error: {error}. The message of pip above says why.", file=sys.stderr)
            return 2
        print(f"This takes about five minutes. Log: {work / 'log.txt'}", file=sys.stderr, flush=True)
        constants = runpy.run_path(str(work / "tests" / "testing_constants.py"))
        with start(work / "hub", accounts=accounts(constants), part=PART) as hub:
            code = run(python, work, hub.endpoint)
        if code not in {0, 1}:
            print((work / "log.txt").read_text("utf-8")[-3000:], file=sys.stderr)
            return 2
        return report(outcomes(work / "results.xml"), json.loads((work / "left_out.json").read_text("utf-8")))


if __name__ == "__main__":
    sys.exit(main())
