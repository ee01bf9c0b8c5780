"""What the screens show, read and reckoned without Textual."""
