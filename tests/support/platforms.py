"""What the operating system must support for a test to run."""

import sys

import pytest

needs_byte_names = pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses file names that are not UTF-8")
