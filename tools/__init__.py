"""What the agent can do: annotation vocabulary, store, formats, demonstrations, metrics, training."""
