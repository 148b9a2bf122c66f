"""The columns of the tables of each stage."""

import polars as pl

# The index of a dump (conceptnet/index.py): one row per edge, in the dump's order.
INDEX = pl.Schema(
    {
        "relation": pl.String,  # /r/NAME
        "start": pl.String,  # node URI
        "end": pl.String,  # node URI, or a URL
        "start_lang": pl.String,
        "end_lang": pl.String,  # null for a URL
        "tail": pl.String,  # the end of the edge's JSON, with the weight: ..."weight": 1.0}
        "head": pl.String,  # its beginning: {"dataset": "...", "license": "...
    }
)

# A dataset of web text, as published: one row per line, in document order.
WEB = pl.Schema(
    {
        "text": pl.String,  # the line
        "doc": pl.String,  # FILE#NUMBER of the line's document
        "url": pl.String,  # of that document, if known
    }
)

# A dataset of ConceptNet sentences, as published.
CONCEPTNET = pl.Schema(
    {
        "text": pl.String,  # the sentence
        "relation": pl.String,  # NAME, without /r/
        "start": pl.String,  # term as in the sentence; symmetric facts may be reversed
        "end": pl.String,
        "start_lang": pl.String,  # ConceptNet's code
        "end_lang": pl.String,
        "weight": pl.Float64,
        "source_dataset": pl.String,  # /d/...
        "license": pl.String,  # cc:by/4.0 or cc:by-sa/4.0
        "edge_uri": pl.String,  # /a/[...], as ConceptNet stores the edge
    }
)
