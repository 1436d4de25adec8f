#!/usr/bin/env python3
"""Where do the instructions of one operation go?

    benches/lines.py "set, nobody watches"            by line
    benches/lines.py "set, nobody watches" --files    by file

Runs a path of benches/instructions.rs twice under callgrind, as the gate does, and looks at the difference. An
instruction of the standard library counts for the line of this crate, or of its dependency, that it was inlined into.
Code without line tables (malloc, memcpy) is named by its function. Wants valgrind, and addr2line of binutils.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import tempfile

SHORT, LONG = 992, 1984


def build():
    command = ["cargo", "bench", "-q", "--no-run", "--bench", "instructions", "--target-dir", "target/lines", "--message-format=json"]
    env = os.environ | {"CARGO_PROFILE_BENCH_DEBUG": "line-tables-only"}
    said = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(found for line in said.splitlines() if (found := json.loads(line).get("executable")))


def run(program, path, times):
    """Instructions by (object, address, function)."""
    cost = collections.Counter()
    at, call = {"ob": "???", "fn": "???"}, False
    with tempfile.NamedTemporaryFile("r") as out:
        command = ["valgrind", "--tool=callgrind", "--dump-instr=yes", "--compress-strings=no", "--compress-pos=no"]
        command += [f"--callgrind-out-file={out.name}", program, "--run", path, str(times)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})
        for line in out:
            if line[:3] in ("ob=", "fn="):
                at[line[:2]] = line[3:].rstrip("\n")
            elif line.startswith("calls="):
                call = True
            elif line.startswith("0x"):
                # After a call comes its inclusive cost, which is counted where it is spent.
                if not call:
                    address, _, count = line.split()[:3]
                    cost[at["ob"], address, at["fn"]] += int(count)
                call = False
    return cost


def frames(program, addresses):
    """For each address the lines it was inlined into, innermost first."""
    said = subprocess.run(["addr2line", "-a", "-i", "-e", program], input="\n".join(addresses), check=True, stdout=subprocess.PIPE, text=True)
    stacks, stack = {}, None
    for line in said.stdout.splitlines():
        if line.startswith("0x"):
            stack = stacks.setdefault(int(line, 16), [])
        else:
            place = re.sub(r".*/registry/src/[^/]*/", "", line.split(" (discriminator")[0])
            place = re.sub(r".*/(?:rustc/[0-9a-f]+/)?library/", "std: ", place)
            stack.append(place.removeprefix(f"{os.getcwd()}/"))
    return stacks


def shares(program, path):
    """Instructions of one operation by place."""
    cost = run(program, path, LONG)
    cost.subtract(run(program, path, SHORT))
    stacks = frames(program, [address for (binary, address, _), count in cost.items() if count and binary == program])
    shown = collections.Counter()
    for (binary, address, function), count in cost.items():
        stack = stacks.get(int(address, 16), []) if binary == program else []
        own = next((place for place in stack if not place.startswith(("std: ", "??"))), None)
        shown[own or re.sub(r"[^A-Za-z0-9_:].*", "", function)] += count / (LONG - SHORT)
    return shown


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="a name of benches/instructions.txt")
    parser.add_argument("--files", action="store_true", help="by file")
    parser.add_argument("--top", type=int, default=40, help="so many lines")
    chosen = parser.parse_args()
    os.chdir(pathlib.Path(__file__).resolve().parent.parent)
    shown = shares(build(), chosen.path)
    print(f"{sum(shown.values()):9.1f}  {chosen.path}")
    if chosen.files:
        files = collections.Counter()
        for place, count in shown.items():
            files[place.split(":")[0] if ".rs:" in place else place] += count
        shown = files
    for place, count in shown.most_common(chosen.top):
        if count >= 0.5:
            print(f"{count:9.1f}  {place}")


main()
