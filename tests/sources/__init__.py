"""One suite for every source of batches: what a user may rely on, wherever the objects are."""
