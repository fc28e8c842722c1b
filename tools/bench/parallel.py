# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark of several processors: each workload on one and on N of them, bare and under Umbra. An operation's
cost is the instructions of all processors, divided by the operations of all."""
import machine
import report

# Workloads whose processors have nothing to do with one another: what N of them cost is bounded.
INDEPENDENT = ("ploop", "pcpuid", "pfork", "pmmap", "pfault", "pcompile")
BOUND = 1.1
SPIN_BOUND = 0.03
TURN = 8  # instructions for each PAUSE, at most: lib/spinlock.c, mm/shadow/cpus.c


def parameters(cpus):
    """What makes the guest measure the workloads of several processors, on so many."""
    return f"workers={cpus}" + (f" nr_cpus={cpus} skew_tick=1" if cpus > 1 else "")


def cost(result):
    return result["instructions"] / result["ops"]


def measure(efi, cpus, only, fresh):
    """{name: row}: instructions per operation bare1, umbra1, bare, umbra; exits by kind and other counters per operation."""
    runs = {}
    for count in (1, cpus):
        key = machine.digest(machine.bare_key(), machine.digest(*machine.qemu(count)), parameters(count), ",".join(only))
        cache = machine.BARE_CACHE.replace(".json", f"-parallel{count}{'-part' if only else ''}.json")
        runs["bare", count] = machine.kept_results(cache, key, fresh, lambda count=count: machine.run_guest(
            efi, True, only, more=parameters(count), cpus=count))
        runs["umbra", count] = machine.run_guest(efi, False, only, more=parameters(count), cpus=count)
    rows = {}
    for name, result in runs["umbra", cpus].items():
        row = report.make_row(runs["bare", cpus][name], result)
        for kind in ("bare", "umbra"):
            one = runs[kind, 1].get(name)
            row[kind + "1"] = one and cost(one)
        rows[name] = row
    return rows


def spin_share(row):
    """What is spent in waiting, of the hypervisor's instructions."""
    more = row["umbra"] - row["bare"]
    pauses = row["events"].get("spin_pauses", 0)
    return pauses * TURN / more if more > 0 else 0


def table(rows, cpus):
    lines = [f"{'workload':9} {'bare':>12} {'umbra':>12} {'ratio':>6} {'on one':>12} {f'{cpus} to 1':>7} {'bare':>6} {'exits':>8} "
             f"{'kicks':>6} {'spin':>6}  exits by kind"]
    for name, row in rows.items():
        one = row["umbra1"]
        lines.append(f"{name:9} {report.number(row['bare'], 1):>12} {report.number(row['umbra'], 1):>12} {report.ratio(row):6.3f} "
                     f"{report.number(one, 1):>12} {report.number(one and row['umbra'] / one, 3):>7} "
                     f"{report.number(one and row['bare'] / row['bare1'], 3):>6} {report.exits_text(row['exits']):>8} "
                     f"{row['events'].get('shadow_kicks', 0):6.3f} {spin_share(row):6.2%}  {report.kinds_text(row['kinds'])}")
    return "\n".join(lines)


def verdicts(rows):
    for name, row in rows.items():
        if name in INDEPENDENT and row["umbra1"] and row["umbra"] > BOUND * row["umbra1"]:
            yield f"{name}: {row['umbra'] / row['umbra1']:.3f} times what it costs on one processor, more than {BOUND}"
        if spin_share(row) >= SPIN_BOUND:
            yield f"{name}: {spin_share(row):.1%} of the hypervisor's instructions wait"
