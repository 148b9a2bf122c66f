"""Review by speakers: lines to judge, verdict files, what they say with which certainty, and the page to judge on."""
