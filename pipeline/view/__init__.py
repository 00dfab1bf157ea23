"""5 TELL: what happened, to people and to programs."""
