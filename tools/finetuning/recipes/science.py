"""The member for biomedical and technical texts. See ``starter`` for how it is run."""

from __future__ import annotations

from tools.finetuning.recipes.starter import DENSE, EVERYDAY, SHARES, Recipe, main, tilted

RECIPE = Recipe(
    "science",
    tilted([name for name in SHARES if name not in EVERYDAY], 4.0),
    DENSE,
    steps=277,
    learning_rate=4e-4,
    seed=23,
)

if __name__ == "__main__":
    main(RECIPE)
