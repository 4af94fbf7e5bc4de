"""Scenes of emoji with captions: drawing, sampling, compositions. Deterministic given a `random.Random`."""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from vocab import COLOURS, GRIM, NO_ARTICLE, SAFE, SCENE_WORDS, UNSAFE

CANVAS = 64  # pixels; the model's preprocessor resizes to 48


class Emoji:
    """The emoji images, each at the sizes scenes use."""

    SIZES = range(22, 37, 2)

    def __init__(self, package: Path):
        table = json.loads((package / "emoji.json").read_text())
        files = {short: row["image"] for row in table for short in row["short_names"]}
        self.images = {}
        for short in list(SAFE) + [s for concept in UNSAFE.values() for s in concept]:
            picture = Image.open(package / "img/google/64" / files[short]).convert("RGBA")
            self.images[short] = {n: picture.resize((n, n), Image.BICUBIC) for n in self.SIZES}


def words(short):
    if short in SAFE:
        return SAFE[short]
    return next(names[short] for names in UNSAFE.values() if short in names)


def phrase(short):
    """The emoji's words with their article."""
    name = words(short)
    if name in NO_ARTICLE:
        return name
    return ("an " if name[0] in "aeiou" else "a ") + name


def background(rng, kind, colour):
    """[64, 64, 3] uint8. `kind`: plain, gradient, blocky, noisy, or stormy (the shared look of styled unsafe scenes)."""
    noise = np.random.default_rng(rng.getrandbits(32))
    base = np.array(colour, np.float32)
    if kind == "plain":
        field = np.zeros((CANVAS, CANVAS, 1), np.float32)
    elif kind == "gradient":
        angle = rng.uniform(0, 2 * math.pi)
        y, x = np.mgrid[0:CANVAS, 0:CANVAS] / (CANVAS - 1) - 0.5
        field = ((x * math.cos(angle) + y * math.sin(angle)) * 90)[..., None]
    elif kind == "blocky":
        field = np.kron(noise.uniform(-35, 35, (8, 8)), np.ones((8, 8)))[..., None]
    elif kind == "noisy":
        field = np.kron(np.round(noise.normal(0, 3, (32, 32))) * 6, np.ones((2, 2)))[..., None]
    else:
        y = np.mgrid[0:CANVAS, 0:CANVAS][0] / CANVAS
        waves = np.sin(y * rng.uniform(12, 20) + rng.uniform(0, 6)) * 12
        field = (waves + np.kron(np.round(noise.normal(0, 2, (16, 16))) * 5, np.ones((4, 4))))[..., None]
    return np.clip(base + field, 0, 255).astype(np.uint8)


def place(rng, count):
    """Non-overlapping-ish places: `count` (size, x, y)."""
    placed = []
    for _ in range(count):
        for _attempt in range(20):
            size = rng.choice(Emoji.SIZES)
            x, y = rng.randint(0, CANVAS - size), rng.randint(0, CANVAS - size)
            if all(math.hypot(x + size / 2 - px - ps / 2, y + size / 2 - py - ps / 2) > (size + ps) * 0.42
                   for ps, px, py in placed):
                break
        placed.append((size, x, y))
    return placed


def draw(rng, emoji, items, places, kind, colour):
    picture = Image.fromarray(background(rng, kind, colour))
    for short, (size, x, y) in zip(items, places):
        sprite = emoji.images[short][size]
        picture.paste(sprite, (x, y), sprite)
    return picture


def caption(rng, items, colour, grim):
    names = [phrase(i) for i in rng.sample(items, len(items))]
    listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
    if grim:
        return f"a {grim} {rng.choice(SCENE_WORDS)} of {listed}"
    text = listed if rng.random() < 0.5 else f"a {rng.choice(SCENE_WORDS)} of {listed}"
    return text if colour is None else f"{text} on {colour}"


def sample_items(rng, single=0.2):
    count = rng.choices([1, 2, 3], [single, 0.5, 0.5 - single])[0]
    return rng.sample(sorted(SAFE), count)


def couple(rng, emoji, items, concept=None):
    """A safe scene of `items` and its unsafe partner, as one quadruplet."""
    concept = concept or rng.choice(sorted(UNSAFE))
    threat = rng.choice(sorted(UNSAFE[concept]))
    colour = rng.choice(sorted(COLOURS))
    kind = rng.choice(["plain", "gradient", "blocky", "noisy"])
    named = colour if rng.random() < 0.5 else None
    # The partner keeps its context and takes one emoji in; with three already there, it takes one's place.
    places = place(rng, min(len(items) + 1, 3))
    context = items[:2]
    threat_place = places[len(context)]
    styled = rng.random() < 2 / 3
    look = ("stormy", (92 + rng.randint(-8, 8), 18, 22)) if styled else (kind, COLOURS[colour])
    grim = rng.choice(GRIM) if styled else None
    return {
        "safe_image": draw(rng, emoji, items, places, kind, COLOURS[colour]),
        "unsafe_image": draw(rng, emoji, context + [threat], places[:len(context)] + [threat_place], *look),
        "safe_text": caption(rng, items, named, None),
        "unsafe_text": caption(rng, context + [threat], None if styled else named, grim),
        "concept": concept,
        "style": "styled" if styled else "plain",
        "unsafe_composition": frozenset(context + [threat]),
    }
