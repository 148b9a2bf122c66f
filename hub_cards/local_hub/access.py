"""Users, organisations, tokens with roles, and the permissions that they have.

They are defined in a file (TOML or JSON), or by the defaults below. Tokens are compared by their SHA-256 and are not
stored anywhere else.

    [users.tester]
    organisations = { my-org = "admin" }   # admin, write, contributor, read
    fullname = "Test Er"                   # shown to people; by default, the user's name

    [organisations.my-org]                 # optional
    fullname = "My Organisation"
    private = true                         # new repositories are private unless requested otherwise

    [[tokens]]
    token = "..."                          # or sha256 = "..."
    user = "tester"
    role = "fineGrained"                   # read, write, fineGrained
    # of a fine-grained token: rights by namespace; one for a single repository can change nothing here
    scopes = { my-org = ["repo.write", "collection.write"] }
"""

import hashlib
import hmac
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from hub_cards.local_hub.answers import no_repository, refused

READ, WRITE, FINE = "read", "write", "fineGrained"
REPOSITORIES, COLLECTIONS = "repo.write", "collection.write"  # the rights to change them
_MAY_WRITE = {"admin", "write", "contributor"}
_REDACTED = "[redacted]"
# Used without a file. These tokens are not secrets, so they can be in the source code.
DEFAULTS: dict[str, Any] = {
    "users": {"tester": {"organisations": {"my-org": "admin"}}, "stranger": {"organisations": {}}},
    "tokens": [
        {"token": "hf_test_write", "user": "tester", "role": WRITE},
        {"token": "hf_test_read", "user": "tester", "role": READ},
        {"token": "hf_test_fine", "user": "tester", "role": FINE, "scopes": {"my-org": [REPOSITORIES, COLLECTIONS]}},
        {"token": "hf_test_stranger", "user": "stranger", "role": WRITE},
    ],
}


@dataclass(frozen=True)
class Token:
    """A token, without its text."""

    user: str
    role: str
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()  # a header may contain any bytes


class Accounts:
    """The users with their organisations, and the tokens."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.users: dict[str, dict[str, str]] = {
            name: dict(user.get("organisations", {})) for name, user in described["users"].items()
        }
        self._organisations: dict[str, Any] = dict(described.get("organisations", {}))
        self._fullnames = {
            name: str(owner["fullname"])
            for name, owner in [*self._organisations.items(), *described["users"].items()]
            if "fullname" in owner
        }
        self._tokens: dict[str, Token] = {}
        self._texts: list[str] = []
        for entry in described["tokens"]:
            if entry["role"] not in {READ, WRITE, FINE} or entry["user"] not in self.users:
                raise ValueError(
                    f"the token of {entry['user']} with the role {entry['role']} has an unknown user or role"
                )
            scopes = {name: tuple(rights) for name, rights in entry.get("scopes", {}).items()}
            digest = entry.get("sha256") or _digest(entry["token"])
            self._tokens[digest] = Token(entry["user"], entry["role"], scopes)
            self._texts += [entry["token"]] if "token" in entry else []

    @classmethod
    def read(cls, path: Path | None) -> "Accounts":
        """Read a TOML or JSON file; without one, return the defaults."""
        if path is None:
            return cls(DEFAULTS)
        text = path.read_text("utf-8")
        return cls(json.loads(text) if path.suffix == ".json" else tomllib.loads(text))

    def redact(self, text: str) -> str:
        """Return the text with every known token, and everything that looks like a token, redacted."""
        for token in self._texts:
            text = text.replace(token, _REDACTED)
        return re.sub(r"hf_[A-Za-z0-9]{24,}", _REDACTED, text)

    def asker(self, request: web.Request) -> Token | None:
        """Return the token of a request, or None if it has none. Raises 401 if the token is not known."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        digest = _digest(text.strip())
        for known_digest, token in self._tokens.items():
            if hmac.compare_digest(known_digest, digest):
                return token
        raise refused(401, "Invalid credentials in Authorization header")

    def must_be_known(self, request: web.Request) -> Token:
        """Return the token of a request. Raises 401 if it has none."""
        token = self.asker(request)
        if token is None:
            raise refused(401, "Invalid username or password.")
        return token

    def sees(self, token: Token | None, namespace: str) -> bool:
        """Return whether a token may see the private repositories and collections of a namespace."""
        if token is None or (token.user != namespace and namespace not in self.users[token.user]):
            return False
        return token.role != FINE or bool(token.scopes.get(namespace))

    def writes(self, token: Token, namespace: str, right: str = REPOSITORIES) -> bool:
        """Return whether a token may change the repositories of a namespace, or its collections."""
        role = "admin" if token.user == namespace else self.users[token.user].get(namespace)
        if role not in _MAY_WRITE or token.role == READ:
            return False
        return token.role == WRITE or right in token.scopes.get(namespace, ())

    def suggests(self, token: Token, namespace: str, *, private: bool) -> bool:
        """Return whether a token may open pull requests in the repositories of a namespace."""
        return self.writes(token, namespace) or (token.role == WRITE and (not private or self.sees(token, namespace)))

    def makes_private(self, namespace: str) -> bool:
        """Return whether new repositories of a namespace are private by default."""
        return bool(self._organisations.get(namespace, {}).get("private"))

    def must_see(self, request: web.Request, namespace: str, *, private: bool) -> None:
        """Raise the Hub's error for a private repository if the sender may not see it."""
        token = self.asker(request)
        if private and not self.sees(token, namespace):
            if token is None:
                raise refused(401, "Invalid username or password.", "RepoNotFound")
            raise no_repository()

    def must_write(self, request: web.Request, namespace: str, right: str = REPOSITORIES) -> Token:
        """Return the token of a request. Raises 401 or 403 if it may not change the namespace."""
        token = self.must_be_known(request)
        if not self.writes(token, namespace, right):
            raise refused(403, f'You don\'t have the rights to write under the namespace "{namespace}"')
        return token

    def must_pass_gate(self, request: web.Request, namespace: str, name: str) -> None:
        """Raise the Hub's error for a gated repository if the sender may not have its files."""
        token = self.asker(request)
        if token is None:
            raise refused(401, f"Access to {name} is restricted. You must be authenticated to access it.", "GatedRepo")
        if not self.sees(token, namespace):
            message = f"Access to {name} is restricted and you are not in the authorized list."
            raise refused(403, message, "GatedRepo")

    def whoami(self, token: Token) -> dict[str, Any]:
        """Describe a token and its owner."""
        access: dict[str, Any] = {
            "displayName": f"{token.user}'s {token.role} token",
            "role": token.role,
            "createdAt": "2024-01-01T00:00:00.000Z",
        }
        if token.role == FINE:
            scoped = [
                {
                    "entity": {
                        "_id": _id(name),
                        "type": "user" if name == token.user else "org",
                        "name": name,
                    },
                    "permissions": list(rights),
                }
                for name, rights in token.scopes.items()
            ]
            access["fineGrained"] = {"canReadGatedRepos": False, "global": [], "scoped": scoped}
        return {
            "type": "user",
            "id": _id(token.user),
            "name": token.user,
            "fullname": self._fullnames.get(token.user, token.user),
            "email": f"{token.user}@localhost",
            "emailVerified": True,
            "canPay": False,
            "isPro": False,
            "periodEnd": None,
            "avatarUrl": "",
            "orgs": [
                {
                    "type": "org",
                    "id": _id(name),
                    "name": name,
                    "fullname": self._fullnames.get(name, name),
                    "email": None,
                    "canPay": False,
                    "isEnterprise": False,
                    "avatarUrl": "",
                    "roleInOrg": role,
                }
                for name, role in self.users[token.user].items()
            ],
            "auth": {"type": "access_token", "accessToken": access},
        }


def _id(name: str) -> str:
    return _digest(name)[:24]
