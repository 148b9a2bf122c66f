"""The pipeline of `lrltrain fit`: from text in some languages to the folders of adapters."""
