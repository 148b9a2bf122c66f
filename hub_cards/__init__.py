"""Cards for the Hub, and publication: from the manifests of a workspace to repositories with versions."""
