"""ConceptNet's URIs: /c/LANG/TERM[/POS[/SENSE...]] for nodes, /a/[/r/REL/,START/,END/] for edges. Pure.

Source: ConceptNet 5 wiki, page "URI hierarchy". The term is the third part, which need not be the last one.
"""

import polars as pl

NODE_LANGUAGE = r"^/c/([^/]+)/"  # no match: not a node


def edge_uri(relation: str, start: str, end: str) -> str:
    """Return the URI of an edge, built from its relation (/r/...) and its two node URIs."""
    return f"/a/[{relation}/,{start}/,{end}/]"


def language_of(node: pl.Expr) -> pl.Expr:
    """Return the language of each node URI, or null if it is not a node."""
    return node.str.extract(NODE_LANGUAGE)


def term_of(node: pl.Expr) -> pl.Expr:
    """Return the term of each node URI, with underscores replaced by spaces; empty if there is none."""
    # A split is faster than a capture: parts 0 to 3 are "", "c", the language and the term.
    term = node.str.splitn("/", 5).struct.field("field_3")
    return term.str.replace_all("_", " ", literal=True).str.strip_chars().fill_null("")


def edge_uri_of(relation: pl.Expr, start: pl.Expr, end: pl.Expr) -> pl.Expr:
    """Return the URI of each edge, as `edge_uri` does for a single one."""
    return pl.concat_str([pl.lit("/a/["), relation, pl.lit("/,"), start, pl.lit("/,"), end, pl.lit("/]")])
