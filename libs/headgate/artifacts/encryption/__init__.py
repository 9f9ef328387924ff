"""Encryption of the artifact store at rest. Each object has a data key of its own, which a key-encryption key wraps."""
