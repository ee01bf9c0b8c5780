"""The member for news, encyclopaedias, social media and novels. See ``starter`` for how it is run."""

from __future__ import annotations

from tools.finetuning.recipes.starter import DENSE, EVERYDAY, Recipe, main, tilted

RECIPE = Recipe("everyday", tilted(EVERYDAY, 4.0), DENSE, steps=294, learning_rate=4e-4, seed=22)

if __name__ == "__main__":
    main(RECIPE)
