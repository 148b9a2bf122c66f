"""Former names of a repository, gates, strangers' pull requests, and other cases that upstream's tests revealed."""

# ruff: noqa: E501 (the clients' scripts are dense)
# ruff: noqa: S106 (tokens of a test server)

import hashlib
from pathlib import Path
from typing import Any

import httpx
from clients import ACCOUNTS, TOKEN

from hub_cards.local_hub import Hub, start
from hub_cards.local_hub.changes import Large


def test_an_old_name_leads_to_the_new_one_until_it_is_reused(client: Any) -> None:
    got = client("""
api.create_repo("my-org/Old", private=True)
api.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id="my-org/old")  # in another case
api.create_repo("my-org/there")
taken = status(lambda: api.move_repo("my-org/Old", "my-org/There"))
api.move_repo("my-org/Old", "my-org/New")
api.move_repo("my-org/New", "my-org/newest")
read = Path(api.hf_hub_download("my-org/Old", "a.txt")).read_text()
ids = [api.model_info(name).id for name in ("my-org/Old", "my-org/New", "my-org/NEWEST")]
api.create_repo("my-org/Old")
again = api.model_info("my-org/Old").id
api.move_repo("my-org/newest", "my-org/New")
back = [api.model_info(name).id for name in ("my-org/newest", "my-org/New")]
give({"taken": taken, "read": read, "ids": ids, "again": again, "back": back,
      "bad": status(lambda: api.move_repo("my-org/New", "my-org/a--b")), "twice": status(lambda: api.create_repo("my-org/NEW"))})
""")
    assert got == {
        "taken": ["HfHubHTTPError", 409],
        "read": "1",
        "ids": ["my-org/newest"] * 3,
        "again": "my-org/Old",
        "back": ["my-org/New"] * 2,
        "bad": ["BadRequestError", 400],
        "twice": ["HfHubHTTPError", 409],
    }


def test_a_moved_repository_stays_protected_under_its_old_name(client: Any) -> None:
    client("""
api.create_repo("tester/m", private=True)
api.move_repo("tester/m", "my-org/m")
give(0)
""")
    script = """
give([status(call) for call in (lambda: api.model_info("tester/m"), lambda: api.move_repo("tester/m", "stranger/m"),
                                lambda: api.delete_repo("tester/m"))])
"""
    forbidden = ["HfHubHTTPError", 403]
    assert client(script, token="hf_test_stranger") == [["RepositoryNotFoundError", 404], forbidden, forbidden]
    assert client(script, token="hf_test_read") == ["passed", forbidden, forbidden]


def test_a_gate_hides_files_from_strangers_and_shows_the_rest(client: Any) -> None:
    script = """
give([status(call) for call in (lambda: api.model_info("tester/g"), lambda: api.auth_check("tester/g"),
                                lambda: hf_hub_download("tester/g", ".gitattributes"))])
"""
    gated = ["GatedRepoError", 403]
    assert client("""
api.create_repo("tester/g")
api.update_repo_settings("tester/g", gated="auto")
info = api.model_info("tester/g", expand=["gated"])
give([info.gated, status(lambda: api.model_info("tester/g", expand=["nothing"]))])
""") == ["auto", ["BadRequestError", 400]]  # fmt: skip
    assert client(script, token="hf_test_stranger") == ["passed", gated, gated]
    assert client(script) == ["passed"] * 3


def test_a_stranger_may_open_a_pull_request_but_nothing_more(client: Any) -> None:
    client('api.create_repo("tester/m")\napi.create_repo("tester/closed", private=True)\ngive(0)')
    script = """
commit = lambda repo, **more: api.create_commit(repo, [CommitOperationAdd("a.bin", bytes(3000)), CommitOperationAdd("a.txt", b"1")],
                                                commit_message="c", **more)
give([status(lambda: commit("tester/m")), status(lambda: commit("tester/m", create_pr=True)),
      status(lambda: commit("tester/closed", create_pr=True)), status(lambda: commit("tester/m", create_pr=True, revision="0" * 40)),
      api.list_repo_files("tester/m"), api.list_repo_files("tester/m", revision="refs/pr/1") if api.list_repo_refs("tester/m", include_pull_requests=True).pull_requests else []])
"""
    forbidden = ["HfHubHTTPError", 403]
    got = client(script, token="hf_test_read")
    assert (got[:2], got[4:]) == ([forbidden] * 2, [[".gitattributes"], []])
    got = client(script, token="hf_test_stranger")
    assert got[:4] == [forbidden, "passed", ["RepositoryNotFoundError", 404], ["RevisionNotFoundError", 404]]
    assert got[4:] == [[".gitattributes"], [".gitattributes", "a.bin", "a.txt"]]


def test_folders_are_listed_first_ids_may_be_short_and_a_folder_can_be_deleted(client: Any) -> None:
    got = client("""
api.create_repo("tester/m")
first = api.upload_file(path_or_fileobj=b"1", path_in_repo="folder/a.txt", repo_id="tester/m").oid
api.delete_file("folder", "tester/m")
give([[entry.path for entry in api.list_repo_tree("tester/m", revision=first[:7])], api.list_repo_files("tester/m"),
      status(lambda: api.model_info("tester/m", revision=first[:6]))])
""")
    assert got == [["folder", ".gitattributes"], [".gitattributes"], ["RevisionNotFoundError", 404]]


def test_the_raw_content_of_a_large_file_is_its_pointer(client: Any, hub: Hub) -> None:
    client("""
api.create_repo("tester/m")
api.upload_file(path_or_fileobj=bytes(3000), path_in_repo="a.bin", repo_id="tester/m")
give(0)
""")
    answer = httpx.get(f"{hub.endpoint}/tester/m/raw/main/a.bin", trust_env=False)
    assert answer.content == Large(hashlib.sha256(bytes(3000)).hexdigest(), 3000).pointer()


def test_accounts_can_set_display_names_and_make_an_organisation_private(tmp_path: Path) -> None:
    accounts = ACCOUNTS | {
        "users": {"tester": {"organisations": {"my-org": "admin"}, "fullname": "Test Er"}, "stranger": {}},
        "organisations": {"my-org": {"fullname": "Mine", "private": True}},
    }
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        start(tmp_path / "hub", accounts=accounts) as hub,
        httpx.Client(base_url=hub.endpoint, headers=headers, trust_env=False) as http,
    ):
        whoami = http.get("/api/whoami-v2").json()
        body = {"name": "m", "organization": "my-org"}
        created = [
            http.post("/api/repos/create", json=body | more).json() for more in ({}, {"name": "n", "private": False})
        ]
    assert (whoami["fullname"], whoami["orgs"][0]["fullname"]) == ("Test Er", "Mine")
    assert [repository["private"] for repository in created] == [True, False]
