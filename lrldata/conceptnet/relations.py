"""The relations of ConceptNet 5.7, read from relations.toml."""

import tomllib
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

EXTERNAL_URL = "/r/ExternalURL"


class Relation(BaseModel):
    """A relation: how to read an edge (start, end), whether the order of its ends matters, and an example."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    direction: str
    example: tuple[str, str]
    symmetric: bool = False


@cache
def relations() -> dict[str, Relation]:
    """Return the relations by their names without /r/, such as `IsA` or `dbpedia/genre`."""
    table = tomllib.loads(files("lrldata.conceptnet").joinpath("relations.toml").read_text("utf-8"))["relations"]
    return {name: Relation(name=name, **row) for name, row in table.items()}


def symmetric_relations() -> list[str]:
    """Return the names of the relations for which (start, end) and (end, start) are the same fact."""
    return [name for name, relation in relations().items() if relation.symmetric]
