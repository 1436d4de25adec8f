#!/usr/bin/env python3
"""Which lines take the instructions of one operation?

    benches/lines.py "set, 1 full ring, DropOldest" [--files] [--top 40]

Runs a path of benches/instructions.rs twice under callgrind, as the gate does, and prints the difference by source
line, or by file. Code of libraries without line tables (malloc, memcpy) is named by its function.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import tempfile

SHORT, LONG = 992, 1984


def build():
    env = dict(os.environ, CARGO_PROFILE_BENCH_DEBUG="line-tables-only")
    command = ["cargo", "bench", "-q", "--no-run", "--bench", "instructions", "--target-dir", "target/lines"]
    said = subprocess.run(command + ["--message-format=json"], env=env, check=True, stdout=subprocess.PIPE, text=True)
    for line in said.stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "instructions" and message.get("executable"):
            return message["executable"]
    raise SystemExit("cargo names no executable")


def run(program, path, times):
    """Instructions by (file, line) or (function, 0)."""
    with tempfile.NamedTemporaryFile() as out:
        command = ["valgrind", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no"]
        command += [f"--callgrind-out-file={out.name}", program, "--run", path, str(times)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})
        with open(out.name) as file:
            return parse(file)


def parse(file):
    cost = collections.Counter()
    at, function, call = "???", "???", False
    for line in file:
        line = line.rstrip("\n")
        if line.startswith(("fl=", "fi=", "fe=")):
            at = line[3:]
        elif line.startswith("fn="):
            function = line[3:]
        elif line.startswith("calls="):
            call = True
        elif line[:1].isdigit():
            if call:
                # The inclusive cost of a call, counted where it is spent.
                call = False
                continue
            number, count = line.split()[:2]
            key = (function, 0) if at == "???" else (at, int(number))
            cost[key] += int(count)
    return cost


def short(name):
    name = re.sub(r".*/registry/src/[^/]*/", "", name)
    name = re.sub(r".*/(?:rustc/[0-9a-f]+/)?library/", "std: ", name)
    return os.path.relpath(name) if name.startswith(os.getcwd() + "/") else name


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--top", type=int, default=40)
    chosen = parser.parse_args()
    program = build()
    cost = run(program, chosen.path, LONG)
    cost.subtract(run(program, chosen.path, SHORT))
    shown = collections.Counter()
    for (name, line), count in cost.items():
        key = short(name) if chosen.files or not line else f"{short(name)}:{line}"
        shown[key] += count / (LONG - SHORT)
    print(f"{sum(shown.values()):9.1f}  {chosen.path}")
    for key, count in shown.most_common(chosen.top):
        if count >= 0.5:
            print(f"{count:9.1f}  {key}")


main()
