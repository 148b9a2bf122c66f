"""The columns of each stage, in one place."""

import polars as pl

# The index of a dump (conceptnet/index.py): one row an edge, in the dump's order.
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

# A dataset of web text, as published: a row per line, in the order of their documents.
WEB = pl.Schema(
    {
        "text": pl.String,  # the line
        "doc": pl.String,  # FILE#NUMBER of the document that it is from
        "url": pl.String,  # of that document, where it is known
    }
)

# A dataset of ConceptNet sentences, as published.
CONCEPTNET = pl.Schema(
    {
        "text": pl.String,  # the sentence
        "relation": pl.String,  # NAME, without /r/
        "start": pl.String,  # term as the sentence says it; symmetric facts may be turned round
        "end": pl.String,
        "start_lang": pl.String,  # ConceptNet's code
        "end_lang": pl.String,
        "weight": pl.Float64,
        "source_dataset": pl.String,  # /d/...
        "license": pl.String,  # cc:by/4.0 or cc:by-sa/4.0
        "edge_uri": pl.String,  # /a/[...], as ConceptNet stores the edge
    }
)
