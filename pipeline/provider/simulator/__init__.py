"""The embedded provider: a real server speaking the dialects, faults on order."""
