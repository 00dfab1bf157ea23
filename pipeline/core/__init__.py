"""The words: values every stage speaks in, and the ports the engine needs them through."""
