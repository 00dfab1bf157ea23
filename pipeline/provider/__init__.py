"""3 ASK: a request becomes images."""
