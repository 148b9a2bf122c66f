"""Review by speakers: lines to judge, verdict files, what they show and how certainly, and the page to judge on."""
