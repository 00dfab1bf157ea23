"""2 WAIT: leave to send."""
