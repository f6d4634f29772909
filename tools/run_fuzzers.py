#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every program of build/fuzz/bin/fuzz for some seconds each: RUTILE_FUZZ_SECONDS, 60 by default.

They begin with small valid files, and go on with what earlier runs found in build/fuzz/corpus. What makes one fail is
kept in build/fuzz/findings.
"""
import gzip
import json
import os
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "fuzz")
TOKENS = ["__metadata__", "dtype", "shape", "data_offsets", "F32", "F64", "BF16", "BOOL", "I64", "F8_E4M3", "[0,0]", "null",
          "-1", "1e99", "18446744073709551615", "9223372036854775807", "\\u0000", "format", "step", "checksum",
          "Float32", "Int64", "str", "crc_num"]


def idx(code, sizes, data):
    return bytes([0, 0, code, len(sizes)]) + b"".join(struct.pack(">I", n) for n in sizes) + data


def safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def record(data):
    """A record as TFRecord and event files frame it, with the CRC-32C of Castagnoli's polynomial."""
    def masked(text):
        crc = 0xFFFFFFFF
        for byte in text:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        crc ^= 0xFFFFFFFF
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
    size = struct.pack("<Q", len(data))
    return size + masked(size) + data + masked(data)


def byte_pairs(merges):
    """A vocabulary of all bytes in GPT-2's printable alphabet and of what is merged, and the merges."""
    printable = [*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    letters = [chr(b) if b in printable else chr(256 + others.index(b)) for b in range(256)]
    tokens = letters + [m.replace(" ", "") for m in merges]
    return json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False).encode() + b"\0" + "\n".join(
        ["#version: 0.2", *merges]).encode()


def seeds():
    """Reader -> valid files."""
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    bools = {"dtype": "BOOL", "shape": [4], "data_offsets": [24, 28]}
    small = idx(8, [3, 4, 5], b"p" * 60)
    files = [safetensors({"__metadata__": {"k": "v"}, "a": entry, "b.c": bools}, bytes(28)),
             safetensors({"a": entry}, b"x" * 24), safetensors({}, b"")]
    # The XXH64 of nothing.
    marks = {"format": "rutile checkpoint 1", "step": "7", "checksum": "ef46db3751d8e999"}
    index = {**marks, "format": "rutile checkpoint index 1", "ranks": "1", "shard.0.file": "a", "shard.0.checksum": marks["checksum"]}
    with open(os.path.join(ROOT, "tests/io/data/mindspore.ckpt"), "rb") as file:
        mindspore = file.read()
    return {
        "idx": [small, idx(0x0C, [7], b"\1" * 28), idx(0x0E, [2, 2], b"d" * 32), idx(8, [0, 28], b""),
                gzip.compress(small)],
        "gzip": [gzip.compress(b"abc" * 500), gzip.compress(b"a") + gzip.compress(b"b" * 5000)],
        "cifar": [bytes([1]) + bytes(3072)],
        "safetensors": files,
        "checkpoint": [safetensors({"__metadata__": marks}, b""), safetensors({"__metadata__": marks, "a": entry}, bytes(24)),
                       safetensors({"__metadata__": index}, b""), safetensors({"__metadata__": {**index, "shard.part.m": "2x3"}}, b"")],
        "ckpt": [mindspore, mindspore[:-17]],
        "protobuf": [mindspore[:-17], b"\x08\x96\x01\x12\x03abc\x1a\x02\x08\x01\x25\0\0\x80\x3f\x29" + bytes(8)],
        "records": [record(b"abc") + record(b"") + record(b"x" * 300), record(b"brain.Event:2")[:-3]],
        "byte_pairs": [byte_pairs([]), byte_pairs(["t h", "th e", "\u0120 the"]), b"{}\0"],
        "text": ["the quick brown fox, \u00e4\u4e2d\U0001f600".encode(), b"\xff\xfe\x80abc"],
    }


def run(name, files, seconds):
    corpus, start = (os.path.join(BUILD, kind, name) for kind in ("corpus", "seeds"))
    findings = os.path.join(BUILD, "findings")
    for folder in (corpus, start, findings):
        os.makedirs(folder, exist_ok=True)
    for i, content in enumerate(files):
        with open(os.path.join(start, str(i)), "wb") as file:
            file.write(content)
    tokens = os.path.join(BUILD, "tokens.dict")
    with open(tokens, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(t) + "\n" for t in TOKENS if "\\" not in t)
    command = [os.path.join(BUILD, "bin", "fuzz", name), f"-max_total_time={seconds}", "-max_len=8192", "-timeout=20",
               "-rss_limit_mb=2048", "-print_final_stats=1", f"-dict={tokens}", f"-artifact_prefix={findings}/{name}-",
               corpus, start]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    runs = [line.split()[-1] for line in done.stdout.splitlines() if "number_of_executed_units" in line]
    print(f"fuzz: {name}: {'fine' if done.returncode == 0 else 'FAILED'}, {runs[-1] if runs else '?'} inputs", flush=True)
    if done.returncode != 0:
        print(done.stdout[-6000:], file=sys.stderr)
    return done.returncode == 0


def main():
    seconds = int(os.environ.get("RUTILE_FUZZ_SECONDS", "60"))
    start = seeds()
    programs = sorted(os.listdir(os.path.join(BUILD, "bin", "fuzz")))
    strange = set(programs) ^ set(start)
    if strange:
        sys.exit(f"fuzz: programs and seeds do not go together: {', '.join(sorted(strange))}")
    results = [run(name, start[name], seconds) for name in programs]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
