"""The console over the file of an exported log."""
