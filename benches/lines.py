#!/usr/bin/env python3
"""Where do the instructions of one operation go?

    benches/lines.py "set, 1 full ring, DropOldest"            by line
    benches/lines.py "set, 1 full ring, DropOldest" --files    by file, which is: by station
    benches/lines.py "set, 64 rings with room" --memory        cache lines touched, by lackey's trace
    benches/lines.py --table                                   both as tables, for docs/PERFORMANCE.md

Runs a path of benches/instructions.rs twice under callgrind, as the gate does, and looks at the difference. An
instruction of the standard library counts for the line of this crate, or of its dependency, that it was inlined into.
Code without line tables (malloc, memcpy) is named by its function. Wants valgrind, and addr2line of binutils.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import tempfile

SHORT, LONG = 992, 1984
PAGE = "docs/PERFORMANCE.md"

PATHS = [
    ("`set`, nobody", "set, nobody watches"),
    ("`set`, 1 full, `DropOldest`", "set, 1 full ring, DropOldest"),
    ("`set`, 1 full, `DropNewest`", "set, 1 full ring, DropNewest"),
    ("`set`, 1 with room", "set, 1 ring with room"),
    ("`set`, 1 unbounded", "set, 1 unbounded ring"),
    ("`set`, 64 with room", "set, 64 rings with room"),
    ("`try_recv`", "try_recv, bounded"),
    ("`recv`, asleep", "recv: poll, set, poll"),
    ("`wait_for`, met", "wait_for: create, poll, set, poll"),
    ("`wait_for`, dropped", "wait_for: create, poll, drop"),
    ("`wait_until`, met", "wait_until: create, poll, set, poll"),
    ("`set`, 1 callback", "set, 1 callback"),
]
REST = "malloc, memcpy, drop glue"
STATIONS = [
    ("the loop that measures", r"benches/|^instructions::"),
    ("lock and unlock, re-entry", r"src/sync\.rs"),
    ("call, compare, swap, count, leave", r"src/(cell|watched)\b|onlooker::(cell|watched)::"),
    ("who is to be served", r"src/(delivery|observers|paced)\b|onlooker::(delivery|observers)::"),
    ("walk of the watchers", r"src/(ring|roll)\.rs|onlooker::(ring|roll)::"),
    ("the queue", r"concurrent-queue"),
    ("watcher's side", r"src/(watcher|transition|reader)\b|onlooker::watcher::"),
    ("value waits", r"src/targets\.rs|onlooker::targets::"),
    ("wait's side", r"src/(wait|timer|park)\b|onlooker::wait::"),
    ("callbacks", r"src/callback\.rs"),
    ("event-listener", r"event[-_]listener"),
    (REST, r""),
]


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
    """Instructions by (object, address, function)."""
    with tempfile.NamedTemporaryFile() as out:
        command = ["valgrind", "--tool=callgrind", "--dump-instr=yes", "--compress-strings=no", "--compress-pos=no"]
        command += [f"--callgrind-out-file={out.name}", program, "--run", path, str(times)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})
        cost = collections.Counter()
        binary, function, call = "???", "???", False
        with open(out.name) as file:
            for line in file:
                if line.startswith("ob="):
                    binary = line[3:].rstrip("\n")
                elif line.startswith("fn="):
                    function = line[3:].rstrip("\n")
                elif line.startswith("calls="):
                    call = True
                elif line.startswith("0x"):
                    if call:
                        # The inclusive cost of a call, counted where it is spent.
                        call = False
                        continue
                    address, _, count = line.split()[:3]
                    cost[binary, address, function] += int(count)
        return cost


def frames(program, addresses):
    """For each address the lines it was inlined into, innermost first."""
    said = subprocess.run(["addr2line", "-a", "-i", "-e", program], input="\n".join(addresses), check=True, stdout=subprocess.PIPE, text=True)
    stacks, stack = {}, None
    for line in said.stdout.splitlines():
        if line.startswith("0x"):
            stack = stacks.setdefault(int(line, 16), [])
        else:
            stack.append(short(line.split(" (discriminator")[0]))
    return stacks


def short(place):
    place = re.sub(r".*/registry/src/[^/]*/", "", place)
    place = re.sub(r".*/(?:rustc/[0-9a-f]+/)?library/", "std: ", place)
    return os.path.relpath(place) if place.startswith(os.getcwd() + "/") else place


def shares(program, path):
    """Instructions of one operation by place."""
    cost = run(program, path, LONG)
    cost.subtract(run(program, path, SHORT))
    cost = {key: count / (LONG - SHORT) for key, count in cost.items() if count}
    stacks = frames(program, [address for binary, address, _ in cost if binary == program])
    shown = collections.Counter()
    for (binary, address, function), count in cost.items():
        stack = stacks.get(int(address, 16), []) if binary == program else []
        own = next((place for place in stack if not place.startswith(("std: ", "??"))), None)
        shown[own or re.sub(r"[^A-Za-z0-9_:].*", "", function)] += count
    return shown


def by_file(shown):
    files = collections.Counter()
    for place, count in shown.items():
        files[place.split(":")[0] if ".rs:" in place else place] += count
    return files


def station(place):
    return next(name for name, pattern in STATIONS if re.search(pattern, place))


TOUCHED = [
    ("`set`, nobody", "set, nobody watches", 0),
    ("`set`, 1 ring with room", "set, 1 ring with room", 0),
    ("`set`, 64 rings with room", "set, 64 rings with room", 64),
    ("`set`, 64 full rings, `DropOldest`", "set, 64 full rings, DropOldest", 64),
    ("`set`, 64 full rings, `DropNewest`", "set, 64 full rings, DropNewest", 64),
    ("`set`, 64 unbounded rings", "set, 64 unbounded rings", 64),
    ("`set`, 1,000 value waits", "set, 1,000 value waits, none matches", 1000),
    ("`set`, 1,000 predicates", "set, 1,000 predicates, none holds", 1000),
    ("`try_recv`", "try_recv, bounded", 0),
    ("`wait_for`, met", "wait_for: create, poll, set, poll", 0),
    ("`wait_for`, dropped", "wait_for: create, poll, drop", 0),
]
LINE = 64
# A thread's stack is always near.
STACK = 0x1F_0000_0000


def trace(program, path, times):
    command = ["valgrind", "--tool=lackey", "--trace-mem=yes", "--log-fd=1", program, "--run", path, str(times)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]})
    return [line[3:] for line in said.stdout.splitlines() if line[:3] in (" L ", " S ", " M ")]


def touched(program, path):
    """Cache lines of one operation, the stack's left out.

    Between two runs that differ by one operation lies the length of one; so much of the trace out of the midst of
    many is one operation, wherever it is cut.
    """
    many = 64
    longer = trace(program, path, many + 1)
    length = len(longer) - len(trace(program, path, many))
    end = len(longer) - many // 2 * length
    lines = set()
    for record in longer[end - length : end]:
        address, size = record.split(",")
        first = int(address, 16)
        if first < STACK:
            lines.update(range(first // LINE, (first + int(size) - 1) // LINE + 1))
    return len(lines)


def memory_table(program):
    lines = ["| | cache lines | for each |", "|---|--:|--:|"]
    for name, path, many in TOUCHED:
        count = touched(program, path)
        lines.append(f"| {name} | {count:,} | {f'{count / many:.1f}' if many else ''} |")
    return lines


def table(program):
    columns = []
    for _, path in PATHS:
        stations = collections.Counter()
        for place, count in by_file(shares(program, path)).items():
            stations[station(place)] += count
        columns.append(stations)
    lines = ["| instructions | " + " | ".join(name for name, _ in PATHS) + " |", "|---" + "|--:" * len(PATHS) + "|"]
    for name, _ in STATIONS:
        cells = [f"{column[name]:,.0f}" if column[name] >= 0.5 else "" for column in columns]
        if any(cells):
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append("| **all** | " + " | ".join(f"**{sum(column.values()):,.0f}**" for column in columns) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("path", nargs="?")
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--top", type=int, default=40)
    chosen = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    program = build()
    if chosen.table:
        with open(PAGE) as file:
            page = file.read()
        for name, lines in (("stations", table(program)), ("lines", memory_table(program))):
            lines = "\n".join(lines)
            print(lines)
            page = re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda match: f"{match[1]}{lines}\n{match[2]}", page, flags=re.S)
        with open(PAGE, "w") as file:
            file.write(page)
        return
    if chosen.memory:
        print(touched(program, chosen.path))
        return
    shown = shares(program, chosen.path)
    print(f"{sum(shown.values()):9.1f}  {chosen.path}")
    for place, count in (by_file(shown) if chosen.files else shown).most_common(chosen.top):
        if count >= 0.5:
            print(f"{count:9.1f}  {place}")


main()
