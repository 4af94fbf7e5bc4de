"""Fills fuzz/corpus with what the fuzzer begins with, made of the fixtures, and fuzz/words with the words it may use.

Needs the Python of tools/check.sh (for `onnx`) and the command: `target/python/bin/python fuzz/seed.py target/release/uwm-onnx`.
"""

import io
import json
import math
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import onnx
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
FIXTURES = ROOT / "tests" / "fixtures"
BETWEEN = b"\n--\n"


def seed(target, name, *parts, form=""):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    whole = form.encode() + BETWEEN.join(p if isinstance(p, bytes) else p.encode() for p in parts)
    (folder / name).write_bytes(whole)


def short(value, most=3):
    """JSON with a few elements of each list."""
    if isinstance(value, list):
        return [short(v, most) for v in value[:most]]
    if isinstance(value, dict):
        return {k: short(v, most) for k, v in value.items()}
    return value


# Models


def without_weights(model):
    """Weights in the data file that the target keeps; what readers do not look at left away."""
    at = 0
    for tensor in model.graph.initializer:
        size = len(tensor.raw_data)
        if size >= 64:
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", "w.bin"), ("offset", at), ("length", size)):
                tensor.external_data.add(key=key, value=str(value))
            at += size
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
        node.doc_string = ""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    return model


def small(nodes, weights):
    """A graph of one linear layer, in some form."""
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        nodes, "g", [value("pixel_values", [1, 3, 4, 16])], [value("image_embeds", [1, 3, 4, 4])], weights
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def tensor(name, kind, dims, values):
    return helper.make_tensor(name, kind, dims, values)


def small_models():
    node = helper.make_node
    x, y, f, u8, i8 = "pixel_values", "image_embeds", TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8
    codes = lambda kind: tensor("w", kind, [16, 4], [k % 64 for k in range(64)])
    one = lambda name, kind, value: tensor(name, kind, [], [value])
    yield "float", [node("MatMul", [x, "w"], [y])], [tensor("w", f, [16, 4], [0.5] * 64)]
    yield "gemm", [node("Gemm", [x, "w", "b"], [y], transB=1)], [
        tensor("w", f, [4, 16], [0.5] * 64), tensor("b", f, [4], [0.0] * 4)]
    yield "half", [node("Cast", ["w"], ["r"], to=1), node("MatMul", [x, "r"], [y])], [
        tensor("w", TensorProto.BFLOAT16, [16, 4], [0.5] * 64)]
    yield "constant", [
        node("Constant", [], ["w"], value=tensor("", f, [16, 4], [0.5] * 64)), node("MatMul", [x, "w"], [y])], []
    yield "dequantize", [node("DequantizeLinear", ["w", "s", "z"], ["r"], axis=1), node("MatMul", [x, "r"], [y])], [
        codes(u8), tensor("s", f, [4], [0.5] * 4), tensor("z", u8, [4], [3] * 4)]
    yield "blocks", [node("DequantizeLinear", ["w", "s"], ["r"], axis=0, block_size=8), node("MatMul", [x, "r"], [y])], [
        tensor("w", TensorProto.INT4, [16, 4], [k % 15 - 7 for k in range(64)]), tensor("s", f, [2, 4], [0.5] * 8)]
    yield "integer", [
        node("DynamicQuantizeLinear", [x], ["q", "qs", "qz"]), node("MatMulInteger", ["q", "w", "qz", "z"], ["p"]),
        node("Cast", ["p"], ["c"], to=1), node("Mul", ["qs", "s"], ["ss"]), node("Mul", ["c", "ss"], [y])], [
        codes(i8), one("s", f, 0.5), one("z", i8, 1)]
    yield "qlinear", [
        node("QuantizeLinear", [x, "s", "z"], ["q"]),
        node("QLinearMatMul", ["q", "s", "z", "w", "s", "z", "s", "z"], ["p"]),
        node("DequantizeLinear", ["p", "s", "z"], [y])], [codes(u8), one("s", f, 0.5), one("z", u8, 3)]
    yield "nbits", [
        node("MatMulNBits", [x, "w", "s", "z"], [y], domain="com.microsoft", K=16, N=4, bits=4, block_size=16)], [
        tensor("w", u8, [4, 1, 8], list(range(32))), tensor("s", f, [4], [0.5] * 4), tensor("z", u8, [4], [8] * 4)]
    yield "attention", [
        node("MatMul", [x, "w"], ["h"]), node("MatMul", ["h", "w2"], ["q"]), node("MatMul", ["h", "w3"], ["k"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]), node("MatMul", ["q", "kt"], ["s"]),
        node("Softmax", ["s"], ["p"]), node("MatMul", ["p", "h"], ["o"]), node("MatMul", ["o", "w4"], ["a"]),
        node("Add", ["h", "a"], ["r"]), node("MatMul", ["r", "w5"], ["m"]), node("Gelu", ["m"], ["g"]),
        node("MatMul", ["g", "w6"], ["n"]), node("Add", ["r", "n"], [y])], [
        tensor("w", f, [16, 4], [0.5] * 64), *(tensor(f"w{k}", f, [4, 4], [0.25] * 16) for k in range(2, 7))]


def models():
    for name in ("dinov2.dynamo_eager", "openclip.dynamo_eager.text", "eva_like.dynamo_eager", "hf_clip.optimised",
                 "siglip.dynamo_sdpa.vision"):
        model = onnx.load(FIXTURES / "zoo" / f"{name}.onnx", load_external_data=False)
        seed("model", name, without_weights(model).SerializeToString())
    for name, nodes, weights in small_models():
        seed("model", name, small(nodes, weights).SerializeToString())


def external():
    for name, text in {
        "plain": "location=w.bin\noffset=64\nlength=64",
        "whole": "location=sub/w.bin\ndims=8,8",
        "spelt": "location=./w.bin\nlength=64\n\nlocation=sub//w.bin\nlength=64\n\nlocation=w.bin\noffset=64\nlength=64",
        "types": "location=w.bin\nlength=32\ntype=10\n\nlocation=w.bin\noffset=32\nlength=16\ntype=3\nchecksum=0",
        "overlapping": "location=w.bin\nlength=64\n\nlocation=w.bin\noffset=32\nlength=64",
        "up": "location=../secret.bin\nlength=64",
        "absolute": "location=/etc/passwd\nlength=64",
        "link": "location=outside\nlength=64",
        "link_inside": "location=inside\nlength=64",
        "folder": "location=away/secret.bin\nlength=64",
        "hard": "location=hard\nlength=64",
        "long": "location=w.bin\noffset=18446744073709551615\nlength=64",
        "twice": "location=w.bin\nlength=64\nlocation=sub/w.bin\nbasepath=/etc",
    }.items():
        seed("external", name, text)


# Patches


def patches():
    def layer(tensor, element="FLOAT", alpha="-1", **rest):
        known = {"tower": "vision", "block": None, "role": "unknown", "node": "MatMul 0", "tensor": tensor}
        return {**known, "shape": [4, 4], "element": element, "alpha": alpha, "selected": 3, "saturated": 0, **rest}

    def header(layers, version=1, **rest):
        source = [{"location": "", "size": 1000, "sha256": "0" * 64}]
        return json.dumps({"version": version, "tool": "0.1.0", "source": source, "options": {}, "layers": layers, **rest})

    # As in src/small.rs, outputs first.
    across = lambda values: struct.pack("<16f", *(values[k % 4 * 4 + k // 4] for k in range(16)))
    floats = across([(k - 7.5) / 4 for k in range(16)])
    half = across([(-1.0586, 0.5)[k % 2] for k in range(16)])
    codes = across([((k * 5 % 16 - 8) * 16 + 1) / 2 for k in range(16)])
    typed = across([(k * k % 13 - 6.5) / 4 for k in range(16)])
    three, none = b"\x01\x02\x05", b""
    seed("patch", "multiplied", header([layer("raw"), layer("typed", alpha="0.5")]), three, none, none, floats, none, none,
         three, three, typed[:12], typed, none, none, form="1")
    seed("patch", "codes", header([layer("codes", "INT8", saturated=1)]), three, b"\x01", b"\x7f", codes, form="1")
    seed("patch", "half", header([layer("half", "FLOAT16")]), three, none, none, half, form="1")
    rank = {k: v for k, v in layer("raw", selected=16).items() if k != "alpha"}
    all_of = b"\x00" + b"\x01" * 15
    seed("patch", "rank_one", header([rank], 2), all_of, all_of, floats, floats, struct.pack("<4d", *[0.5] * 4),
         struct.pack("<4d", 1, 2, 3, 4), form="1")
    odd = header([layer("codes", "INT8", spellings=[[3, [128, 0]]])], overlong=[[7, 5]])
    seed("patch", "spellings", odd, three, none, none, codes, form="1")
    metadata = {"uwm.patch": header([layer("raw")])}
    seed("patch", "whole", safetensors(metadata, {
        "0.positions": ("U8", [3], three), "0.kept": ("U8", [0], none), "0.originals": ("U8", [0], none),
        "0.sample": ("F32", [16], floats)}), form="0")


def safetensors(metadata, tensors):
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + data


# Data sets


def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue().rstrip(b"\0") + b"\0" * 1024


def npy(dtype, shape, content):
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content


def manifests():
    rows = [
        {"id": str(k), "safe_text": f"a cat {k}", "unsafe_text": f"a gun {k}", "safe_image": "a.png",
         "unsafe_image": "b.png", "concept": "violence", "style": "photo", "split": split}
        for k, split in enumerate(("calibration", "validation", "evaluation"))
    ]
    lines = lambda rows: "\n".join(json.dumps(row) for row in rows) + "\n"
    table = lambda mark: mark.join(rows[0]) + "\n" + "".join(mark.join(row.values()) + "\n" for row in rows)
    seed("manifest", "lines", lines(rows), form="0")
    seed("manifest", "texts", lines([{k: row[k] for k in ("id", "safe_text", "unsafe_text")} for row in rows]), form="0")
    seed("manifest", "csv", table(","), form="1")
    seed("manifest", "quoted", 'id,safe_text,unsafe_text,sensitive\n1,"a, ""b""","c\nd",true\n', form="1")
    seed("manifest", "tsv", table("\t"), form="2")
    folder = [{"file_name": "a.png", "unsafe_file_name": "b.png", "text": "a", "unsafe_text": "b"}]
    seed("manifest", "folder_lines", lines(folder), form="3")
    seed("manifest", "folder_cells", "file_name,unsafe_file_name,text,unsafe_text\na.png,b.png,a,b\n", form="4")
    image = (FIXTURES / "decoding" / "png_1bit.png").read_bytes()
    sample = [("0.safe.png", image), ("0.unsafe.png", image), ("0.safe.txt", b"a cat"), ("0.unsafe.txt", b"a gun"),
              ("0.json", b'{"concept": "violence", "split": "validation"}')]
    seed("manifest", "tar", tar(sample), form="5")
    long = "a" * 150
    pax = io.BytesIO()
    with tarfile.open(fileobj=pax, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(f"{long}/0.safe.txt")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    seed("manifest", "pax", pax.getvalue().rstrip(b"\0") + b"\0" * 1024, form="5")
    parts = {f"{side}_{kind}.{name}": (dtype, shape) for side in ("safe", "unsafe") for kind, name, dtype, shape in (
        ("text", "input_ids", "i8", [2, 3]), ("image", "pixel_values", "f4", [2, 1, 2, 2]))}
    content = lambda shape, dtype: bytes(range(int(dtype[1]) * math.prod(shape)))
    for name, packing in (("npz", zipfile.ZIP_STORED), ("npz_deflated", zipfile.ZIP_DEFLATED)):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", packing) as archive:
            for part, (dtype, shape) in parts.items():
                archive.writestr(zipfile.ZipInfo(f"{part}.npy"), npy(f"<{dtype}", shape, content(shape, dtype)), packing)
        seed("manifest", name, out.getvalue(), form="6")
    seed("manifest", "safetensors", safetensors({}, {
        part: ({"i8": "I64", "f4": "F32"}[dtype], shape, content(shape, dtype)) for part, (dtype, shape) in parts.items()
    }), form="7")
    visu = [{"incremental_id": k, "safe": "a cat", "nsfw": "a gun", "coco_id": 5, "prompt_id": k, "tag": "violence"}
            for k in range(2)]
    seed("manifest", "visu", json.dumps(visu), form="8")


# Configurations


def configs():
    seed("config", "bundled", (ROOT / "models/emoji-clip/uwm.yaml").read_bytes(), form="0")
    seed("config", "sweep", "sweep:\n  text:\n    - {layers: out_proj, score: [pairwise, dataset], std: false, tau: [0.05, "
         "0.2]}\n  vision:\n    - {method: [aimed, steer], gain: [1.5, 3], ridge: 0.3}\n", form="0")
    seed("config", "recipe", "calibration: {manifest: a.jsonl, split: c, sensitive: true}\nzero_shot: z.json\ntext:\n  {edit: "
         "true, layers: 'fc2[0..3]', score: energy-contrast, lambda: 8, gain: 4, selection: hard, budget: tower, tau: 0.1, "
         "alpha: -1, concepts: union, length: 77, weight_prior: true}\nvision: {method: aimed, ridge: 0.3, max_loss: 2}\n",
         form="0")
    seed("config", "anchors", "text: &t {tau: 0.1}\nvision: *t\n", form="0")
    for name in ("policies/default.yaml", "examples/policy.yaml"):
        seed("config", Path(name).stem, (ROOT / name).read_bytes(), form="1")
    seed("config", "structure", "version: 1\nconfidence: point\nmin_samples: 30\nmetrics:\n  PU: {min_gain: 20, of: [1, 2]}\n  "
         "zero_shot: {max_drop: 5, min: 50}\nworst_concept: {min_samples: 5, only: [a], metrics: {PU: {min: 5}}}\nstructure: "
         "{allowed_tensors: ['text:*[0]', '?'], max_elements_changed: 16384, patch_matches: true}\n", form="1")
    images = [{"image": "a.png", "label": k % 2, "split": split} for k, split in enumerate(("validation", "evaluation"))]
    images += [{"image": "a.png", "label": 1}] * 3
    seed("config", "zero_shot", json.dumps({"labels": ["cat", "dog"], "templates": ["a {}", "the {}."], "images": images}),
         form="2")


# Preparation


def preparations():
    text = "A photo of 2 CATS, l'été: don't! 日本"
    for name in ("unigram", "wordpiece", "gemma", "plain", "clip_like"):
        path = FIXTURES / "tokens" / (f"{name}.json" if name != "clip_like" else "clip_like/tokenizer.json")
        document = json.loads(path.read_bytes())
        document = document.get("tokenizer", document)
        if "model" in document:
            seed("preparation", name, text, json.dumps(fewer(document)), form="0")
    for name in ("hf_clip", "siglip"):
        folder = FIXTURES / "pipelines" / name
        beside = [(folder / file).read_bytes() for file in ("tokenizer_config.json", "config.json")]
        document = json.loads((folder / "tokenizer.json").read_bytes())
        seed("preparation", name, text, json.dumps(fewer(document)), *beside, b'{"pad_token": "<pad>"}', form="0")
        seed("preparation", f"{name}_images", (folder / "preprocessor_config.json").read_bytes(), form="1")
    open_clip = {"model_cfg": {"vision_cfg": {"image_size": 32}, "text_cfg": {"context_length": 16}}, "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5], "std": 0.5, "interpolation": "bilinear", "resize_mode": "longest", "fill_color": 3}}
    seed("preparation", "open_clip", json.dumps(open_clip), form="2")
    seed("preparation", "rectangle", json.dumps({"preprocess_cfg": {"size": [24, 32], "resize_mode": "shortest"}}), form="2")
    blip = {"image_processor_type": "BlipImageProcessor", "size": {"height": 16, "width": 24}, "resample": 2,
            "do_center_crop": True, "crop_size": 12, "rescale_factor": 0.003, "image_mean": 0.5, "image_std": [1, 1, 2]}
    seed("preparation", "blip", json.dumps(blip), form="1")


def fewer(document):
    """A tokenizer with a small vocabulary."""
    model = document["model"]
    if isinstance(model.get("vocab"), dict):
        kept = sorted(model["vocab"].items(), key=lambda entry: entry[1])[:60]
        special = {token["content"]: token["id"] for token in document.get("added_tokens", [])}
        model["vocab"] = {**dict(kept), **{k: v for k, v in model["vocab"].items() if k in special or k == model.get("unk_token")}}
    elif isinstance(model.get("vocab"), list):
        model["vocab"] = model["vocab"][:60]
    if "merges" in model:
        pair = lambda merge: merge if isinstance(merge, list) else merge.split(" ")
        known = model["vocab"]
        model["merges"] = [m for m in model["merges"] if {*pair(m), "".join(pair(m))} <= set(known)][:20]
    return document


# Reports


def reports(command):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        left, rows = {"calibration": 24, "validation": 32, "evaluation": 32}, []
        data = ROOT / "calibration" / "emoji"
        for line in (data / "manifest.jsonl").read_text().splitlines():
            row = json.loads(line)
            if left[row["split"]] > 0:
                left[row["split"]] -= 1
                rows.append({**row, **{k: str(data / row[k]) for k in ("safe_image", "unsafe_image")}})
        (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "uwm.yaml").write_text(
            "calibration: {manifest: manifest.jsonl}\nevaluation: {manifest: manifest.jsonl}\nsweep:\n  text:\n    - {layers: "
            "out_proj, score: pairwise, std: false, tau: [0.05, 0.2]}\n  vision:\n    - {layers: fc2, score: dataset, std: "
            "false, tau: 0.1}\n")
        model = ROOT / "models" / "emoji-clip" / "model.onnx"

        def run(name, *args):
            options = ["--config", folder / "uwm.yaml", "--backend", "tract", "--format", "json"]
            return json.loads(subprocess.run([command, name, model, *options, *args], check=True, capture_output=True).stdout)

        rewrite = run("rewrite", "-o", folder / "safe.onnx")
        sweep, result = run("sweep"), run("evaluate")
    for file in rewrite["files"]:
        file["output"]["sha256"] = "0" * 64
        file["output"]["path"] = file["model"]["path"] = "model.onnx"
    for value in (rewrite, sweep, result):
        value.pop("timing_s", None)
    plain = lambda value: json.dumps(value).replace(str(ROOT) + "/", "").replace(str(folder) + "/", "")
    seed("report", "rewrite", plain(short(rewrite)), form="0")
    seed("report", "sweep", plain(sweep), form="1")
    seed("report", "embeddings", (FIXTURES / "reference" / "embeddings.safetensors").read_bytes(), form="2")
    row = struct.pack("<4f", 1, 0, 0.6, 0.8)
    tags = {"ids": ["a", "b"], "concepts": ["x", None], "styles": ["<b>", "|"], "right": [0, 1], "templates": 1}
    header = {"version": 1, "models": [["0"], ["0"]], "tags": tags, "ailments": [[], []], "bad_quadruplets": [],
              "bad_images": []}
    seed("report", "rows", json.dumps(header), row, row[::-1], row, row, row, row, form="3")
    ours = json.dumps({**header, "bad_quadruplets": [1]})
    seed("report", "ours", ours, *[row] * 6, form="3")
    seed("report", "result", plain(short(result)), form="4")
    tower = {"tower": "vision", "model": ["0" * 64], "data": "0", "runtime": ["tract", "1", "", "cpu"], "epsilon": 1e-6,
             "layers": [{"node": "#0 (MatMul)", "tensor": "raw", "shape": [4, 4]}],
             "scorings": [{"score": "pairwise", "std": True, "lambda": 1, "gain": 1}],
             "groups": [{"concept": None, "pairs": 2}]}
    scores = {"tool": "0.1.0", "towers": [tower]}
    shard = {"tool": "0.1.0", "shard": {"index": 1, "count": 1}, "towers": [{
        "scores": tower, "widths": [4], "of_layer": [[0]], "batch_size": None, "memory_budget": 1, "concepts": [[0, 0]]}]}
    seed("report", "scores", json.dumps(scores), form="7")
    seed("report", "shard", json.dumps(shard), form="7")
    seed("report", "shard_whole", safetensors({"uwm.statistics": json.dumps(shard)}, {
        "vision.0.0.0": ("F32", [2, 3, 2, 4], struct.pack("<48f", *[0.5] * 48)),
        "vision.0.0.0.tokens": ("U64", [2, 2], struct.pack("<4Q", 3, 3, 3, 3))}), form="6")


def images():
    for path in sorted((FIXTURES / "decoding").iterdir()):
        if path.suffix not in (".json", ".rgb") and path.stat().st_size < 2000 and not path.name.startswith("exif_"):
            seed("image", path.name, path.read_bytes())
    for name in ("exif_6.jpg", "exif_6.png", "exif_6.webp", "exif_3_xmp_8.webp"):
        seed("image", name, (FIXTURES / "decoding" / name).read_bytes())


# Words

SOURCES = {
    "config": ["config", "gate", "uwm/score", "uwm/selection.rs", "safeground"],
    "external": [],
    "manifest": ["dataset/forms", "dataset/kind.rs"],
    "model": ["onnx"],
    "patch": ["onnx/patch", "onnx/element.rs"],
    "preparation": ["dataset"],
    "report": ["pass", "report", "safeground"],
}
# Of a text of our own, and what the tokenizers' library calls its parts.
MORE = {
    "external": """location= offset= length= checksum= basepath= dims= type= ../ ./ / sub/ w.bin inside outside away hard""".split(),
    "preparation": """BPE WordPiece WordLevel Unigram Sequence NFC NFD NFKC NFKD Lowercase Strip StripAccents Replace Prepend
BertNormalizer Nmt Precompiled ByteLevel Metaspace Whitespace WhitespaceSplit Punctuation Digits Split UnicodeScripts
BertPreTokenizer CharDelimiterSplit FixedLength TemplateProcessing RobertaProcessing BertProcessing Fixed BatchLongest Left Right
LongestFirst OnlyFirst Regex String Isolated Removed MergedWithPrevious MergedWithNext Contiguous model normalizer normalizers
pre_tokenizer pretokenizers post_processor processors decoder added_tokens truncation padding strategy direction max_length
stride pad_id pad_token pad_type_id pad_to_multiple_of vocab merges unk_token unk_id continuing_subword_prefix
end_of_word_suffix byte_fallback fuse_unk ignore_merges dropout cls sep single pair special_tokens SpecialToken type_id
add_prefix_space trim_offsets use_regex prepend_scheme replacement split precompiled_charsmap pattern content behavior invert
handle_chinese_chars clean_text strip_accents lowercase""".split(),
}


def words():
    """Names of fields that are read, and short texts that are compared with."""
    structs = re.compile(r"Deserialize.*?\n *(?:pub )?(?:struct|enum) \w+ \{(.*?)\n *\}", re.S)
    for target, sources in SOURCES.items():
        found = set(MORE.get(target, []))
        for source in sources:
            path = ROOT / "src" / source
            for file in [path] if path.is_file() else sorted(path.rglob("*.rs")):
                text = file.read_text().split("#[cfg(test)]")[0]
                found.update(re.findall(r'"([A-Za-z_][\w.:-]{1,23})"', text))
                for fields in structs.findall(text):
                    found.update(re.findall(r"^ *(?:pub )?(\w+)(?::|,$)", fields, re.M))
        path = ROOT / "fuzz" / "words" / target
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f'"{word}"\n' for word in sorted(found)))


if __name__ == "__main__":
    words()
    models()
    external()
    patches()
    manifests()
    configs()
    preparations()
    images()
    reports(sys.argv[1])
