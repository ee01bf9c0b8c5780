"""The member for news, encyclopaedias, social media and novels. See ``starter`` for how it is run."""

from __future__ import annotations

from tools.finetuning.recipes.starter import DENSE, EVERYDAY, Recipe, main, tilted

RECIPE = Recipe("everyday", tilted(EVERYDAY, 4.0), DENSE, steps=58, learning_rate=2.5e-4, seed=22)

if __name__ == "__main__":
    main(RECIPE)
