"""The LangGraph state machines, the engines that complete prompts, unattended runs."""
