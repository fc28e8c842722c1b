# SPDX-License-Identifier: BSD-2-Clause
"""What the benchmark's figures look like: rows, tables, differences."""
import math

from table import BY_NAME, exit_name

# Relative; what another build of the same code differs by, where addresses differ, is not reported, nor the row's recorded noise.
MOVED_LEAST = 0.005
MOVED = 0.01        # of a row whose noise is not recorded
MOVED_PART = 0.02   # of a run of some workloads: what ran before them in a whole run is missing
# Exits per operation below which a difference is a stray interrupt's or that of where the kernel finds free memory, which is another place
# with an image of another size (thread had 0.020 to 0.054 in eight builds, none of which changed it alone): instructions show it if it matters.
EXITS_LEAST = 0.04
EXITS_SHOWN = 0.005


def make_row(bare, umbra):
    """Per operation: instructions bare and under Umbra, exits, exits by kind, other counters."""
    ops = umbra["ops"]
    if bare["ops"] != ops:
        raise RuntimeError(f"{bare['name']}: the two runs differ in length")
    counters = {name: value / ops for name, value in umbra["counters"].items()}
    return {
        "bare": bare["instructions"] / ops,
        "umbra": umbra["instructions"] / ops,
        "exits": counters.pop("exits", 0),
        "kinds": {k: v for k, v in counters.items() if k.startswith("exit_")},
        "events": {k: v for k, v in counters.items() if not k.startswith("exit_")},
    }


def ratio(row):
    return row["umbra"] / row["bare"]


def per_exit(row, key="umbra"):
    """Hypervisor instructions per exit, None where there are next to no exits or the noise is more than they cost."""
    more = row[key] - row["bare"]
    return more / row["exits"] if row["exits"] >= EXITS_SHOWN and more > 0 else None


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def means(rows, value):
    """Geometric means of value(name, row): of all, and of those the peers were measured with."""
    counted = [n for n in rows if not BY_NAME[n].null_exit]
    peers = [n for n in counted if BY_NAME[n].peer]
    return [geometric_mean(v for v in (value(n, rows[n]) for n in names) if v) for names in (counted, peers)]


def spread(values):
    """How far apart they are, relative to the least."""
    return round((max(values) - min(values)) / min(values), 5) if min(values) > 0 else 0


def number(value, digits=0):
    return "-" if value is None else f"{value:,.{digits}f}"


def exits_text(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3f}" if 0 < value < 0.1 else f"{value:.1f}"


def kinds_text(kinds, least=0.05):
    """pf 40.2, cr write 4.0: the largest first, what is next to nothing left out."""
    total = sum(kinds.values())
    shown = sorted(((v, k) for k, v in kinds.items() if v >= max(least * min(1, total), 0.001)), reverse=True)
    return ", ".join(f"{exit_name(k)} {exits_text(v)}" for v, k in shown)


def change(new, old):
    if not old:
        return ""
    percent = 100 * (new / old - 1)
    return f"{percent:+.1f}%" if abs(percent) >= 0.05 else "="


def kvm_ratio(name, row, kvm):
    """(ratio, exits) under KVM: from the last run of ours, else quoted."""
    peer = BY_NAME[name].peer
    if kvm and name in kvm:
        return kvm[name]["kvm"] / row["bare"], kvm[name]["exits"]
    return (peer.kvm, peer.kvm_exits) if peer else (None, None)


def text_table(rows, baseline, kvm):
    head = ("workload", "bare", "umbra", "ratio", "kvm", "exits", "insn/exit", "change", "exits by kind")
    lines = []
    for name, row in rows.items():
        digits = 1 if row["bare"] < 10000 else 0
        kvm_value = kvm_ratio(name, row, kvm)[0]
        lines.append((name, number(row["bare"], digits), number(row["umbra"], digits), f"{ratio(row):.3f}",
                      number(kvm_value, 2), exits_text(row["exits"]), number(per_exit(row)),
                      change(row["umbra"], baseline.get(name, {}).get("umbra")), kinds_text(row["kinds"])))
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]

    def formatted(line):
        cells = [line[0].ljust(widths[0])] + [line[i].rjust(widths[i]) for i in range(1, len(head) - 1)]
        return "  ".join([*cells, line[-1]]).rstrip()

    whole, peers = means(rows, lambda name, row: ratio(row))
    return "\n".join([formatted(head), *map(formatted, lines),
                      f"geometric mean of the ratios, without cpuid: {number(whole, 3)}; "
                      f"of the peers' workloads alone: {number(peers, 3)}"])


def peer_table(kvm, bare):
    """The figures of a run under KVM."""
    lines = [f"{'workload':10} {'bare':>12} {'kvm':>14} {'ratio':>7} {'exits':>8} {'insn/exit':>9}  exits by kind"]
    for name, row in kvm.items():
        base = bare[name]["instructions"] / bare[name]["ops"]
        row = {**row, "bare": base}
        lines.append(f"{name:10} {number(base, 1):>12} {number(row['kvm'], 1):>14} {row['kvm'] / base:7.3f} "
                     f"{exits_text(row['exits']):>8} {number(per_exit(row, 'kvm')):>9}  {kinds_text(row['kinds'])}")
    return "\n".join(lines)


def differences(rows, baseline, noise, least, compared):
    """(lines, whether a row got worse): rows of which a figure of those compared moved beyond its noise, and by more than least."""
    lines, worse = [], False
    for name, row in rows.items():
        if name not in baseline:
            lines.append(f"{name}: new, not in the baseline")
            continue
        for key in compared:
            new, old = row[key], baseline[name][key]
            if old is None or (key == "exits" and abs(new - old) < EXITS_LEAST):
                continue
            limit = max(least, MOVED_LEAST, noise[name].get(key, 0) if name in noise else MOVED)
            if abs(new - old) <= limit * old:
                continue
            is_bare = key.startswith("bare")
            is_worse = new > old and not is_bare
            worse |= is_worse
            verdict = "" if is_bare else " WORSE" if is_worse else " better"
            lines.append(f"{name}: {key} {old:,.3f} -> {new:,.3f} ({change(new, old)}){verdict}")
    return lines, worse


def markdown(rows, kvm):
    """The table of docs/performance.md."""
    lines = ["| workload (one operation) | bare, instructions | Umbra, ratio | exits | instructions per exit | "
             "KVM npt=0, ratio | exits | Xen shadow, ratio (quoted) | exits (quoted) |",
             "|---|---|---|---|---|---|---|---|---|"]
    for name, row in rows.items():
        workload = BY_NAME[name]
        peer = workload.peer
        kvm_value, kvm_exits = kvm_ratio(name, row, kvm)
        measured = kvm and name in kvm
        mark = "" if measured or kvm_value is None else " (q)"
        kinds = kinds_text(row["kinds"])
        null = workload.null_exit
        lines.append("| " + " | ".join([
            workload.title, number(row["bare"], 1 if row["bare"] < 100 else 0),
            f"{number(row['umbra'])} instructions" if null else f"**{ratio(row):.2f}**",
            exits_text(row["exits"]) + (f": {kinds}" if kinds and not null else ""), number(per_exit(row)),
            f"{number(kvm[name]['kvm'])} instructions" if null and measured else
            "2,873 instructions (q)" if null else number(kvm_value, 2) + mark, exits_text(kvm_exits),
            "2,689 instructions" if null else peer.xen_text if peer else "-",
            exits_text(peer.xen_exits if peer else None)]) + " |")
    for text, index in (("all but cpuid", 0), ("the peers' workloads", 1)):
        lines.append(f"| **geometric mean, {text}** | | **{means(rows, lambda n, r: ratio(r))[index]:.2f}** | | | "
                     f"{means(rows, lambda n, r: kvm_ratio(n, r, kvm)[0])[index]:.2f} | | "
                     f"{'2.55' if index else '-'} | |")
    return "\n".join(lines) + "\n"
