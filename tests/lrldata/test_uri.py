"""ConceptNet URIs: the expressions on columns agree with the grammar of a single URI."""

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lrldata.conceptnet.uri import edge_uri, edge_uri_of, language_of, term_of

# A term as in ConceptNet: any text without slashes, tabs, line ends and NUL, with single spaces between words.
_word = st.text(
    st.characters(exclude_characters="/_\t\n\r\0 ", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1
)
terms = st.lists(_word, min_size=1, max_size=4).map(" ".join)
codes = st.from_regex(r"[a-z]{2,3}(-[a-z]{3})?", fullmatch=True)
ends = st.sampled_from(["", "/n", "/v", "/a/wikt/en_1", "/n/wn/animal"])
nodes = st.tuples(codes, terms, ends)  # language, term, and an optional part of speech and sense


def uri_of(node: tuple[str, str, str]) -> str:
    language, term, end = node
    return f"/c/{language}/{term.replace(' ', '_')}{end}"


@given(st.lists(nodes, min_size=1))
@example([("ug", "يىش", "/n/wikt/en_1"), ("ro", '5" disc', "")])
def test_the_language_and_the_term_are_read_from_columns(some_nodes: list[tuple[str, str, str]]) -> None:
    frame = pl.DataFrame({"uri": list(map(uri_of, some_nodes))})
    read = frame.select(language=language_of(pl.col("uri")), term=term_of(pl.col("uri")))
    assert read.rows() == [(language, term) for language, term, _ in some_nodes]


@given(nodes, nodes)
def test_edge_uris_of_columns_equal_those_of_single_edges(
    start: tuple[str, str, str], end: tuple[str, str, str]
) -> None:
    frame = pl.DataFrame({"r": ["/r/IsA"], "s": [uri_of(start)], "e": [uri_of(end)]})
    uri = frame.select(edge_uri_of(pl.col("r"), pl.col("s"), pl.col("e"))).item()
    assert uri == edge_uri("/r/IsA", uri_of(start), uri_of(end))


@pytest.mark.parametrize("wrong", ["", "casă", "/c/ro", "/r/IsA", "/c//casă", "http://example.org/c/ro/casă"])
def test_a_uri_that_is_not_a_node_has_no_language(wrong: str) -> None:
    assert pl.DataFrame({"uri": [wrong]}).select(language_of(pl.col("uri"))).item() is None
