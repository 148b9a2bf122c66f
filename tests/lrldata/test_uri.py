import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lrldata.conceptnet.uri import Node, edge_uri, edge_uri_of, language_of, node_uri, parse_node, term_of

# A term as in ConceptNet: any text without slashes, tabs, line ends and NUL, with single spaces between words.
_word = st.text(
    st.characters(exclude_characters="/_\t\n\r\0 ", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1
)
terms = st.lists(_word, min_size=1, max_size=4).map(" ".join)
codes = st.from_regex(r"[a-z]{2,3}(-[a-z]{3})?", fullmatch=True)
nodes = st.builds(Node, codes, terms, st.sampled_from(["", "n", "v", "a", "r"])).flatmap(
    lambda bare: st.builds(
        bare._replace, sense=st.sampled_from(["", "wikt/en_1", "wn/animal"]) if bare.pos else st.just("")
    )
)


@given(nodes)
@example(Node("ug", "يىش", "n", "wikt/en_1"))
@example(Node("ro", '5" disc'))
def test_a_node_survives_being_written_and_read(node: Node) -> None:
    assert parse_node(node_uri(node)) == node


@given(st.lists(nodes, min_size=1))
def test_columns_are_read_like_single_nodes(some_nodes: list[Node]) -> None:
    frame = pl.DataFrame({"uri": [node_uri(node) for node in some_nodes]})
    read = frame.select(language=language_of(pl.col("uri")), term=term_of(pl.col("uri")))
    assert read.rows() == [(node.language, node.term) for node in some_nodes]


@given(nodes, nodes)
def test_edge_uris_of_columns_equal_those_of_single_edges(start: Node, end: Node) -> None:
    frame = pl.DataFrame({"r": ["/r/IsA"], "s": [node_uri(start)], "e": [node_uri(end)]})
    uri = frame.select(edge_uri_of(pl.col("r"), pl.col("s"), pl.col("e"))).item()
    assert uri == edge_uri("/r/IsA", node_uri(start), node_uri(end))


def test_the_term_is_the_third_part_and_never_the_last() -> None:
    assert parse_node("/c/ro/casă/n/wn/artifact") == Node("ro", "casă", "n", "wn/artifact")
    assert parse_node("/c/en/ice_cream").term == "ice cream"


@pytest.mark.parametrize("wrong", ["", "casă", "/c/ro", "/r/IsA", "/c//casă", "http://example.org/c/ro/casă"])
def test_a_uri_that_is_not_a_node_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not a node"):
        parse_node(wrong)
    assert pl.DataFrame({"uri": [wrong]}).select(language_of(pl.col("uri"))).item() is None
