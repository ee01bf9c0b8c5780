"""What a person meets in the terminal: the ``quorum`` command and the screens."""

import os

# Textual paints at most this often a second; a key should not wait for the next of sixty turns. Read at its import.
os.environ.setdefault("TEXTUAL_FPS", "250")
