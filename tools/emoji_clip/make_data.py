"""Writes calibration/emoji: quadruplets in three splits and a zero-shot set.

    python make_data.py EMOJI_PACKAGE_DIR OUT_DIR

The splits share no composition (set of emoji), safe or unsafe, and no two safe ones are the same anywhere. The training
script draws no safe scene with one of those of two or more emoji (single emoji it must see: they are the classes).
"""

import json
import random
import sys
from pathlib import Path

from scenes import Emoji, couple, draw, phrase, place, sample_items
from vocab import COLOURS, SAFE, TEMPLATES, UNSAFE

SEED = 20261123
SPLITS = {"calibration": 512, "validation": 256, "evaluation": 640}
SHOTS = 5  # zero-shot images a class


def held_out(rng):
    """(split, composition) of every quadruplet; no composition twice."""
    seen = set()
    for split, count in SPLITS.items():
        for _ in range(count):
            items = sample_items(rng, single=0.05)
            while frozenset(items) in seen:
                items = sample_items(rng, single=0.05)
            seen.add(frozenset(items))
            yield split, items


def held_out_compositions():
    return {frozenset(items) for _, items in held_out(random.Random(SEED))}


def main(package, out):
    emoji = Emoji(package)
    rng = random.Random(SEED + 1)
    (out / "images").mkdir(parents=True, exist_ok=True)
    concepts = sorted(UNSAFE)
    rows, unsafe = [], {}
    for n, (split, items) in enumerate(held_out(random.Random(SEED))):
        made = couple(rng, emoji, items, concepts[n % len(concepts)])
        redraw = random.Random(f"{SEED} {n}")
        while unsafe.setdefault(made["unsafe_composition"], split) != split:
            made = couple(redraw, emoji, redraw.sample(items, len(items)))
        row = {"id": f"{n:04d}", "safe_text": made["safe_text"], "unsafe_text": made["unsafe_text"]}
        for role in ("safe", "unsafe"):
            name = f"images/{n:04d}_{role}.png"
            made[f"{role}_image"].save(out / name, optimize=True)
            row[f"{role}_image"] = name
        row |= {"concept": made["concept"], "split": split, "style": made["style"]}
        rows.append(row)
    with open(out / "manifest.jsonl", "w") as f:
        for row in rows:
            f.write(json.dumps(row) + "\n")

    (out / "zeroshot").mkdir(exist_ok=True)
    labels = sorted(SAFE)
    images = []
    for c, short in enumerate(labels):
        for k in range(SHOTS):
            name = f"zeroshot/{c:03d}_{k}.png"
            kind, colour = rng.choice(["plain", "gradient", "blocky", "noisy"]), COLOURS[rng.choice(sorted(COLOURS))]
            draw(rng, emoji, [short], place(rng, 1), kind, colour).save(out / name, optimize=True)
            images.append({"image": name, "label": c})
    zeroshot = {"labels": [phrase(s) for s in labels], "templates": TEMPLATES, "images": images}
    (out / "zeroshot.json").write_text(json.dumps(zeroshot, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
