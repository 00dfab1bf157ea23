"""DRIVES: a task to its outcome."""
