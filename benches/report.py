#!/usr/bin/env python3
"""How the goals stand, and docs/PERFORMANCE.md, by what the benches find.

    benches/report.py               measures the rows of benches/goals.txt and prints how they stand
    benches/report.py --quick E L   the same of these goals alone, a third of the rounds
    benches/report.py --keep 2      measures everything twice, keeps it in docs/plots/data and writes the page
    benches/report.py --page        writes the page and its plots from what is kept, measuring nothing

Only the standard library. The page is benches/page.md with what stands in {{…}} filled in.
"""

import argparse
import collections
import fractions
import math
import os
import pathlib
import re
import resource
import statistics
import subprocess
import time
import tomllib

os.chdir(pathlib.Path(__file__).resolve().parent.parent)
FOUND, PLOTS = pathlib.Path("target/bench"), pathlib.Path("docs/plots")
KEPT = PLOTS / "data"
NOT_YET = "*Not measured yet.*"

INK, FAINT, GRID = "#1f2933", "#697586", "#dfe4ea"
BLUE, SKY, VIOLET, GREEN = "#0b5fa5", "#2b8fd6", "#4b3fa8", "#1f9e89"
RED, ROSE, GREY = "#c2410c", "#a3195b", "#6b7280"
# name: title, note, what x counts, bench, row, the sides. Ours are drawn through, the others dashed.
# Where the row gives a figure for each of x, the plot shows all of them together.
PLOT = {
    "watchers": (
        "A set beside idle watchers", "one set, all of its watchers served; nobody receives meanwhile", "idle watchers",
        "scaling", "set, idle watchers, each",
        {"onlooker, room": BLUE, "onlooker, unbounded": VIOLET, "onlooker, full, DropOldest": SKY, "onlooker, full, DropNewest": GREEN,
         "by hand, room": RED, "by hand, unbounded": ROSE, "tokio broadcast": GREY},
    ),
    "waits": (
        "A set beside waits of which none matches", "tokio watch wakes each of them to look: the polls are in its figure", "pending waits",
        "scaling", "set, none of the waits matches",
        {"onlooker wait_for": BLUE, "onlooker wait_until": SKY, "tokio watch": RED},
    ),
    "callbacks": (
        "A set that calls back", "by hand: boxed closures, called under the mutex of the value", "callbacks",
        "callbacks", "set, callbacks",
        {"onlooker": BLUE, "by hand": GREY},
    ),
    "threads": (
        "Threads that set the same state", "as fast as they can; with more threads than cores the scheduler decides", "setting threads",
        "threads", "set, threads contend",
        {"onlooker, nobody": BLUE, "onlooker, 1 watcher": SKY, "onlooker, 1 callback": VIOLET, "by hand, 1 callback": ROSE,
         "std Mutex": GREY, "tokio broadcast": RED, "tokio watch": "#b45309"},
    ),
}  # fmt: skip


# Figures


class Figures:
    """Rounds by (bench, row, x), and there by who."""

    def __init__(self):
        self.rows = collections.defaultdict(lambda: collections.defaultdict(list))
        self.beside = []

    def take(self, folder):
        for file in sorted(folder.glob("*.tsv")):
            for line in file.read_text().splitlines():
                bench, row, x, who, _, rounds = line.split("\t")
                self.rows[bench, row, int(x)][who] += map(float, rounds.split())
        return self

    def measure(self, benches, **env):
        FOUND.mkdir(parents=True, exist_ok=True)
        for file in FOUND.glob("*.tsv"):
            file.unlink()
        for bench in benches:
            command = ["cargo", "bench", "-q", "--bench", bench]
            subprocess.run(command + ["--no-run"], check=True)
            began, before = time.monotonic(), others()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | env)
            self.beside.append((others() - before) / (time.monotonic() - began))
        return self.take(FOUND)

    def noise(self):
        return f"What else ran meanwhile took {max(self.beside):.2f} of a core in the worst of the benches, {statistics.median(self.beside):.2f} in the median."

    def keep(self):
        for file in KEPT.glob("*.tsv"):
            file.unlink()
        for (bench, row, x), sides in self.rows.items():
            with open(KEPT / f"{bench}.tsv", "a") as file:
                for who, rounds in sides.items():
                    print(bench, row, x, who, "-", " ".join(f"{figure:.4g}" for figure in rounds), sep="\t", file=file)

    def xs(self, bench, row):
        return sorted(x for b, r, x in self.rows if (b, r) == (bench, row))


def others():
    """Seconds of processor time that were not ours."""
    all_of_it = sum(map(int, pathlib.Path("/proc/stat").read_text().split()[1:4])) / os.sysconf("SC_CLK_TCK")
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    return all_of_it - ours.ru_utime - ours.ru_stime


def number(figure):
    figure = round(figure, 1)
    return f"{figure:,.0f}" if figure >= 1000 or figure % 1 == 0 else f"{figure:.1f}"


def goals(chosen=()):
    for line in pathlib.Path("benches/goals.txt").read_text().splitlines():
        if not line.startswith("#"):
            goal, what, bench, row, x, ours, peers, limit = (cell.strip() for cell in line.split("|"))
            if not chosen or goal in chosen:
                yield goal, what, (bench, row, int(x)), ours, [peer for peer in peers.split("; ") if peer], limit


def verdict(figure, limit):
    return "met" if figure <= fractions.Fraction(limit) else "**not met**"


def goal_tables(figures, chosen=()):
    ratios = ["| | what | ours, ns | peer, ns | ratio | quartiles | goal | |", "|---|---|--:|--:|--:|---|--:|---|"]
    counts = ["| | what | counted | goal | |", "|---|---|--:|--:|---|"]
    for goal, what, place, ours, peers, limit in goals(chosen):
        sides = figures.rows.get(place, {})
        if any(who not in sides for who in [ours, *peers]):
            (ratios if peers else counts).append(f"| {goal} | {what} {'| | | | ' if peers else '| '}| {limit} | not measured |")
        elif peers:
            # Each round of ours by the peer's beside it; the peer that is harder to beat.
            by = [(sorted(own / theirs for own, theirs in zip(sides[ours], sides[peer])), peer) for peer in peers]
            parts, peer = max(by, key=lambda one: statistics.median(one[0]))
            ratio, low, high = statistics.median(parts), parts[(len(parts) - 1) // 4], parts[(len(parts) - 1) * 3 // 4]
            own, theirs = number(statistics.median(sides[ours])), number(statistics.median(sides[peer]))
            shown = f"{own} | {peer} {theirs} | {ratio:.3f} | {low:.3f}–{high:.3f}"
            ratios.append(f"| {goal} | {what} | {shown} | {limit} | {verdict(ratio, limit)} |")
        else:
            count = statistics.median(sides[ours])
            counts.append(f"| {goal} | {what} | {number(count)} | {limit} | {verdict(count, limit)} |")
    return [line for table in (ratios, [""], counts) if len(table) != 2 for line in table]


def row_table(figures, bench, row, label):
    """A line for each x, a column for each who."""
    xs = figures.xs(bench, row)
    if not xs:
        return [NOT_YET]
    whos = list(figures.rows[bench, row, xs[0]])
    lines = [f"| {label} | " + " | ".join(whos) + " |", "|--:" * (len(whos) + 1) + "|"]
    for x in xs:
        cells = (number(statistics.median(figures.rows[bench, row, x][who])) for who in whos)
        lines.append(f"| {x:,} | " + " | ".join(cells) + " |")
    return lines


def parts(figures):
    """The floors, the loop around them taken off."""
    cost = {row: statistics.median(sides["alone"]) for (bench, row, _), sides in figures.rows.items() if bench == "floors"}
    loop = cost.pop("the loop itself", 0)
    shown = [f"{row} {max(figure - loop, 0):.1f}" for row, figure in cost.items()]
    return [" · ".join(shown) + "." if shown else NOT_YET]


def machine():
    def said(*command):
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    facts = dict(re.findall(r"^\s*([^:\n]+):\s+(.+)$", said("lscpu"), re.M))
    virtual = ", a virtual machine" if "Hypervisor vendor" in facts else ""
    locked = {package["name"]: package["version"] for package in tomllib.loads(pathlib.Path("Cargo.lock").read_text())["package"]}
    peers = ("tokio", "async-broadcast", "async-channel", "eyeball", "futures-signals", "arc-swap")
    return (
        f"{facts['CPU(s)']} cores of {facts['Model name']} (family {facts['CPU family']}, model {facts['Model']}; L1d {facts['L1d cache']},"
        f" L2 {facts['L2 cache']}, L3 {facts['L3 cache']}){virtual}; {said('rustc', '--version')}; `bench` profile (LTO, one codegen unit).\n"
        f"Peers: {', '.join(f'{peer} {locked[peer]}' for peer in peers)}."
    )


# Plots


def text(x, y, words, size=13, anchor="start", color=INK, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{color}" {extra}>{words}</text>'


def line(x1, y1, x2, y2, color):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def duration(value):
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if value >= unit:
            return f"{value / unit:g} {name}"
    return f"{value:g} ns"


def apart(places, gap):
    """Moves labels so that none covers another; keeps their order."""
    order = sorted(range(len(places)), key=lambda at: places[at])
    moved = list(places)
    for _ in range(400):
        for one, two in zip(order, order[1:]):
            lack = max(gap - (moved[two] - moved[one]), 0)
            moved[one] -= lack / 2
            moved[two] += lack / 2
    return moved


def plot(figures, title, note, xlabel, bench, row, whos):
    """Both axes logarithmic; each side's name stands at the end of its line."""
    xs = figures.xs(bench, row)
    series = {}
    for who in whos:
        times = [(x, figures.rows[bench, row, x][who], x if row.endswith("each") else 1) for x in xs if who in figures.rows[bench, row, x]]
        if times:
            series[who] = [(x, statistics.median(rounds) * many) for x, rounds, many in times]
    if not series:
        return None
    width, height, left, right, top, bottom = 860, 470, 70, 225, 74, 58
    ys = [y for points in series.values() for _, y in points]
    floor, ceiling = 10 ** math.floor(math.log10(min(ys))), max(ys) * 1.25

    def at_x(x):
        return left + math.log(x / xs[0]) / math.log(xs[-1] / xs[0]) * (width - left - right)

    def at_y(y):
        return height - bottom - math.log(y / floor) / math.log(ceiling / floor) * (height - top - bottom)

    body = [text(left, 28, title, 18, extra='font-weight="bold"'), text(left, 50, f"{note}; time of one set, both axes logarithmic", color=FAINT)]
    ticks = [10**power for power in range(round(math.log10(floor)), 12)]
    few = sum(tick <= ceiling for tick in ticks) < 3
    for tick in sorted(tick * step for tick in ticks for step in ((1, 2, 5) if few else (1,))):
        if tick <= ceiling:
            body.append(line(left, at_y(tick), width - right, at_y(tick), GRID))
            body.append(text(left - 8, at_y(tick) + 4, duration(tick), 12, "end", FAINT))
    for x in xs:
        body.append(line(at_x(x), height - bottom, at_x(x), height - bottom + 5, FAINT))
        body.append(text(at_x(x), height - bottom + 20, f"{x:,}", 12, "middle", FAINT))
    body.append(line(left, height - bottom, width - right, height - bottom, FAINT))
    body.append(text((left + width - right) / 2, height - 14, xlabel, 13, "middle"))
    names = apart([at_y(points[-1][1]) for points in series.values()], 17)
    for (who, points), name in zip(series.items(), names):
        color, dash = whos[who], "" if who.startswith("onlooker") else ' stroke-dasharray="6 4"'
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in points)
        body.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2.2"{dash}/>')
        body += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3.4" fill="{color}"/>' for x, y in points]
        body.append(line(width - right + 5, at_y(points[-1][1]), width - right + 17, name, color))
        body.append(text(width - right + 20, name + 4, who, color=color))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="Helvetica, Arial, sans-serif">'
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#ffffff"/>', *body, "</svg>", ""])


# The page


def write_page(figures):
    def plotted(name):
        drawn = plot(figures, *PLOT[name])
        if not drawn:
            return [NOT_YET]
        (PLOTS / f"{name}.svg").write_text(drawn)
        return [f"![{PLOT[name][0]}](plots/{name}.svg)"]

    fill = {
        "machine": lambda: (KEPT / "machine.md").read_text().splitlines(),
        "goals": lambda: goal_tables(figures),
        "parts": lambda: parts(figures),
        "plot": plotted,
        "table": lambda *row: row_table(figures, *row),
    }
    for old in PLOTS.glob("*.svg"):
        old.unlink()

    def filled(match):
        word, *rest = match[1].split(" ", 1)
        arguments = [argument.strip() for argument in rest[0].split("|")] if rest else []
        return "\n".join(fill[word](*arguments))

    page = pathlib.Path("benches/page.md").read_text()
    pathlib.Path("docs/PERFORMANCE.md").write_text(re.sub(r"\{\{(.*?)\}\}", filled, page))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("goal", nargs="*", help="a letter of benches/goals.txt; none: all of them")
    parser.add_argument("--quick", action="store_true", help="a third of the rounds")
    parser.add_argument("--keep", type=int, metavar="RUNS", help="measure everything so often, and write the page")
    parser.add_argument("--page", action="store_true", help="write the page from what is kept")
    chosen = parser.parse_args()
    quick = {"BENCH_QUICK": "1"} if chosen.quick else {}
    if chosen.keep:
        with open("Cargo.toml", "rb") as file:
            benches = [bench["name"] for bench in tomllib.load(file)["bench"] if bench["name"] != "instructions"]
        figures = Figures()
        for _ in range(chosen.keep):
            figures.measure(benches, **quick)
        figures.keep()
        (KEPT / "machine.md").write_text(f"{machine()} {figures.noise()}\n")
    if chosen.keep or chosen.page:
        write_page(Figures().take(KEPT))
        return
    judged = [place for _, _, place, *_ in goals(chosen.goal)]
    rows = "\n".join(f"{row}\t{x}" for _, row, x in judged)
    figures = Figures().measure(dict.fromkeys(bench for bench, *_ in judged), BENCH_ROWS=rows, **quick)
    print("\n".join([*goal_tables(figures, chosen.goal), "", figures.noise()]))


main()
