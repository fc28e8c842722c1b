# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark of several processors, in QEMU: each workload on one and on N of them, bare and under Umbra. An
operation's cost is the instructions of all processors, divided by the operations of all. Those of four are in
parallel4.json, in build/bench/ and the baseline's here, those under KVM in kvm4.json."""
import machine
import report
import suite
from table import BY_NAME, PARALLEL

# What is to hold: of independent work, of waiting, of every row against KVM.
BOUND = 1.1
SPIN_BOUND = 0.03
TURN = 8  # instructions for each PAUSE, at most: lib/spinlock.c, mm/shadow/cpus.c


class Parallel(suite.Suite):
    workloads = PARALLEL
    compared = ("bare1", "umbra1", "bare", "umbra", "exits")

    def __init__(self, cpus):
        self.cpus, self.parameters = cpus, parameters(cpus)
        self.name, self.arguments = f"qemu{cpus}", f" SMP={cpus}"
        self.whole, self.part = f"build/bench/parallel{cpus}.json", f"build/bench/parallel{cpus}-part.json"
        self.kept = f"tools/bench/parallel{cpus}.json"
        self.kvm, self.kvm_kept = f"build/bench/kvm{cpus}.json", f"tools/bench/kvm{cpus}.json"

    def bare(self, efi, only, fresh):
        return bare_results(efi, self.cpus, only, fresh)

    def measure(self, efi, only, fresh):
        """Rows with four costs: bare1, umbra1 on one processor, bare, umbra on all of them."""
        one = bare_results(efi, 1, only, fresh), run_umbra(efi, 1, only)
        several = bare_results(efi, self.cpus, only, fresh), run_umbra(efi, self.cpus, only)
        rows = {}
        for name, result in several[1].items():
            row = rows[name] = report.make_row(several[0][name], result)
            for key, results in zip(("bare1", "umbra1"), one):
                row[key] = cost(results.get(name))
        return rows

    def under_umbra(self, efi, more):
        one = run_umbra(efi, 1, [], more)
        rows = suite.umbra_rows(run_umbra(efi, self.cpus, [], more))
        return {name: {**row, "umbra1": cost(one.get(name))} for name, row in rows.items()}

    def text(self, rows):
        return "\n".join([table(rows, self.cpus, self.baseline(), self.kvm_rows()),
                          *conditions(rows, self.kvm_rows(), self.cpus)])

    def markdown(self, rows):
        return markdown(rows, self.kvm_rows())


def parameters(cpus):
    """What makes the guest measure the workloads of several processors, on so many."""
    return f"workers={cpus} {machine.several_options(cpus)}".strip()


def bare_results(efi, cpus, only, fresh):
    key = machine.digest(machine.bare_key(), machine.digest(*machine.qemu(cpus)), parameters(cpus), ",".join(only))
    cache = machine.BARE_CACHE.replace(".json", f"-parallel{cpus}{'-part' if only else ''}.json")
    return machine.kept_results(cache, key, fresh, lambda: machine.run_guest(efi, True, only, more=parameters(cpus), cpus=cpus))


def run_umbra(efi, cpus, only, more=""):
    return machine.run_guest(efi, False, only, more=f"{parameters(cpus)} {more}".strip(), cpus=cpus)


def cost(result):
    """Of an operation. None: one processor has no pairs."""
    return result and result["instructions"] / result["ops"]


def to_one(row):
    return row["umbra"] / row["umbra1"] if row["umbra1"] else None


def spin_share(row):
    """What is spent in waiting, of the hypervisor's instructions."""
    more = row["umbra"] - row["bare"]
    pauses = row["events"].get("spin_pauses", 0)
    return pauses * TURN / more if more > 0 else 0


def kicks(row):
    return row["events"].get("shadow_kicks", 0)


def table(rows, cpus, baseline, kvm):
    lines = [f"{'workload':9} {'bare':>12} {'umbra':>12} {'ratio':>6} {'kvm':>6} {'on one':>12} {f'{cpus} to 1':>7} {'bare':>6} "
             f"{'exits':>8} {'kvm':>8} {'kicks':>6} {'waits':>6} {'change':>7}  exits by kind"]
    for name, row in rows.items():
        kvm_value, kvm_exits = report.kvm_ratio(name, row, kvm)
        bare_to_one = row["bare1"] and row["bare"] / row["bare1"]
        lines.append(f"{name:9} {report.number(row['bare'], 1):>12} {report.number(row['umbra'], 1):>12} {report.ratio(row):6.3f} "
                     f"{report.number(kvm_value, 2):>6} {report.number(row['umbra1'], 1):>12} {report.number(to_one(row), 3):>7} "
                     f"{report.number(bare_to_one, 3):>6} {report.exits_text(row['exits']):>8} {report.exits_text(kvm_exits):>8} "
                     f"{kicks(row):6.3f} {spin_share(row):6.2%} "
                     f"{report.change(row['umbra'], baseline.get(name, {}).get('umbra')):>7}  {report.kinds_text(row['kinds'])}")
    return "\n".join(lines)


def conditions(rows, kvm, cpus):
    """A line for each: whether it is met, and the rows by which it is not, or the worst."""
    costs = {n: to_one(row) for n, row in rows.items() if BY_NAME[n].independent and to_one(row)}
    yield condition(f"independent work costs at most {BOUND} times what it costs on one processor", costs, "{:.3f}",
                    lambda value: value <= BOUND)
    yield condition(f"waiting is below {SPIN_BOUND:.0%} of the hypervisor's instructions", {n: spin_share(r) for n, r in rows.items()},
                    "{:.2%}", lambda value: value < SPIN_BOUND)
    unknown = [n for n in rows if n not in kvm]
    yield condition(f"no row{' of those measured' if unknown else ''} behind KVM npt=0 (of its instructions)",
                    {n: rows[n]["umbra"] / kvm[n]["kvm"] for n in rows if n in kvm}, "{:.3f}",
                    lambda value: value <= 1 + report.MOVED_LEAST)
    if unknown:
        yield f"not measured under KVM (make bench PEER=kvm SMP={cpus}): {', '.join(unknown)}"


def condition(text, values, form, holds):
    against = [f"{name} {form.format(value)}" for name, value in values.items() if not holds(value)]
    if against:
        return f"NOT MET: {text}: {', '.join(against)}"
    if not values:
        return f"not known: {text}"
    worst = max(values, key=values.get)
    return f"met: {text}; the worst is {worst}, {form.format(values[worst])}"


def markdown(rows, kvm):
    """The table of docs/performance.md."""
    lines = ["| workload (one operation) | bare, instructions | Umbra, ratio | on one processor, times | exits | kicks | "
             "waits, of the hypervisor's instructions | KVM npt=0, ratio | exits |", "|---|---|---|---|---|---|---|---|---|"]
    for name, row in rows.items():
        null, kinds = BY_NAME[name].null_exit, report.kinds_text(row["kinds"])
        kvm_value, kvm_exits = report.kvm_ratio(name, row, kvm)
        lines.append("| " + " | ".join([
            f"`{name}`: {BY_NAME[name].title}", report.number(row["bare"], 1 if row["bare"] < 100 else 0),
            f"{report.number(row['umbra'])} instructions" if null else f"**{report.ratio(row):.2f}**",
            report.number(to_one(row), 2) + (f" ({report.number(row['umbra1'])})" if null else ""),
            report.exits_text(row["exits"]) + (f": {kinds}" if kinds and not null else ""), f"{kicks(row):.3f}",
            f"{spin_share(row):.2%}", f"{report.number(kvm[name]['kvm'])} instructions" if null and name in kvm else
            report.number(kvm_value, 2), report.exits_text(kvm_exits)]) + " |")
    umbra, peer = report.means(rows, lambda n, r: report.ratio(r))[0], report.means(rows, lambda n, r: report.kvm_ratio(n, r, kvm)[0])[0]
    lines.append(f"| **geometric mean, all but pcpuid** | | **{report.number(umbra, 2)}** | | | | | {report.number(peer, 2)} | |")
    return "\n".join(lines) + "\n"
