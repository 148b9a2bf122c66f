"""Web text: from documents to lines that are fit to train on, with every line that goes accounted for."""
