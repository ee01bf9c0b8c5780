"""The member for labels never seen: more renaming, fewer descriptions, types dropped more often.

See ``starter`` for how it is run.
"""

from __future__ import annotations

from dataclasses import replace

from tools.finetuning.recipes.starter import DENSE, SHARES, Recipe, main

RECIPE = Recipe(
    "broad",
    SHARES,
    replace(DENSE, rename=0.5, bare=0.35, drop_types=0.5, no_demonstrations=0.45),
    steps=62,
    learning_rate=4e-4,
    seed=21,
)

if __name__ == "__main__":
    main(RECIPE)
