"""Measurements of Headgate beside its peers: `make bench`. Never collected by pytest."""
