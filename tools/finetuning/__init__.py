"""LoRA over the product's own prompts."""
