"""The extraction graph: from a batch of passages to entities with votes and confidence."""
