"""The member for labels never seen: more renaming, fewer descriptions, types dropped more often.

See ``starter`` for how it is run.
"""

from __future__ import annotations

from dataclasses import replace

from tools.finetuning.recipes.starter import DENSE, SHARES, Recipe, main

MIX = replace(DENSE, rename=0.5, bare=0.35, drop_types=0.5, no_demonstrations=0.45)
RECIPE = Recipe(
    "broad",
    SHARES,
    MIX,
    steps=200,
    learning_rate=3e-4,
    seed=31,
    first=Recipe("broad_first", SHARES, MIX, steps=296, learning_rate=4e-4, seed=21),
)

if __name__ == "__main__":
    main(RECIPE)
