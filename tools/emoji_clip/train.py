"""Trains emoji-clip from nothing and saves a Hugging Face checkpoint.

    python train.py EMOJI_PACKAGE_DIR CHECKPOINT_DIR [--steps 1800]

About 35 minutes on two cores. Scenes are drawn on the fly; the held-out compositions of `make_data.py` never appear.
"""

import argparse
import json
import math
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel

from make_data import held_out_compositions
from scenes import Emoji, couple, phrase, sample_items
from vocab import COLOURS, GRIM, SAFE, SCENE_WORDS, TEMPLATES, UNSAFE

SEED = 7
SIZE = 48
LENGTH = 24  # tokens, start and end included
COUPLES = 128
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def build_tokenizer():
    vocabulary = {"<|unk|>"}
    shorts = list(SAFE) + [s for concept in UNSAFE.values() for s in concept]
    texts = [phrase(s) for s in shorts] + TEMPLATES + list(COLOURS) + GRIM + SCENE_WORDS + ["a an and on of in with the ,"]
    splitter = pre_tokenizers.Whitespace()
    words = sorted({w for t in texts for w, _ in splitter.pre_tokenize_str(t.replace("{}", " "))})
    ids = {w: i for i, w in enumerate(["<|unk|>", *words, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<|unk|>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = splitter
    bos, eos = ids["<|startoftext|>"], ids["<|endoftext|>"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>",
        special_tokens=[("<|startoftext|>", bos), ("<|endoftext|>", eos)],
    )
    tokenizer.add_special_tokens(["<|unk|>", "<|startoftext|>", "<|endoftext|>"])
    # Like CLIP's own tokenizer: padded with the end token, told apart by the attention mask.
    tokenizer.enable_padding(pad_id=eos, pad_token="<|endoftext|>", length=LENGTH)
    tokenizer.enable_truncation(LENGTH)
    return tokenizer


def build_model(tokenizer):
    eos = tokenizer.token_to_id("<|endoftext|>")
    tower = dict(hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
                 projection_dim=128, hidden_act="quick_gelu")
    config = CLIPConfig(
        text_config=tower | dict(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=LENGTH,
                                 bos_token_id=tokenizer.token_to_id("<|startoftext|>"), eos_token_id=eos,
                                 pad_token_id=eos),
        vision_config=tower | dict(image_size=SIZE, patch_size=8),
        projection_dim=128,
    )
    config._attn_implementation = "eager"
    return CLIPModel(config)


def pixels(pictures):
    from PIL import Image
    stack = np.stack([np.asarray(p.resize((SIZE, SIZE), Image.BICUBIC)) for p in pictures])
    scaled = torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def batch(step, emoji, tokenizer, banned):
    rng = random.Random(SEED * 1_000_003 + step)
    pictures, texts = [], []
    while len(pictures) < 2 * COUPLES:
        items = sample_items(rng)
        if len(items) > 1 and frozenset(items) in banned:
            continue
        made = couple(rng, emoji, items)
        pictures += [made["safe_image"], made["unsafe_image"]]
        texts += [made["safe_text"], made["unsafe_text"]]
    encoded = tokenizer.encode_batch(texts)
    ids = torch.tensor([e.ids for e in encoded])
    mask = torch.tensor([e.attention_mask for e in encoded])
    return pixels(pictures), ids, mask


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("package", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--bf16", action="store_true", help="autocast; only faster where the CPU has bf16 units")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    emoji, tokenizer, banned = Emoji(args.package), build_tokenizer(), held_out_compositions()
    model = build_model(tokenizer)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {tokenizer.get_vocab_size()} tokens")
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}],
                                  lr=1e-3, betas=(0.9, 0.98))
    warmup = 100
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min((s + 1) / warmup, 1) * 0.5 * (
        1 + math.cos(math.pi * min(s / args.steps, 1))))
    curve, start = [], time.time()
    with ThreadPoolExecutor(1) as drawer:
        waiting = drawer.submit(batch, 0, emoji, tokenizer, banned)
        for step in range(args.steps):
            images, ids, mask = waiting.result()
            waiting = drawer.submit(batch, step + 1, emoji, tokenizer, banned)
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                out = model(input_ids=ids, attention_mask=mask, pixel_values=images)
                logits = out.logits_per_image.float()
            target = torch.arange(len(logits))
            loss = (torch.nn.functional.cross_entropy(logits, target)
                    + torch.nn.functional.cross_entropy(logits.T, target)) / 2
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(max=math.log(100))
            top1 = (logits.argmax(1) == target).float().mean().item()
            curve.append({"step": step, "loss": round(loss.item(), 4), "batch_r1": round(top1, 4)})
            if step % 25 == 0:
                print(step, curve[-1], f"{time.time() - start:.0f}s", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(args.out)
    tokenizer.save(str(args.out / "tokenizer.json"))
    (args.out / "curve.json").write_text(json.dumps(curve))


if __name__ == "__main__":
    main()
