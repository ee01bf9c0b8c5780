"""Language models on this machine: the embedded default, what a project may name, local vLLM servers."""
