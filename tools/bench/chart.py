# SPDX-License-Identifier: BSD-2-Clause
"""The chart of docs/performance.md, drawn by matplotlib: instructions relative to bare, and
exits per operation, a row for each workload. The same figures give the same bytes."""
import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

import report  # noqa: E402
from table import BY_NAME  # noqa: E402

INK, QUIET, GRID = "#1f2328", "#59636e", "#d8dee4"
UMBRA, KVM = "#1a5fb4", "#e66100"
BAR = 0.38
EXITS_SHOWN = 0.01  # fewer have a number and no bar
SETTINGS = {
    "svg.fonttype": "none",      # text stays text
    "svg.hashsalt": "umbra",     # or the ids in the file would be new each time
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": QUIET,
    "ytick.color": INK,
}


def bars(axes, series, colours, base, text):
    """Two bars a row, from base to each value; what is not known is left out."""
    for offset, values, colour in zip((-BAR / 2, BAR / 2), series, colours):
        for row, value in enumerate(values):
            if value is None:
                continue
            axes.barh(row + offset, max(value, base) - base, BAR, left=base, color=colour, linewidth=0, zorder=3)
            axes.annotate(text(value), (max(value, base), row + offset), xytext=(3, 0), textcoords="offset points",
                          va="center_baseline", fontsize=7, color=QUIET,
                          bbox={"facecolor": "white", "linewidth": 0, "pad": 0.6}, zorder=2)


def scale(axes, title, limits, ticks):
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=10)
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def draw(path, rows, kvm):
    """rows: those of a whole run; kvm: those of the run under KVM."""
    names = [n for n in rows if not BY_NAME[n].null_exit]
    ratios = [[report.ratio(rows[n]) for n in names], [report.kvm_ratio(n, rows[n], kvm)[0] for n in names]]
    ratios = [values + [report.geometric_mean(v for v in values if v)] for values in ratios]
    exits = [[rows[n]["exits"] for n in names], [report.kvm_ratio(n, rows[n], kvm)[1] for n in names]]
    exits = [values + [None] for values in exits]

    with pyplot.rc_context(SETTINGS):
        figure, (left, right) = pyplot.subplots(1, 2, sharey=True, figsize=(10.4, 9.6), width_ratios=(5, 4))
        figure.subplots_adjust(right=0.985, top=0.905, bottom=0.04, wspace=0.08)
        figure.suptitle("What shadow paging costs a guest", x=0.015, y=0.985, ha="left", fontsize=13, fontweight="bold")
        bars(left, ratios, (UMBRA, KVM), 1, lambda value: f"{value:.2f}")
        scale(left, "Instructions, times bare (log scale)", (0.96, 1.4 * max(v for g in ratios for v in g if v)),
              [1, 1.5, 2, 3, 5, 10])
        left.axvline(1, color=INK, linewidth=1.2, zorder=4)
        largest = max(v for g in exits for v in g if v)
        bars(right, exits, (UMBRA, KVM), EXITS_SHOWN, report.exits_text)
        scale(right, "Exits per operation (log scale)", (EXITS_SHOWN * 0.93, 9 * largest), [0.01, 0.1, 1, 10, 100, 1000])
        left.set_yticks(range(len(names) + 1), [BY_NAME[n].title for n in names] + ["geometric mean"])
        left.get_yticklabels()[-1].set_fontweight("bold")
        left.set_ylim(len(names) + 0.6, -0.6)
        for axes in (left, right):
            axes.axhline(len(names) - 0.5, color=GRID, linewidth=0.8, zorder=0)
        longest = max(label.get_window_extent().width for label in left.get_yticklabels())
        figure.subplots_adjust(left=longest / figure.bbox.width + 0.03)
        figure.legend([pyplot.Rectangle((0, 0), 1, 1, color=UMBRA), pyplot.Rectangle((0, 0), 1, 1, color=KVM),
                       pyplot.Line2D([], [], color=INK, linewidth=1.2)],
                      ["Umbra", "KVM, npt=0", "bare"], loc="upper right", bbox_to_anchor=(0.985, 0.995), ncols=3,
                      frameon=False, handlelength=1.2, columnspacing=1.6)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
