"""Exports a checkpoint of `train.py` to ONNX with the files a deployment has beside it.

    python export.py CHECKPOINT_DIR OUT_DIR

Writes model.onnx (both towers), text_model.onnx, vision_model.onnx (TorchScript exporter, opset 17), config.json,
tokenizer.json, preprocessor_config.json, training.svg and SHA256SUMS.
"""

import hashlib
import json
import shutil
import sys
import warnings
from pathlib import Path

import matplotlib
import torch
from transformers import CLIPModel

from train import LENGTH, MEAN, SIZE, STD

warnings.filterwarnings("ignore")


class Joint(torch.nn.Module):
    def __init__(self, clip):
        super().__init__()
        self.clip = clip

    def forward(self, input_ids, pixel_values, attention_mask):
        out = self.clip(input_ids=input_ids, pixel_values=pixel_values, attention_mask=attention_mask)
        return out.logits_per_image, out.logits_per_text, out.text_embeds, out.image_embeds


class Text(torch.nn.Module):
    def __init__(self, clip):
        super().__init__()
        self.text_model, self.text_projection = clip.text_model, clip.text_projection

    def forward(self, input_ids, attention_mask):
        return self.text_projection(self.text_model(input_ids=input_ids, attention_mask=attention_mask).pooler_output)


class Vision(torch.nn.Module):
    def __init__(self, clip):
        super().__init__()
        self.vision_model, self.visual_projection = clip.vision_model, clip.visual_projection

    def forward(self, pixel_values):
        return self.visual_projection(self.vision_model(pixel_values=pixel_values).pooler_output)


def plot(curve, path):
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "emoji-clip"
    from matplotlib import pyplot
    figure, left = pyplot.subplots(figsize=(7, 3))
    steps = [c["step"] for c in curve]
    left.plot(steps, [c["loss"] for c in curve], color="#0072b2", lw=1)
    left.set_xlabel("step")
    left.set_ylabel("contrastive loss", color="#0072b2")
    right = left.twinx()
    right.plot(steps, [100 * c["batch_r1"] for c in curve], color="#d55e00", lw=1)
    right.set_ylabel("R@1 in the batch of 256, %", color="#d55e00")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main(checkpoint, out):
    out.mkdir(parents=True, exist_ok=True)
    model = CLIPModel.from_pretrained(checkpoint, attn_implementation="eager").eval()
    torch.manual_seed(0)
    ids = torch.randint(1, 100, (3, LENGTH))
    ids[:, 0], ids[:, 9:] = model.config.text_config.bos_token_id, model.config.text_config.eos_token_id
    mask = (torch.arange(LENGTH) < 10).long().expand(3, LENGTH).contiguous()
    images = torch.randn(2, 3, SIZE, SIZE)
    tokens = {0: "text_batch", 1: "sequence"}
    pixels = {0: "image_batch"}
    jobs = [
        ("model.onnx", Joint, (ids, images, mask), ["input_ids", "pixel_values", "attention_mask"],
         ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"],
         {"input_ids": tokens, "attention_mask": tokens, "pixel_values": pixels,
          "logits_per_image": {0: "image_batch", 1: "text_batch"},
          "logits_per_text": {0: "text_batch", 1: "image_batch"},
          "text_embeds": {0: "text_batch"}, "image_embeds": pixels}),
        ("text_model.onnx", Text, (ids, mask), ["input_ids", "attention_mask"], ["text_embeds"],
         {"input_ids": tokens, "attention_mask": tokens, "text_embeds": {0: "text_batch"}}),
        ("vision_model.onnx", Vision, (images,), ["pixel_values"], ["image_embeds"],
         {"pixel_values": pixels, "image_embeds": pixels}),
    ]
    for name, wrapper, inputs, names, outputs, axes in jobs:
        torch.onnx.export(wrapper(model), inputs, str(out / name), input_names=names, output_names=outputs,
                          dynamic_axes=axes, opset_version=17, dynamo=False)
    model.config.save_pretrained(out)
    shutil.copy(checkpoint / "tokenizer.json", out)
    (out / "preprocessor_config.json").write_text(json.dumps({
        "crop_size": {"height": SIZE, "width": SIZE}, "do_center_crop": True, "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": MEAN,
        "image_processor_type": "CLIPImageProcessor", "image_std": STD, "resample": 3,
        "rescale_factor": 1 / 255, "size": {"shortest_edge": SIZE}}, indent=2) + "\n")
    plot(json.loads((checkpoint / "curve.json").read_text()), out / "training.svg")
    names = sorted(p.name for p in out.iterdir() if p.suffix in {".onnx", ".json"})
    sums = [f"{hashlib.sha256((out / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (out / "SHA256SUMS").write_text("".join(sums))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
