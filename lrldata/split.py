"""Train, validation and test splits by content. Pure."""

import random
from collections.abc import Sequence

import polars as pl
from xxhash import xxh3_64_intdigest

SPLITS = ("train", "validation", "test")
TENTHS = ("train",) * 8 + ("validation", "test")


def comparison_key(text: pl.Expr) -> pl.Expr:
    """Bring text to the form in which duplicates are compared: NFC, lower case, single spaces."""
    return text.str.normalize("NFC").str.to_lowercase().str.replace_all(r"\s\s+|[^\S ]", " ").str.strip_chars()


def pair_key(first: pl.Expr, second: pl.Expr) -> pl.Expr:
    """Return the same text for a pair of (normalised) terms in either order."""
    ordered = first <= second
    low, high = pl.when(ordered).then(first).otherwise(second), pl.when(ordered).then(second).otherwise(first)
    return pl.concat_str([low, high], separator="\t")


def content_hash(keys: pl.Series) -> pl.Series:
    """Hash texts to 64 bits with XXH3: the same in every version, on every machine, with any number of threads."""
    return pl.Series(keys.name, [xxh3_64_intdigest(key) for key in keys.cast(pl.Binary)], dtype=pl.UInt64)


def by_pair(pair_hash: pl.Expr) -> pl.Expr:
    """Assign 80/10/10 by the hash of a pair of terms: all facts of a pair always share a split."""
    return (pair_hash % len(TENTHS)).replace_strict(range(len(TENTHS)), TENTHS, return_dtype=pl.String)


def site_of(address: pl.Expr) -> pl.Expr:
    """Return the host in an address, with or without a scheme: in lower case, without a user name, port or `www.`."""
    return address.str.to_lowercase().str.extract(
        r"^(?:(?:[a-z][a-z0-9+.-]*:)?//)?(?:[^/?#@]*@)?(?:www\.)?([^/:?#]+)", 1
    )


def at_random(rows: int, seed: int) -> Sequence[str]:
    """Assign 80/10/10 at random, as in the paper: a fact and its reverse may be in different splits."""
    train, held_out = int(rows * 0.8), int(rows * 0.9)
    assigned = ["train"] * train + ["validation"] * (held_out - train) + ["test"] * (rows - held_out)
    random.Random(seed).shuffle(assigned)
    return assigned
