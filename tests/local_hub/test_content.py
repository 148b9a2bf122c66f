"""Upload and download with huggingface_hub and datasets."""

# ruff: noqa: E501 (the clients' scripts are dense)

from typing import Any

from hub_cards.local_hub import Hub

FOLDER = """
folder = Path("folder")
(folder / "sub" / "deep").mkdir(parents=True, exist_ok=True)
(folder / "README.md").write_text("---\\nlicense: mit\\nlanguage: ug\\n---\\n# Card\\n")
(folder / "empty.txt").write_bytes(b"")
(folder / "sub" / "ünï cödé#1.txt").write_text("text")
(folder / "sub" / "deep" / "small.bin").write_bytes(bytes(range(256)))
(folder / "sub" / "large.safetensors").write_bytes(bytes(range(256)) * 13)
def bytes_of(root):
    return {path.relative_to(root).as_posix(): path.read_bytes().hex() for path in sorted(Path(root).rglob("*"))
            if path.is_file() and ".cache" not in path.parts}
"""


def writes(hub: Hub, after: int = 0) -> list[tuple[str, str]]:
    return [(entry["method"], entry["path"]) for entry in hub.journal() if entry["wrote"] and entry["n"] > after]


def test_a_folder_is_downloaded_as_it_was_uploaded_and_is_uploaded_once(client: Any, hub: Hub) -> None:
    got = client(FOLDER + """
api.create_repo("my-org/m")
commit = api.upload_folder(repo_id="my-org/m", folder_path=folder, commit_message="Publish").oid
back = snapshot_download("my-org/m", local_dir="back")
cached = snapshot_download("my-org/m", revision=commit)
(Path("back") / ".gitattributes").unlink()
give([bytes_of("back") == bytes_of(folder), Path(cached).name == commit, commit])
""")  # fmt: skip
    assert got[:2] == [True, True]
    assert any("part=3&" in entry["path"] for entry in hub.journal())  # uploaded in parts
    assert not list((hub.root / "parts").iterdir())
    before = hub.journal()[-1]["n"]
    again = client(FOLDER + """
give([api.upload_folder(repo_id="my-org/m", folder_path=folder).oid, len(api.list_repo_commits("my-org/m"))])
""")  # fmt: skip
    assert again == [got[2], 2]
    assert writes(hub, before) == []


def test_the_tree_is_listed_in_pages_with_sizes_and_last_commits(client: Any) -> None:
    got = client(FOLDER + """
api.create_repo("my-org/m")
first = api.upload_folder(repo_id="my-org/m", folder_path=folder).oid
second = api.upload_file(path_or_fileobj=b"new", path_in_repo="sub/new.txt", repo_id="my-org/m").oid
every = {entry.path: entry for entry in api.list_repo_tree("my-org/m", recursive=True, expand=True)}
top = [entry.path for entry in api.list_repo_tree("my-org/m")]
below = [entry.path for entry in api.list_repo_tree("my-org/m", "sub/deep", revision=first)]
some = api.get_paths_info("my-org/m", ["sub", "sub/large.safetensors", "nothing"], expand=True)
give({"every": sorted(every), "top": sorted(top), "below": below, "some": sorted(entry.path for entry in some),
      "large": [every["sub/large.safetensors"].size, every["sub/large.safetensors"].lfs.size, every["empty.txt"].size],
      "last": [every["sub/new.txt"].last_commit.oid == second, every["sub"].last_commit.oid == second, every["README.md"].last_commit.oid == first],
      "none": [status(lambda: list(api.list_repo_tree("my-org/m", "nothing"))), status(lambda: list(api.list_repo_tree("my-org/m", revision="nothing")))],
      "exists": [api.file_exists("my-org/m", "empty.txt"), api.file_exists("my-org/m", "nothing.txt")],
      "missing": [status(lambda: hf_hub_download("my-org/m", "nothing.txt")), status(lambda: hf_hub_download("my-org/m", "a", revision="nothing"))]})
""")  # fmt: skip
    files = [
        "README.md",
        "empty.txt",
        "sub/deep/small.bin",
        "sub/large.safetensors",
        "sub/new.txt",
        "sub/ünï cödé#1.txt",
    ]
    assert got["every"] == sorted([".gitattributes", *files, "sub", "sub/deep"])
    assert got["top"] == sorted([".gitattributes", "README.md", "empty.txt", "sub"])
    assert got["below"] == ["sub/deep/small.bin"]
    assert got["some"] == ["sub", "sub/large.safetensors"]
    assert got["large"] == [3328, 3328, 0]
    assert got["last"] == [True, True, True]
    assert [name for name, _ in got["none"]] in (
        ["EntryNotFoundError", "RevisionNotFoundError"],
        ["RemoteEntryNotFoundError", "RevisionNotFoundError"],
    )
    assert got["exists"] == [True, False]
    assert [code for _, code in got["missing"]] == [404, 404]


def test_a_commit_needs_its_parent_at_the_tip_and_valid_operations(client: Any, hub: Hub) -> None:
    got = client("""
api.create_repo("my-org/m")
first = api.model_info("my-org/m").sha
add = lambda text, path="a.txt": CommitOperationAdd(path, text)
commit = lambda *operations, **more: api.create_commit("my-org/m", list(operations), commit_message="c", **more)
second = commit(add(b"1"), add(b"2", "d/b.txt"), add(bytes(3000), "d/e/c.bin"), parent_commit=first).oid
late = status(lambda: commit(add(b"3"), parent_commit=first))
tip = api.model_info("my-org/m").sha == second
missing = [status(lambda: commit(CommitOperationDelete("nothing"))), status(lambda: commit(CommitOperationDelete("nothing/")))]
both = status(lambda: commit(add(b"x", "a.txt/b")))
outside = [status(lambda: api._build_hf_headers() and commit(add(b"x", "d/.git/x")))]
third = commit(CommitOperationCopy("d/e/c.bin", "copied.bin"), CommitOperationDelete("d/", is_folder=True), CommitOperationDelete("a.txt")).oid
files = sorted(api.list_repo_files("my-org/m"))
pull = api.create_commit("my-org/m", [add(b"9")], commit_message="p", create_pr=True)
give({"late": late, "tip": tip, "missing": missing, "both": both, "outside": outside, "files": files, "pull": [pull.pr_num, pull.pr_revision],
      "main": api.model_info("my-org/m").sha == third, "log": len(api.list_repo_commits("my-org/m"))})
""")
    absent = [404, 404]
    assert got["late"][1] == 412
    assert [code for _, code in got["missing"]] == absent
    assert got["both"] == ["BadRequestError", 400]
    assert got["outside"] != ["passed"]
    assert (got["tip"], got["main"], got["log"]) == (True, True, 3)
    assert got["files"] == [".gitattributes", "copied.bin"]
    assert got["pull"] == [1, "refs/pr/1"]
    assert hub.journal()[-1]["status"] == 200


def test_an_invalid_card_is_refused_before_the_commit(client: Any, hub: Hub) -> None:
    got = client("""
api.create_repo("my-org/m")
def put(text):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            api.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id="my-org/m")
        except ValueError as error:
            return str(error).splitlines()[-1][:24]
    return [str(warning.message).splitlines()[-1] for warning in caught if "metadata" in str(warning.message)]
give([put("---\\nlanguage: Uyghur\\n---\\n"), put("---\\na: [\\n---\\n"), put("# Card\\n"), put("---\\nlicense: mit\\n---\\n")])
""")
    assert got[0].startswith('- "language" must')
    assert got[1].startswith("- Invalid YAML")
    assert got[2] == ["- empty or missing yaml metadata in repo card"]
    assert got[3] == []
    assert len([path for _, path in writes(hub) if "/commit/" in path]) == 2


def test_a_dataset_is_pushed_and_loaded_at_its_tag(client: Any, hub: Hub) -> None:
    push = """
import datasets
datasets.disable_progress_bars()
def make(*words):
    return datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": list(words)}), "test": datasets.Dataset.from_dict({"text": ["t"]})})
def load(revision, name):
    return datasets.load_dataset("my-org/d", name, revision=revision)["train"]["text"][:]
"""
    client(push + """
make("a", "b").push_to_hub("my-org/d", "one")
make("c").push_to_hub("my-org/d", "two")
api.create_tag("my-org/d", tag="v1.0.0", repo_type="dataset")
make("a", "b", "new").push_to_hub("my-org/d", "one")
give(0)
""")  # fmt: skip
    got = client(push + """
give([list(load("v1.0.0", "one")), list(load("v1.0.0", "two")), list(load("main", "one")), datasets.get_dataset_config_names("my-org/d")])
""")  # fmt: skip
    assert got == [["a", "b"], ["c"], ["a", "b", "new"], ["one", "two"]]
    assert not any(path.name.endswith(".partial") for path in hub.root.rglob("*"))
