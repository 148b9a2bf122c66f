"""The pipeline of `lrltrain fit`: from the text of languages to the folders of adapters."""
