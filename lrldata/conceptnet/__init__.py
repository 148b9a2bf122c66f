"""Build datasets of sentences from the facts in a ConceptNet dump."""
