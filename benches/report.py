#!/usr/bin/env python3
"""Tables and plots of what the benches found.

    benches/report.py                 the goal table and the plots' data, of target/bench
    benches/report.py --run 3         runs the benches three times first and puts the rounds together
    benches/report.py --keep          writes docs/plots and the tables in docs/PERFORMANCE.md too
    benches/report.py --kept --keep   the same from docs/plots/data, measuring nothing

Only the standard library. Only ratios within one run mean anything: each round of one side is divided by the same round
of the other, and the median of these is the ratio.
"""

import argparse
import glob
import math
import os
import re
import statistics
import subprocess
import sys

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
FOUND = "target/bench"
KEPT = "docs/plots/data"
PAGE = "docs/PERFORMANCE.md"
QUESTIONS = ["floors", "get", "set", "recv", "fanout", "scaling", "threads", "wait", "memory"]

# (goal, what, question, row, x, ours, peers, the ratio to stay under). Of several peers the better one counts.
RATIOS = [
    ("A", "`get`", "get", "get, u64", 1, "onlooker", ["std Mutex"], 1.15),
    ("A'", "`Reader::get`, nothing changed", "get", "read in place, u64", 1, "onlooker Reader", ["ArcSwap"], 1 / 8),
    ("B", "`set`, nobody watches", "set", "set, nobody watches, u64", 0, "onlooker", ["std Mutex"], 1.3),
    ("C", "`set`, 1 idle, full, `DropOldest`", "set", "set, 1 idle watcher, u64", 1, "onlooker, DropOldest", ["tokio broadcast"], 1.2),
    ("C", "`set`, 1 idle, full, `DropNewest`", "set", "set, 1 idle watcher, u64", 1, "onlooker, DropNewest", ["tokio broadcast"], 1.2),
    ("C", "`set`, 1 idle, with room", "set", "set, 1 idle watcher, u64", 1, "onlooker, room", ["tokio broadcast"], 1.2),
    ("C'", "`set`, 64 idle, bounded, each", "scaling", "set, idle watchers, each", 64, "onlooker, room", ["by hand, room"], 1 / 8),
    ("C'", "`set`, 64 idle, unbounded, each", "scaling", "set, idle watchers, each", 64, "onlooker, unbounded", ["by hand, unbounded"], 1 / 5),
    ("D", "`try_recv`, bounded", "recv", "try_recv", 1, "onlooker, bounded", ["tokio broadcast"], 1.0),
    ("E", "fan-out to 1 task", "fanout", "deliver", 1, "onlooker, bounded", ["tokio broadcast", "async-broadcast"], 1.0),
    ("E'", "fan-out to 8 tasks", "fanout", "deliver", 8, "onlooker, bounded", ["tokio broadcast", "async-broadcast"], 1.0),
    ("E'", "fan-out to 64 tasks", "fanout", "deliver", 64, "onlooker, bounded", ["tokio broadcast", "async-broadcast"], 1.0),
    ("F", "1 setting thread, 1 watcher", "threads", "stream to 1 watcher", 1, "onlooker, unbounded", ["tokio broadcast"], 1.0),
    ("F'", "2 setting threads, 1 watcher", "threads", "stream to 1 watcher", 2, "onlooker, unbounded", ["tokio broadcast"], 1.1),
    ("G", "ping-pong of two threads", "threads", "ping-pong by wait_for", 2, "onlooker", ["tokio watch, block_on"], 0.7),
    ("H", "`wait_for`: create, poll, set, poll", "wait", "wait: create, poll, set, poll", 1, "onlooker wait_for", ["tokio watch"], 0.35),
    ("H'", "`wait_for`: create, poll, drop", "wait", "wait: create, poll, drop", 1, "onlooker wait_for", ["tokio watch"], 0.75),
    ("I", "one of 1,000 `wait_for` matches", "wait", "one of 1,000 waits matches", 1000, "onlooker wait_for", ["tokio watch"], 1 / 100),
    ("I", "one of 1,000 `wait_until` holds", "wait", "one of 1,000 waits matches", 1000, "onlooker wait_until", ["tokio watch"], 1 / 40),
]

# (goal, what, question, row, x, ours, at most)
COUNTS = [
    ("H", "allocations of a `wait_for`'s cycle", "memory", "wait: create, poll, set, poll", 1, "onlooker wait_for", 1),
    ("I", "tasks polled by `set`, 1,000 `wait_for`", "wait", "one of 1,000 waits matches: polled", 1000, "onlooker wait_for", 1),
    ("I", "tasks polled by `set`, 1,000 `wait_until`", "wait", "one of 1,000 waits matches: polled", 1000, "onlooker wait_until", 1),
    ("J", "heap of an idle watcher, unbounded, bytes", "memory", "idle watcher, unbounded", 1, "onlooker", 640),
    ("J", "heap of an idle watcher, ring of 16, bytes", "memory", "idle watcher, ring of 16", 1, "onlooker", 1000),
    ("J", "a buffered `u64` transition, bytes", "memory", "buffered transition, of a million", 1, "onlooker, unbounded", 32),
    ("J", "heap of a pending `wait_for`, bytes", "memory", "pending wait", 1, "onlooker wait_for", 160),
    ("K", "allocations of `set`, nobody watches", "memory", "set, nobody watches", 1, "onlooker", 0),
    ("K", "allocations of `set`, full ring", "memory", "set, full ring", 1, "onlooker", 0),
    ("K", "allocations of `recv`, falling asleep included", "memory", "recv: poll, set, poll", 1, "onlooker, bounded", 0),
]


# Figures


class Figures:
    """Rounds by (question, row, x, who)."""

    def __init__(self):
        self.rounds = {}

    def take(self, folder):
        for name in sorted(glob.glob(f"{folder}/*.tsv")):
            with open(name) as file:
                for line in file:
                    question, row, x, who, _, rounds = line.rstrip("\n").split("\t")
                    key = (question, row, int(x), who)
                    self.rounds.setdefault(key, []).extend(float(figure) for figure in rounds.split())

    def median(self, question, row, x, who):
        return statistics.median(self.rounds[question, row, x, who])

    def ratio(self, question, row, x, ours, peer):
        pairs = zip(self.rounds[question, row, x, ours], self.rounds[question, row, x, peer])
        return statistics.median(own / theirs for own, theirs in pairs)

    def quartiles(self, *key):
        figures = sorted(self.rounds[key])
        return [figures[(len(figures) - 1) * part // 4] for part in (1, 2, 3)]

    def quiet(self, question, row, x, ours, peer):
        """The ratio of the lower quartiles: what the machine's other work has least disturbed."""
        own, theirs = (self.quartiles(question, row, x, who)[0] for who in (ours, peer))
        return own / theirs

    def series(self, question, row, who):
        """(x, median) for each x."""
        xs = sorted(x for (q, r, x, w) in self.rounds if (q, r, w) == (question, row, who))
        return [(x, self.median(question, row, x, who)) for x in xs]

    def keep(self, folder):
        os.makedirs(folder, exist_ok=True)
        for question in QUESTIONS:
            with open(f"{folder}/{question}.tsv", "w") as file:
                for (q, row, x, who), rounds in self.rounds.items():
                    if q == question:
                        figures = " ".join(f"{figure:.4g}" for figure in rounds)
                        print(q, row, x, who, "-", figures, sep="\t", file=file)


def measure(runs):
    figures = Figures()
    for _ in range(runs):
        for question in QUESTIONS:
            subprocess.run(["cargo", "bench", "-q", "--bench", question], check=True, stdout=sys.stderr)
        figures.take(FOUND)
    # Counts are the same each time.
    return figures


# Tables


def number(figure):
    if figure >= 1000:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if figure % 1 else f"{figure:.0f}"


def fraction(ratio):
    return f"{ratio:.3f}".rstrip("0").rstrip(".")


def goal_rows(figures):
    for goal, what, question, row, x, ours, peers, limit in RATIOS:
        ratio, peer = max((figures.ratio(question, row, x, ours, peer), peer) for peer in peers)
        own, theirs = (figures.median(question, row, x, who) for who in (ours, peer))
        quiet = figures.quiet(question, row, x, ours, peer)
        yield goal, what, f"{own:,.1f}", f"{peer} {theirs:,.1f}", ratio, quiet, limit


def goal_table(figures):
    lines = ["| | what | ours, ns | peer, ns | ratio | quiet | goal | |", "|---|---|---|---|---|---|---|---|"]
    for goal, what, own, peer, ratio, quiet, limit in goal_rows(figures):
        verdict = "met" if ratio <= limit else "**not met**"
        # At the very line three places do not tell.
        shown = fraction(ratio) if fraction(ratio) != fraction(limit) else f"{ratio:.5f}"
        lines.append(f"| {goal} | {what} | {own} | {peer} | {shown} | {fraction(quiet)} | {fraction(limit)} | {verdict} |")
    lines += ["", "| | what | counted | goal | |", "|---|---|---|---|---|"]
    for goal, what, question, row, x, ours, limit in COUNTS:
        own = figures.median(question, row, x, ours)
        lines.append(f"| {goal} | {what} | {number(own)} | {limit} | {'met' if own <= limit else '**not met**'} |")
    return lines


def row_table(figures, question, row, label, whos, unit="ns"):
    """A line for each x, a column for each who."""
    xs = sorted({x for (q, r, x, _) in figures.rounds if (q, r) == (question, row)})
    lines = [f"| {label} | " + " | ".join(whos) + " |", "|---" * (len(whos) + 1) + "|"]
    for x in xs:
        cells = [number(round(figures.median(question, row, x, who), 1)) for who in whos]
        lines.append(f"| {x:,} | " + " | ".join(cells) + " |")
    return lines


def size_table(figures):
    sizes = ["u64", "[u8; 64]", "String", "Arc<str>"]
    rows = [
        ("`get`", "get", "get, {}", 1, "onlooker"),
        ("a `std` Mutex, read", "get", "get, {}", 1, "std Mutex"),
        ("`Reader::get`, unchanged", "get", "read in place, {}", 1, "onlooker Reader"),
        ("`set`, nobody watches", "set", "set, nobody watches, {}", 0, "onlooker"),
        ("a `std` Mutex, stored", "set", "set, nobody watches, {}", 0, "std Mutex"),
        ("tokio watch, nobody", "set", "set, nobody watches, {}", 0, "tokio watch"),
        ("eyeball, nobody", "set", "set, nobody watches, {}", 0, "eyeball"),
        ("futures-signals, nobody", "set", "set, nobody watches, {}", 0, "futures-signals"),
        ("`set`, 1 idle, full, `DropOldest`", "set", "set, 1 idle watcher, {}", 1, "onlooker, DropOldest"),
        ("`set`, 1 idle, full, `DropNewest`", "set", "set, 1 idle watcher, {}", 1, "onlooker, DropNewest"),
        ("`set`, 1 idle, with room", "set", "set, 1 idle watcher, {}", 1, "onlooker, room"),
        ("`set`, 1 idle, unbounded", "set", "set, 1 idle watcher, {}", 1, "onlooker, unbounded"),
        ("tokio broadcast, 1 idle", "set", "set, 1 idle watcher, {}", 1, "tokio broadcast"),
        ("async-broadcast, 1 idle", "set", "set, 1 idle watcher, {}", 1, "async-broadcast"),
        ("by hand, 1 idle, full", "set", "set, 1 idle watcher, {}", 1, "by hand"),
    ]
    lines = ["| ns | " + " | ".join(f"`{size}`" for size in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for what, question, row, x, who in rows:
        cells = [f"{figures.median(question, row.format(size), x, who):.1f}" for size in sizes]
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    return lines


def floor_table(figures):
    loop = figures.median("floors", "the loop itself", 1, "alone")
    lines = ["| a part | ns |", "|---|---|"]
    for question, row, x, who in figures.rounds:
        if question == "floors" and row != "the loop itself":
            lines.append(f"| {row} | {max(figures.median(question, row, x, who) - loop, 0):.1f} |")
    return lines


def memory_table(figures):
    lines = ["| what | whose | heap, bytes |", "|---|---|---|"]
    calls = ["| what | whose | allocations |", "|---|---|---|"]
    heap = True
    for question, row, x, who in figures.rounds:
        if question == "memory":
            # The allocations follow the sizes.
            heap = heap and row != "set, nobody watches"
            figure = number(round(figures.median(question, row, x, who), 1))
            (lines if heap else calls).append(f"| {row} | {who} | {figure} |")
    return lines + [""] + calls


def machine():
    said = dict(
        line.split(":", 1) for line in subprocess.run(["lscpu"], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines() if ":" in line
    )
    facts = {name.strip(): value.strip() for name, value in said.items()}
    rustc = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    virtual = ", a virtual machine" if "Hypervisor vendor" in facts else ""
    return [
        f"{facts['CPU(s)']} cores of {facts['Model name']} (family {facts['CPU family']}, model {facts['Model']}; L1d {facts['L1d cache']},"
        f" L2 {facts['L2 cache']}, L3 {facts['L3 cache']}){virtual}; {rustc}; `bench` profile (LTO, one codegen unit)."
    ]


def tables(figures):
    hand = ["by hand, room", "by hand, unbounded"]
    ours = ["onlooker, room", "onlooker, unbounded", "onlooker, full, DropOldest", "onlooker, full, DropNewest"]
    return {
        "goals": goal_table(figures),
        "sizes": size_table(figures),
        "floors": floor_table(figures),
        "memory": memory_table(figures),
        "watchers": row_table(figures, "scaling", "set, idle watchers, each", "idle watchers", ours + hand),
        "waits": row_table(figures, "scaling", "set, none of the waits matches", "waits", ["onlooker wait_for", "onlooker wait_until", "tokio watch"]),
        "states": row_table(figures, "scaling", "set, states in turn", "states", ["onlooker, nobody", "onlooker, 1 watcher", "tokio watch"]),
        "fanout": row_table(figures, "fanout", "deliver", "tasks", ["onlooker, bounded", "onlooker, unbounded", "tokio broadcast", "async-broadcast", "by hand"]),
        "backlog": row_table(figures, "recv", "fall behind and catch up", "behind by", ["onlooker, unbounded", "by hand"]),
        "stream": row_table(figures, "threads", "stream to 1 watcher", "setters", ["onlooker, unbounded", "tokio broadcast", "async-broadcast", "by hand"]),
        "contend": row_table(figures, "threads", "set, threads contend", "threads", ["onlooker, nobody", "onlooker, 1 watcher", "std Mutex", "tokio broadcast", "tokio watch"]),
        "pingpong": row_table(figures, "threads", "ping-pong by wait_for", "threads", ["onlooker", "onlooker, block_on", "tokio watch, block_on", "park and unpark"]),
        "sleep": row_table(figures, "recv", "recv: poll, set, poll", "watchers", ["onlooker", "tokio broadcast", "async-broadcast", "by hand"]),
        "cycle": row_table(figures, "wait", "wait: create, poll, set, poll", "waits", ["onlooker wait_for", "onlooker wait_until", "tokio watch"]),
        "cancelled": row_table(figures, "wait", "wait: create, poll, drop", "waits", ["onlooker wait_for", "onlooker wait_until", "tokio watch"]),
    }


def write_page(found):
    with open(PAGE) as file:
        page = file.read()
    for name, lines in found.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        text = "\n".join(lines)
        page = mark.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page)
    with open(PAGE, "w") as file:
        file.write(page)


# Plots

INK, FAINT, GRID = "#1f2933", "#697586", "#dfe4ea"
OURS = ["#0b5fa5", "#2b8fd6", "#4b3fa8", "#1f9e89"]
PEERS = ["#c2410c", "#b45309", "#a3195b", "#6b7280"]


def text(x, y, words, size=13, anchor="start", color=INK, extra=""):
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{color}" {extra}>{words}</text>'


def svg(width, height, body):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="Helvetica, Arial, sans-serif">'
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#ffffff"/>', *body, "</svg>", ""])


def short(value):
    """An axis label: 1, 10, 1,000, 100k, 10M."""
    for unit, name in ((1e6, "M"), (1e4, "k")):
        if value >= unit:
            return f"{value / (1e3 if name == 'k' else unit):g}{name}"
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def nanoseconds(value):
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if value >= unit:
            return f"{value / unit:g} {name}"
    return f"{value:g} ns"


def apart(places, gap, low, high):
    """Moves labels so that none covers another; keeps their order."""
    order = sorted(range(len(places)), key=lambda at: places[at])
    moved = list(places)
    for _ in range(400):
        calm = True
        for one, two in zip(order, order[1:]):
            lack = gap - (moved[two] - moved[one])
            if lack > 0.01:
                moved[one] -= lack / 2
                moved[two] += lack / 2
                calm = False
        moved = [min(max(place, low), high) for place in moved]
        if calm:
            break
    return moved


def lines_plot(title, note, xlabel, ylabel, series, log_y=True):
    """series: (label, [(x, y)], colour, dashed)."""
    width, height, left, right, top, bottom = 860, 480, 78, 235, 74, 58
    xs = sorted({x for _, points, _, _ in series for x, _ in points})
    ys = [y for _, points, _, _ in series for _, y in points]
    floor, ceiling = (10 ** math.floor(math.log10(min(ys))), max(ys) * 1.25) if log_y else (0, max(ys) * 1.1)

    def at_x(x):
        span = math.log(xs[-1] / xs[0])
        return left + math.log(x / xs[0]) / span * (width - left - right)

    def at_y(y):
        part = math.log(y / floor) / math.log(ceiling / floor) if log_y else y / ceiling
        return height - bottom - part * (height - top - bottom)

    body = [text(left, 28, title, 18, extra='font-weight="bold"'), text(left, 50, note, 13, color=FAINT)]
    if log_y:
        ticks = [10**power for power in range(round(math.log10(floor)), 12) if 10**power <= ceiling]
        if len(ticks) < 3:
            ticks = sorted(step * tick for tick in ticks for step in (1, 2, 5) if step * tick <= ceiling)
    else:
        step = next(step for step in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000, 5000) if ceiling / step <= 7)
        ticks = list(range(0, int(ceiling) + 1, step))
    for tick in ticks:
        y = at_y(tick)
        body.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" stroke="{GRID}"/>')
        body.append(text(left - 8, y + 4, nanoseconds(tick) if tick else "0", 12, "end", FAINT))
    for x in xs:
        body.append(f'<line x1="{at_x(x):.1f}" y1="{height - bottom}" x2="{at_x(x):.1f}" y2="{height - bottom + 5}" stroke="{FAINT}"/>')
        body.append(text(at_x(x), height - bottom + 20, short(x), 12, "middle", FAINT))
    body.append(f'<line x1="{left}" y1="{height - bottom}" x2="{width - right}" y2="{height - bottom}" stroke="{FAINT}"/>')
    body.append(text((left + width - right) / 2, height - 14, xlabel, 13, "middle"))
    body.append(text(18, (top + height - bottom) / 2, ylabel, 13, "middle", extra=f'transform="rotate(-90 18 {(top + height - bottom) / 2:.0f})"'))
    ends = apart([at_y(points[-1][1]) for _, points, _, _ in series], 17, top, height - bottom)
    for (label, points, color, dashed), end in zip(series, ends):
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in points)
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        body.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2.2"{dash}/>')
        body += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3.4" fill="{color}"/>' for x, y in points]
        x, y = at_x(points[-1][0]), at_y(points[-1][1])
        body.append(f'<line x1="{x + 5:.1f}" y1="{y:.1f}" x2="{x + 17:.1f}" y2="{end:.1f}" stroke="{color}" stroke-width="1"/>')
        body.append(text(x + 20, end + 4, label, 13, color=color))
    return svg(width, height, body)


def goals_plot(figures):
    rows = list(goal_rows(figures))
    left, right, top, line = 330, 190, 86, 24
    width, height = 900, top + line * len(rows) + 50
    low, high = 0.2, 2.5

    def at(part):
        span = math.log(high / low)
        return left + math.log(min(max(part, low), high) / low) / span * (width - left - right)

    body = [
        text(16, 28, "How near each goal is", 18, extra='font-weight="bold"'),
        text(16, 50, "our cost as a part of what the goal allows, 1 = just met; left of the line is better (log axis)", 13, color=FAINT),
    ]
    for tick in (0.25, 0.5, 1, 2):
        strong = tick == 1
        body.append(f'<line x1="{at(tick):.1f}" y1="{top - 14}" x2="{at(tick):.1f}" y2="{height - 40}" stroke="{INK if strong else GRID}"/>')
        body.append(text(at(tick), height - 22, f"{tick:g}", 12, "middle", FAINT))
    for place, (goal, what, own, peer, ratio, _, limit) in enumerate(rows):
        y, part = top + line * place + 4, ratio / limit
        met = part <= 1
        color = OURS[0] if met else PEERS[0]
        body.append(text(left - 12, y + 4, what.replace("`", ""), 13, "end"))
        body.append(text(16, y + 4, goal, 13, extra='font-weight="bold"'))
        body.append(f'<line x1="{at(1):.1f}" y1="{y}" x2="{at(part):.1f}" y2="{y}" stroke="{color}" stroke-width="3"/>')
        if part < low:
            x = at(low)
            body.append(f'<path d="M{x - 6:.1f},{y} l9,-6 v12 z" fill="{color}"/>')
        elif met:
            body.append(f'<circle cx="{at(part):.1f}" cy="{y}" r="5.5" fill="{color}"/>')
        else:
            body.append(f'<rect x="{at(part) - 5:.1f}" y="{y - 5}" width="10" height="10" fill="{color}"/>')
        body.append(text(width - right + 14, y + 4, f"{fraction(ratio)} of {fraction(limit)}{'' if met else ', not met'}", 13, color=color))
    body.append(text((left + width - right) / 2, height - 4, "ratio ÷ goal", 13, "middle"))
    return svg(width, height, body)


def sizes_plot(figures):
    sizes = ["u64", "[u8; 64]", "String", "Arc<str>"]
    whos = [
        ("onlooker, DropOldest, full", "onlooker, DropOldest", OURS[0]),
        ("onlooker, DropNewest, full", "onlooker, DropNewest", OURS[3]),
        ("onlooker, with room", "onlooker, room", OURS[1]),
        ("onlooker, unbounded", "onlooker, unbounded", OURS[2]),
        ("tokio broadcast", "tokio broadcast", PEERS[0]),
        ("async-broadcast", "async-broadcast", PEERS[1]),
        ("by hand, full", "by hand", PEERS[3]),
    ]
    left, right, top, line, gap = 215, 70, 76, 19, 44
    width, height = 860, top + len(sizes) * (line * len(whos) + gap)
    most = max(figures.median("set", f"set, 1 idle watcher, {size}", 1, who) for size in sizes for _, who, _ in whos)
    body = [
        text(16, 28, "What a value's size and ownership cost: set, one idle watcher", 18, extra='font-weight="bold"'),
        text(16, 50, "ns for each set, median; less is better", 13, color=FAINT),
    ]
    y = top
    for size in sizes:
        body.append(text(16, y + 14, size, 15, extra='font-weight="bold"'))
        y += 24
        for label, who, color in whos:
            figure = figures.median("set", f"set, 1 idle watcher, {size}", 1, who)
            length = figure / most * (width - left - right)
            body.append(text(left - 8, y + 12, label, 12, "end"))
            body.append(f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="{line - 6}" fill="{color}"/>')
            body.append(text(left + length + 6, y + 13, f"{figure:.1f}", 12))
            y += line
        y += gap - 24
    return svg(width, height, body)


def plots(figures):
    def pick(question, row, chosen, scale=lambda x, y: y):
        return [
            (label, [(x, scale(x, y)) for x, y in figures.series(question, row, who)], color, dashed)
            for label, who, color, dashed in chosen
        ]

    whole = lambda x, y: max(x * y, 1)
    return {
        "goals": goals_plot(figures),
        "sizes": sizes_plot(figures),
        "watchers": lines_plot(
            "A set beside idle watchers",
            "one set, all of its watchers served; nobody receives meanwhile",
            "idle watchers",
            "time of one set (log)",
            pick(
                "scaling",
                "set, idle watchers, each",
                [
                    ("onlooker, bounded, room", "onlooker, room", OURS[0], False),
                    ("onlooker, unbounded", "onlooker, unbounded", OURS[2], False),
                    ("onlooker, full, DropOldest", "onlooker, full, DropOldest", OURS[1], False),
                    ("onlooker, full, DropNewest", "onlooker, full, DropNewest", OURS[3], False),
                    ("by hand, bounded, room", "by hand, room", PEERS[0], True),
                    ("by hand, unbounded", "by hand, unbounded", PEERS[2], True),
                    ("tokio broadcast, one ring", "tokio broadcast", PEERS[3], True),
                ],
                whole,
            ),
        ),
        "waits": lines_plot(
            "A set beside waits of which none matches",
            "tokio watch wakes each of them to look; its figure holds the poll of each, without an executor",
            "pending waits",
            "time of one set (log)",
            pick(
                "scaling",
                "set, none of the waits matches",
                [
                    ("onlooker wait_for", "onlooker wait_for", OURS[0], False),
                    ("onlooker wait_until", "onlooker wait_until", OURS[1], False),
                    ("tokio watch wait_for", "tokio watch", PEERS[0], True),
                ],
            ),
        ),
        "fanout": lines_plot(
            "Fan-out on one executor",
            "16 sets, then the executor until it is idle; the executor's tick is in every figure",
            "watching tasks",
            "time of one delivery",
            pick(
                "fanout",
                "deliver",
                [
                    ("onlooker, bounded", "onlooker, bounded", OURS[0], False),
                    ("onlooker, unbounded", "onlooker, unbounded", OURS[2], False),
                    ("tokio broadcast", "tokio broadcast", PEERS[0], True),
                    ("async-broadcast", "async-broadcast", PEERS[1], True),
                    ("by hand", "by hand", PEERS[3], True),
                ],
            ),
            log_y=False,
        ),
        "states": lines_plot(
            "Many states, set in turn",
            "what memory's distance costs; one watcher with a full ring of 16 each, or nobody",
            "states",
            "time of one set",
            pick(
                "scaling",
                "set, states in turn",
                [
                    ("onlooker, nobody watches", "onlooker, nobody", OURS[0], False),
                    ("onlooker, 1 watcher each", "onlooker, 1 watcher", OURS[1], False),
                    ("tokio watch, 1 receiver each", "tokio watch", PEERS[0], True),
                ],
            ),
            log_y=False,
        ),
        "threads": lines_plot(
            "Threads that set the same state",
            "as fast as they can, on two cores: from two threads on, scheduling decides; wide spread",
            "setting threads",
            "time of one set (log)",
            pick(
                "threads",
                "set, threads contend",
                [
                    ("onlooker, nobody watches", "onlooker, nobody", OURS[0], False),
                    ("onlooker, 1 idle watcher", "onlooker, 1 watcher", OURS[1], False),
                    ("std Mutex", "std Mutex", PEERS[3], True),
                    ("tokio broadcast, 1 receiver", "tokio broadcast", PEERS[0], True),
                    ("tokio watch, 1 receiver", "tokio watch", PEERS[2], True),
                ],
            ),
        ),
        "backlog": lines_plot(
            "A watcher falls behind and catches up",
            "set and try_recv of each transition, unbounded",
            "behind by so many transitions",
            "time of one transition",
            pick(
                "recv",
                "fall behind and catch up",
                [
                    ("onlooker, unbounded", "onlooker, unbounded", OURS[2], False),
                    ("by hand", "by hand", PEERS[3], True),
                ],
            ),
            log_y=False,
        ),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--kept", action="store_true")
    chosen = parser.parse_args()
    if chosen.run:
        figures = measure(chosen.run)
    else:
        figures = Figures()
        figures.take(KEPT if chosen.kept else FOUND)
    if chosen.keep and not chosen.kept:
        figures.keep(KEPT)
        # Rounded: the page is made of what is kept.
        figures = Figures()
        figures.take(KEPT)
    found = tables(figures)
    print("\n".join(found["goals"]))
    if not chosen.keep:
        return
    if not chosen.kept:
        found["machine"] = machine()
    for name, plot in plots(figures).items():
        with open(f"docs/plots/{name}.svg", "w") as file:
            file.write(plot)
    write_page(found)


main()
