"""From a ConceptNet dump to facts in sentences."""
