"""Labelling without a screen: cursor, marks, decisions, layout. Nothing here imports Textual."""
