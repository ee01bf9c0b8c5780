"""What a person meets in the terminal: the ``quorum`` command and the screens."""
