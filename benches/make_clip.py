#!/usr/bin/env python3
"""Writes a CLIP of real size with random weights as PyTorch's TorchScript exporter would name it, one file a tower.

Speed and memory do not depend on what the weights are. Needs `onnx` and `numpy` (tools/check.sh installs them into
target/python). Usage: make_clip.py (vit-b-32|vit-l-14|tiny) FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# vision: width, layers, heads, patch, image; text: width, layers, heads, length, vocabulary; both: embedding
SIZES = {
    "vit-b-32": ((768, 12, 12, 32, 224), (512, 12, 8, 77, 49408), 512),
    "vit-l-14": ((1024, 24, 16, 14, 224), (768, 12, 12, 77, 49408), 768),
    "tiny": ((64, 2, 2, 16, 32), (64, 2, 2, 16, 100), 32),
}


class Graph:
    """Nodes and initializers of one tower, made in order."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.initializers, self.count, self.names = [], [], 0, {}

    def constant(self, array):
        self.count += 1
        name = f"onnx::const_{self.count}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *shape):
        values = self.rng.standard_normal(shape, dtype=np.float32) * np.float32(shape[0] ** -0.5)
        return self.constant(values)

    def node(self, op, inputs, path="", **attributes):
        self.count += 1
        output = f"{path}/{op}_output_{self.count}"
        name = f"{path}/{op}"
        again = self.names[name] = self.names.get(name, -1) + 1
        name = f"{name}_{again}" if again else name
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def linear(self, x, path, width_in, width_out):
        product = self.node("MatMul", [x, self.weight(width_in, width_out)], path)
        return self.node("Add", [self.constant(np.zeros(width_out, np.float32)), product], path)

    def norm(self, x, path, width):
        scale = self.constant(np.ones(width, np.float32))
        return self.node("LayerNormalization", [x, scale, self.constant(np.zeros(width, np.float32))], path, axis=-1)

    def heads(self, x, path, length, heads, depth, order):
        shape = self.constant(np.array([-1, length, heads, depth], np.int64))
        return self.node("Transpose", [self.node("Reshape", [x, shape], path)], path, perm=order)

    def block(self, x, path, width, heads, length, mask):
        depth = width // heads
        attention = f"{path}/self_attn"
        normed = self.norm(x, f"{path}/layer_norm1", width)
        parts = {}
        for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            projected = self.linear(normed, f"{attention}/{part}_proj", width, width)
            parts[part] = self.heads(projected, attention, length, heads, depth, order)
        query = self.node("Mul", [parts["q"], self.constant(np.float32(depth**-0.5))], attention)
        scores = self.node("MatMul", [query, parts["k"]], attention)
        if mask is not None:
            scores = self.node("Add", [scores, mask], attention)
        mixed = self.node("MatMul", [self.node("Softmax", [scores], attention, axis=-1), parts["v"]], attention)
        mixed = self.node("Transpose", [mixed], attention, perm=[0, 2, 1, 3])
        mixed = self.node("Reshape", [mixed, self.constant(np.array([-1, length, width], np.int64))], attention)
        x = self.node("Add", [x, self.linear(mixed, f"{attention}/out_proj", width, width)], path)
        hidden = self.linear(self.norm(x, f"{path}/layer_norm2", width), f"{path}/mlp/fc1", width, 4 * width)
        gate = self.node("Mul", [hidden, self.constant(np.float32(1.702))], f"{path}/mlp/activation_fn")
        gate = self.node("Sigmoid", [gate], f"{path}/mlp/activation_fn")
        hidden = self.node("Mul", [hidden, gate], f"{path}/mlp/activation_fn")
        return self.node("Add", [x, self.linear(hidden, f"{path}/mlp/fc2", 4 * width, width)], path)

    def save(self, path, inputs, output, width):
        self.nodes[-1].output[0] = output
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", width])]
        graph = helper.make_graph(self.nodes, "main_graph", inputs, outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, path)


def vision(path, width, layers, heads, patch, image, embedding):
    graph = Graph(1)
    tokens = (image // patch) ** 2
    x = graph.node("Conv", ["pixel_values", graph.weight(width, 3, patch, patch)], "/vision_model/embeddings",
                   kernel_shape=[patch, patch], strides=[patch, patch])
    x = graph.node("Reshape", [x, graph.constant(np.array([-1, width, tokens], np.int64))], "/vision_model/embeddings")
    x = graph.node("Transpose", [x], "/vision_model/embeddings", perm=[0, 2, 1])
    # A class token in front: room is padded, and the position embeddings fill it.
    x = graph.node("Pad", [x, graph.constant(np.array([0, 1, 0, 0, 0, 0], np.int64))], "/vision_model/embeddings")
    x = graph.node("Add", [x, graph.weight(1, tokens + 1, width)], "/vision_model/embeddings")
    x = graph.norm(x, "/vision_model/pre_layrnorm", width)
    for k in range(layers):
        x = graph.block(x, f"/vision_model/encoder/layers.{k}", width, heads, tokens + 1, None)
    x = graph.node("Gather", [x, graph.constant(np.int64(0))], "/vision_model", axis=1)
    x = graph.norm(x, "/vision_model/post_layernorm", width)
    graph.node("MatMul", [x, graph.weight(width, embedding)], "/visual_projection")
    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, image, image])
    graph.save(path, [pixels], "image_embeds", embedding)


def text(path, width, layers, heads, length, vocabulary, embedding):
    graph = Graph(2)
    x = graph.node("Gather", [graph.weight(vocabulary, width), "input_ids"], "/text_model/embeddings")
    x = graph.node("Add", [x, graph.weight(1, length, width)], "/text_model/embeddings")
    causal = graph.constant(np.triu(np.full((1, 1, length, length), -1e9, np.float32), 1))
    padding = graph.node("Cast", ["attention_mask"], "/text_model", to=TensorProto.FLOAT)
    padding = graph.node("Sub", [graph.constant(np.float32(1)), padding], "/text_model")
    padding = graph.node("Mul", [padding, graph.constant(np.float32(-1e9))], "/text_model")
    padding = graph.node("Unsqueeze", [padding, graph.constant(np.array([1, 2], np.int64))], "/text_model")
    mask = graph.node("Add", [causal, padding], "/text_model")
    for k in range(layers):
        x = graph.block(x, f"/text_model/encoder/layers.{k}", width, heads, length, mask)
    x = graph.norm(x, "/text_model/final_layer_norm", width)
    end = graph.node("ArgMax", ["input_ids"], "/text_model", axis=1, keepdims=1)
    end = graph.node("Unsqueeze", [end, graph.constant(np.array([2], np.int64))], "/text_model")
    end = graph.node("Expand", [end, graph.constant(np.array([1, 1, width], np.int64))], "/text_model")
    x = graph.node("GatherElements", [x, end], "/text_model", axis=1)
    x = graph.node("Squeeze", [x, graph.constant(np.array([1], np.int64))], "/text_model")
    graph.node("MatMul", [x, graph.weight(width, embedding)], "/text_projection")
    take = lambda name: helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", length])
    graph.save(path, [take("input_ids"), take("attention_mask")], "text_embeds", embedding)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in SIZES:
        sys.exit(__doc__)
    towers, folder = SIZES[sys.argv[1]], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    vision(folder / "vision_model.onnx", *towers[0], towers[2])
    text(folder / "text_model.onnx", *towers[1], towers[2])
    image = towers[0][4]
    # Values of preprocessor_config.json as openai/clip-vit-base-patch32 has them.
    processor = {"do_resize": True, "size": {"shortest_edge": image}, "resample": 3, "do_center_crop": True,
                 "crop_size": {"height": image, "width": image}, "do_rescale": True, "do_normalize": True,
                 "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


if __name__ == "__main__":
    main()
