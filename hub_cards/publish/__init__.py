"""Publication: from a workspace to repositories with versions, on the Hub or a stand-in."""
