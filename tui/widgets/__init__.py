"""Widgets of the Textual screens."""
