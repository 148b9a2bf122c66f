"""Datasets for low-resource languages: ConceptNet facts as sentences, versioned for the Hugging Face Hub."""

__version__ = "0.1.0"
