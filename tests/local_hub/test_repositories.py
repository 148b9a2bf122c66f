"""Repositories, tokens, branches, tags and collections, with huggingface_hub."""

# ruff: noqa: E501 (the clients' scripts are dense)
# ruff: noqa: S106 (tokens of a test server)

from typing import Any

from hub_cards.local_hub import Hub


def test_a_repository_is_created_described_and_deleted(client: Any) -> None:
    got = client("""
first = str(api.create_repo("my-org/one", repo_type="dataset", private=True))
again = status(lambda: api.create_repo("my-org/one", repo_type="dataset"))
kept = str(api.create_repo("my-org/one", repo_type="dataset", exist_ok=True))
info = api.dataset_info("my-org/one", files_metadata=True)
narrow = api.dataset_info("my-org/one", expand=["private", "lastModified"])
found = [dataset.id for dataset in api.list_datasets(author="my-org")]
api.update_repo_settings("my-org/one", repo_type="dataset", private=False)
public = api.dataset_info("my-org/one").private
api.create_repo("mine")
model = api.model_info("tester/mine").id
api.delete_repo("my-org/one", repo_type="dataset")
give({"same": first == kept, "again": again, "private": info.private, "public": public, "model": model, "found": found,
      "files": [(file.rfilename, file.size > 0) for file in info.siblings],
      "narrow": [narrow.private, narrow.last_modified is not None, narrow.siblings],
      "gone": [status(lambda: api.dataset_info("my-org/one")), api.repo_exists("my-org/one", repo_type="dataset"),
               status(lambda: api.delete_repo("my-org/one", repo_type="dataset")),
               status(lambda: api.delete_repo("my-org/one", repo_type="dataset", missing_ok=True))],
      "bad": status(lambda: api._build_hf_headers() and api.model_info("nobody"))})
""")
    assert got == {
        "same": True,
        "again": ["HfHubHTTPError", 409],
        "private": True,
        "public": False,
        "model": "tester/mine",
        "found": ["my-org/one"],
        "files": [[".gitattributes", True]],
        "narrow": [True, True, None],
        "gone": [["RepositoryNotFoundError", 404], False, ["RepositoryNotFoundError", 404], "passed"],
        "bad": ["RepositoryNotFoundError", 404],
    }


def test_what_a_token_may_do_depends_on_its_role_and_namespace(client: Any) -> None:
    client("""
api.create_repo("my-org/closed", private=True)
api.create_repo("tester/closed", private=True)
api.create_repo("my-org/open")
give(0)
""")
    script = """
me = status(lambda: api.whoami())
give([me, api.whoami()["auth"]["accessToken"]["role"] if me == "passed" else None] + [status(call) for call in (
    lambda: api.model_info("my-org/closed"), lambda: api.model_info("tester/closed"), lambda: api.model_info("my-org/open"),
    lambda: api.create_repo("my-org/new", exist_ok=True), lambda: api.create_repo("tester/new", exist_ok=True),
    lambda: api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="my-org/open"))])
"""
    hidden, forbidden = ["RepositoryNotFoundError", 404], ["HfHubHTTPError", 403]
    unknown = ["RepositoryNotFoundError", 401]
    yes = "passed"
    assert client(script) == [yes, "write", yes, yes, yes, yes, yes, yes]
    assert client(script, token="hf_test_read") == [yes, "read", yes, yes, yes, yes, yes, forbidden]
    client('api.delete_repo("my-org/new")\napi.delete_repo("tester/new")\ngive(0)')
    assert client(script, token="hf_test_read")[5:] == [forbidden] * 3
    assert client(script, token="hf_test_fine") == [yes, "fineGrained", yes, hidden, yes, yes, forbidden, yes]
    assert client(script, token="hf_test_stranger") == [
        *(yes, "write", hidden, hidden, yes), *(yes, forbidden, forbidden),  # by now, my-org/new exists and is public
    ]  # fmt: skip
    got = client(script, token="hf_test_unknown")
    assert got[1:] == [None, *[got[2]] * 6]
    assert got[2][1] == 401
    got = client('give([status(lambda: api.model_info("my-org/closed", token=False)), '
                 'status(lambda: api.model_info("my-org/nothing", token=False)), '
                 'status(lambda: api.create_repo("x", token=False))])')  # fmt: skip
    assert got[:2] == [unknown, unknown]
    assert got[2][1] == 401


def test_branches_and_tags_are_created_once_listed_and_deleted(client: Any) -> None:
    got = client("""
api.create_repo("tester/r")
first = api.model_info("tester/r").sha
second = api.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id="tester/r", commit_message="Add a", commit_description="For a test").oid
api.create_tag("tester/r", tag="v1.0.0", tag_message="The first")
api.create_tag("tester/r", tag="old/one", revision=first)
api.create_branch("tester/r", branch="dev/x", revision="v1.0.0")
third = api.upload_file(path_or_fileobj=b"2", path_in_repo="a.txt", repo_id="tester/r", revision="dev/x").oid
refs = api.list_repo_refs("tester/r")
commits = api.list_repo_commits("tester/r", revision="dev/x", formatted=True)
again = [status(lambda: api.create_tag("tester/r", tag="v1.0.0")), status(lambda: api.create_tag("tester/r", tag="v1.0.0", exist_ok=True)),
         status(lambda: api.create_branch("tester/r", branch="dev/x")), status(lambda: api.create_branch("tester/r", branch="dev/x", exist_ok=True)),
         status(lambda: api.create_tag("tester/r", tag="bad..name")), status(lambda: api.create_tag("tester/r", tag="t", revision="nothing"))]
read = Path(api.hf_hub_download("tester/r", "a.txt", revision="dev/x")).read_text() + Path(api.hf_hub_download("tester/r", "a.txt", revision=second)).read_text()
api.delete_tag("tester/r", tag="old/one")
api.delete_branch("tester/r", branch="dev/x")
left = api.list_repo_refs("tester/r")
give({"branches": {ref.name: ref.target_commit for ref in refs.branches} == {"main": second, "dev/x": third},
      "tags": {ref.name: ref.target_commit for ref in refs.tags} == {"v1.0.0": second, "old/one": first},
      "commits": [commit.commit_id for commit in commits] == [third, second, first],
      "log": [commits[1].title, commits[1].message, commits[1].authors], "again": again, "read": read,
      "left": [[ref.name for ref in left.branches], [ref.name for ref in left.tags]],
      "gone": [status(lambda: api.delete_tag("tester/r", tag="old/one")), status(lambda: api.delete_branch("tester/r", branch="main"))]})
""")
    conflict = ["HfHubHTTPError", 409]
    assert got == {
        "branches": True,
        "tags": True,
        "commits": True,
        "log": ["Add a", "For a test", ["tester"]],
        "again": [conflict, "passed", conflict, "passed", ["BadRequestError", 400], ["RevisionNotFoundError", 404]],
        "read": "21",
        "left": [["main"], ["v1.0.0"]],
        "gone": [["RevisionNotFoundError", 404], ["HfHubHTTPError", 403]],
    }


def test_collections_hold_each_repository_once(client: Any, hub: Hub) -> None:
    got = client("""
api.create_repo("my-org/data", repo_type="dataset")
api.create_repo("my-org/model")
created = api.create_collection("Uyghur", namespace="my-org", description="d")
same = api.create_collection("Uyghur", namespace="my-org", exists_ok=True)
api.add_collection_item(created.slug, "my-org/data", "dataset", note="rows")
full = api.add_collection_item(created.slug, "my-org/model", "model")
again = [status(lambda: api.add_collection_item(created.slug, "my-org/model", "model")),
         status(lambda: api.add_collection_item(created.slug, "my-org/model", "model", exists_ok=True)),
         status(lambda: api.add_collection_item(created.slug, "my-org/nothing", "model"))]
api.update_collection_item(created.slug, full.items[1].item_object_id, position=0)
changed = api.update_collection_metadata(created.slug, title="Uyghur adapters")
shown = api.get_collection(created.slug)
found = [collection.slug for collection in api.list_collections(owner="my-org")]
none = list(api.list_collections(owner="tester"))
api.delete_collection_item(created.slug, full.items[1].item_object_id)
short = api.get_collection(created.slug)
api.delete_collection(created.slug)
give({"same": same.slug == created.slug, "again": again, "found": found == [changed.slug] != [created.slug], "none": none, "title": shown.title,
      "items": [(item.item_id, item.item_type, item.note) for item in shown.items], "left": len(short.items),
      "gone": status(lambda: api.get_collection(created.slug))})
""")
    assert got == {
        "same": True,
        "again": [["HfHubHTTPError", 409], "passed", got["again"][2]],
        "found": True,
        "none": [],
        "title": "Uyghur adapters",
        "items": [["my-org/model", "model", None], ["my-org/data", "dataset", "rows"]],
        "left": 1,
        "gone": got["gone"],
    }
    assert got["again"][2][1] == 404
    assert got["gone"][1] == 404
    assert not list(hub.root.glob("collections/*/*.json"))
