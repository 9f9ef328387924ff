"""Bills of materials as CycloneDX 1.6: what a version was made of, and what an image holds."""
