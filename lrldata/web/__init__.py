"""Web text: turn documents into lines that are fit to train on, and account for every line that is dropped."""
