#!/usr/bin/env python3
"""What `uwm-onnx apply` costs beside `cp` of the same files: time and anonymous memory.

Makes a model of 600 MB in one file and one of 2.4 GB with external data (layers as in a large encoder, random
weights), and a patch that negates 2 % of the elements of every fourth layer, then prints for each

    time of apply / (time of cp + time of reading, changing and writing the edited tensors alone)
    peak anonymous memory of apply, and the limit: 64 MiB + the largest edited tensor

once as the commands are and once with everything forced to disk (`apply` always syncs its outputs; `cp` does not).
Needs Linux, Python 3 and about 8 GB of free disk. Run: cargo build --release && benches/edit_cost.py [FOLDER]
"""

import hashlib
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "target/release/uwm-onnx"
ROUNDS = 7


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(number_, value):
    return varint(number_ << 3) + varint(value)


def value_info(name, dims):
    shape = b"".join(field(1, number(1, dim)) for dim in dims)
    return field(1, name) + field(2, field(1, number(1, 1) + field(2, shape)))


def make_model(folder, layers, shape, external):
    """`layers` products with weights [I, O]; returns the model's path."""
    inputs, out = shape
    size = inputs * out * 4
    path = folder / "model.onnx"
    block = random.Random(0).randbytes(1 << 20)
    nodes, weights = b"", []
    for k in range(layers):
        source = b"pixel_values" if k == 0 else f"h{k}".encode()
        target = b"image_embeds" if k == layers - 1 else f"h{k + 1}".encode()
        weight = f"w{k}".encode()
        name = f"/vision_model/encoder/layers.{k}/mlp/fc2/MatMul".encode()
        nodes += field(1, field(1, source) + field(1, weight) + field(2, target) + field(3, name) + field(4, b"MatMul"))
        header = number(1, inputs) + number(1, out) + number(2, 1) + field(8, weight)
        if external:
            entry = lambda key, value: field(13, field(1, key) + field(2, str(value).encode()))
            header += entry(b"location", "model.onnx_data") + entry(b"offset", k * size) + entry(b"length", size)
            weights.append(field(5, header + number(14, 1)))
        else:
            weights.append(header)
    ends = field(11, value_info(b"pixel_values", [1, 3, 224, 224])) + field(12, value_info(b"image_embeds", [1, out]))

    def values(file):
        for start in range(0, size, len(block)):
            file.write(block[: min(len(block), size - start)])

    with open(path, "wb") as file:
        if external:
            graph = nodes + b"".join(weights) + ends
            file.write(number(1, 8) + field(7, graph) + field(8, number(2, 17)))
            with open(folder / "model.onnx_data", "wb") as data:
                for _ in range(layers):
                    values(data)
        else:
            heads = [header + varint(9 << 3 | 2) + varint(size) for header in weights]
            heads = [varint(5 << 3 | 2) + varint(len(head) + size) + head for head in heads]
            length = len(nodes) + len(ends) + sum(len(head) + size for head in heads)
            file.write(number(1, 8) + varint(7 << 3 | 2) + varint(length) + nodes)
            for head in heads:
                file.write(head)
                values(file)
            file.write(ends + field(8, number(2, 17)))
    return path


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 24):
            digest.update(chunk)
    return digest.hexdigest()


def make_patch(folder, layers, shape, external):
    """A patch file as docs/patch-format.md describes it."""
    inputs, out = shape
    files = [("", folder / "model.onnx")] + [("model.onnx_data", folder / "model.onnx_data")] * external
    source = [{"location": loc, "size": p.stat().st_size, "sha256": sha256(p)} for loc, p in files]
    rng = random.Random(1)
    entries, tensors = [], {}
    for k in range(0, layers, 4):
        position, gaps, count = -1, bytearray(), 0
        while True:
            gap = rng.randrange(1, 100)
            if position + gap >= inputs * out:
                break
            gaps += varint(gap if count else position + gap)
            position += gap
            count += 1
        entries.append({"tower": "vision", "block": k, "role": "fc2", "node": f"/vision_model/encoder/layers.{k}/mlp/fc2/MatMul",
                        "tensor": f"w{k}", "shape": [out, inputs], "element": "FLOAT", "alpha": "-1", "selected": count,
                        "saturated": 0})
        k = len(entries) - 1
        # As many sample values as there are distinct sample positions; only --match layers looks at them.
        samples = len({splitmix(j) % (inputs * out) for j in range(1, 257)})
        tensors |= {f"{k}.positions": ("U8", bytes(gaps)), f"{k}.kept": ("U8", b""), f"{k}.originals": ("U8", b""),
                    f"{k}.sample": ("F32", bytes(4 * samples))}
    header = {"version": 1, "tool": "0.1.0", "source": source, "options": {}, "layers": entries}
    index, data = {"__metadata__": {"uwm.patch": json.dumps(header)}}, b""
    for name, (dtype, content) in sorted(tensors.items(), key=lambda item: item[1][0]):
        length = len(content) // (4 if dtype == "F32" else 1)
        index[name] = {"dtype": dtype, "shape": [length], "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(index).encode()
    text += b" " * (-len(text) % 8)
    (folder / "edit.uwm").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return len(entries), sum(entry["selected"] for entry in entries)


def splitmix(k):
    mask = (1 << 64) - 1
    z = k * 0x9E3779B97F4A7C15 & mask
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    return z ^ z >> 31


def timed(command, peak=None):
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while peak is not None and process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            anonymous = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")]
            peak.append(max(anonymous, default=0) / 1024)
        except (FileNotFoundError, ProcessLookupError):
            pass
        time.sleep(0.002)
    if process.wait():
        sys.exit(f"failed: {command}")
    return time.perf_counter() - begun


def touch(model, folder, edited, size):
    """Reads the edited tensors, changes a byte in each page, writes them."""
    begun = time.perf_counter()
    with open(model, "rb") as source, open(folder / "touched", "wb") as target:
        for k in range(edited):
            source.seek(4 * k * size)
            chunk = bytearray(source.read(size))
            chunk[3::4096] = bytes(len(chunk[3::4096]))
            target.write(chunk)
    return time.perf_counter() - begun


def measure(title, folder, layers, shape, external):
    folder.mkdir()
    make_model(folder, layers, shape, external)
    edited, selected = make_patch(folder, layers, shape, external)
    files = [folder / "model.onnx"] + [folder / "model.onnx_data"] * external
    total, largest = sum(file.stat().st_size for file in files), shape[0] * shape[1] * 4
    print(f"{title}: {total / 1e6:.0f} MB, {selected} elements of {edited} of {layers} tensors negated", flush=True)
    figures = {"apply": [], "cp": [], "cp and sync": [], "touch": []}
    peak = []
    for _ in range(ROUNDS):
        for name in figures:
            out = folder / "out"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            subprocess.run(["sync"], check=True)
            if name == "apply":
                figures[name].append(timed([TOOL, "apply", folder / "model.onnx", folder / "edit.uwm", "-o", out / "model.onnx"]))
            elif name == "touch":
                figures[name].append(touch(files[-1], out, edited, largest))
            else:
                seconds = timed(["cp", *files, out])
                if name == "cp and sync":
                    seconds += timed(["sync", *[out / file.name for file in files]])
                figures[name].append(seconds)
    # By itself: looking at the process takes time from it.
    timed([TOOL, "apply", folder / "model.onnx", folder / "edit.uwm", "-o", folder / "again.onnx"], peak)
    # The shortest of each: what disturbs a run only ever makes it longer. The median shows how much.
    least = {name: min(values) for name, values in figures.items()}
    shown = ", ".join(f"{name} {least[name]:.2f} ({statistics.median(figures[name]):.2f})" for name in figures)
    print(f"  seconds, shortest (median) of {ROUNDS}: {shown}")
    for name in ["cp", "cp and sync"]:
        ratio = (least["apply"] - least["touch"]) / least[name]
        print(f"  (apply - touched pages) / {name}: {ratio:.2f} (limit 1.3)")
    limit = 64 + largest / 2**20
    print(f"  peak anonymous memory: {max(peak):.0f} MiB (limit {limit:.0f} MiB: 64 + the largest edited tensor)")
    shutil.rmtree(folder)


def main():
    if not TOOL.exists():
        sys.exit("build first: cargo build --release")
    base = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        folder = Path(folder)
        # fc2 of a ViT-L is 4096 x 1024.
        measure("one file", folder / "one", 36, (4096, 1024), False)
        measure("external data", folder / "external", 144, (4096, 1024), True)


if __name__ == "__main__":
    main()
