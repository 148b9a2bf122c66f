"""Publish the artifacts of a workspace as versioned repositories, on the Hub or a stand-in for it."""
