"""What is said of a run: a table, JSON, and the part of docs/PERFORMANCE.md that comes from it."""

import json
import os
import pathlib
import platform
import re
import time

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
WANTED_FLAGS = ("aes", "pclmulqdq", "vaes", "vpclmulqdq", "avx2", "avx512f", "sha_ni", "hypervisor")


def read(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def machine():
    """The machine as far as it matters here."""
    cpu = read("/proc/cpuinfo")
    model = re.search(r"(?m)^model name\s*:\s*(.*)$", cpu)
    flags = re.search(r"(?m)^(?:flags|Features)\s*:\s*(.*)$", cpu)
    memory = re.search(r"MemTotal:\s*(\d+)", read("/proc/meminfo"))
    system = re.search(r'(?m)^PRETTY_NAME="(.*)"$', read("/etc/os-release"))
    all_flags = flags.group(1).split() if flags else []
    return {"cpu": model.group(1) if model else platform.machine(), "architecture": platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(int(memory.group(1)) / (1 << 20), 1) if memory else None,
            "kernel": f"{platform.system()} {platform.release()}", "system": system.group(1) if system else None,
            "libc": " ".join(platform.libc_ver()), "cpu_flags": all_flags,
            "cpu_flags_that_matter": [flag for flag in WANTED_FLAGS if flag in all_flags],
            "virtual": "hypervisor" in all_flags, "load_average": os.getloadavg()[0]}


def result(bench, seconds):
    """The whole run, as JSON has it."""
    site = bench.site
    return {"what": "rexec beside its peers", "quick": bench.quick, "sections": bench.sections,
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(bench.began)), "seconds": round(seconds, 1),
            "machine": bench.machine, "user": site.user, "root": os.geteuid() == 0,
            "contenders": {peer.name: {"version": peer.version, "missing": peer.missing} for peer in site.peers},
            "figures": [figure.as_json() for figure in bench.book.figures], **bench.extra}


def short(value):
    """A number with as many digits as it deserves."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def verdict(goal):
    if goal["reached"] is None:
        return f"not judged ({goal['why_not_judged']})"
    return "reached" if goal["reached"] else "NOT reached"


def rows(figure):
    """(name, missing or None, sample) of each contender; rexec first, the limit last."""
    listed = [("rexec", figure["rexec"])] if figure["rexec"].get("missing") != "not measured" else []
    listed += list(figure["peers"].items())
    if figure["limit"]:
        listed.append((f"limit: {figure['limit']['name']}", figure["limit"]))
    return [(name, sample.get("missing"), sample) for name, sample in listed]


# ---- text


def table(run):
    out = []
    for figure in run["figures"]:
        direction = {True: "more is better", False: "less is better", None: ""}[figure["more_is_better"]]
        in_brackets = ", ".join(filter(None, (figure["unit"], direction)))
        out.append(f"\n[{figure['section']}] {figure['figure']}" + (f" ({in_brackets})" if in_brackets else ""))
        for name, missing, sample in rows(figure):
            if missing:
                out.append(f"  {name:<50}not measured: {missing}")
                continue
            ratio = sample["rexec_is_times"]
            out.append(f"  {name:<50}{short(sample['median']):>10}  {short(sample['min']):>9} .. "
                       f"{short(sample['max']):<9} n={sample['n']:<4}"
                       + (f"rexec is {short(ratio)} x that" if ratio is not None and name != "rexec" else ""))
        out += [f"  goal: {goal['goal']} ({goal['wanted']}): {short(goal['ratio'])}: {verdict(goal)}"
                for goal in figure["goals"]]
    return "\n".join(out)


def heading(run):
    here = run["machine"]
    out = [f"{here['cpu']}, {here['cores']} cores, {here['memory_gib']} GiB"
           + (", a virtual machine" if here["virtual"] else "")
           + f"; {here['kernel']}, {here['system']}, {here['libc']}",
           f"CPU flags that matter: {' '.join(here['cpu_flags_that_matter']) or 'none'}; load when it began: "
           f"{here['load_average']:.2f}",
           f"commands run as {run['user']}; rexecd runs {'as root' if run['root'] else 'as the same user'}"]
    out += [f"{name}: " + (f"NOT HERE: {peer['missing']}" if peer["missing"] else str(peer["version"]))
            for name, peer in run["contenders"].items()]
    return out


def summary(run):
    goals = [goal for figure in run["figures"] for goal in figure["goals"]]
    counts = {word: sum(goal["reached"] is value for goal in goals)
              for word, value in (("reached", True), ("not reached", False), ("not judged", None))}
    return f"{len(goals)} goals: " + ", ".join(f"{count} {word}" for word, count in counts.items())


# ---- docs


def cell(text):
    return str(text).replace("|", "\\|")


def goals_markdown(run):
    out = ["| figure | goal | rexec | against | ratio | |", "|---|---|---|---|---|---|"]
    for figure in run["figures"]:
        for goal in figure["goals"]:
            subject = figure["rexec"] if goal["subject"] == "rexec" else figure["peers"].get(goal["subject"], {})
            value = f"{short(subject['median'])} {figure['unit']}" if "median" in subject else "-"
            limit = figure["limit"] or {}
            other = limit if goal["against"] == limit.get("name") else figure["peers"].get(goal["against"], {})
            against = f"{short(other['median'])} {figure['unit']}" if "median" in other else ""
            ratio = short(goal["ratio"]) if goal["against"] else ""
            who = "" if goal["subject"] == "rexec" else f" ({goal['subject']})"
            out.append(f"| {cell(figure['figure'] + who)} | {cell(goal['goal'])} | {value} | {against} | {ratio} "
                       f"| {cell('**not reached**' if goal['reached'] is False else verdict(goal))} |")
    return out


def section_markdown(run, name, title):
    out = [f"### {title[0].upper() + title[1:]}", "", "| figure | who | median | quartiles | extremes | n | rexec is |",
           "|---|---|---|---|---|---|---|"]
    notes = []
    for figure in run["figures"]:
        if figure["section"] != name:
            continue
        label = f"{figure['figure']}" + (f", {figure['unit']}" if figure["unit"] else "")
        if figure["note"]:
            notes.append(f"- {figure['figure']}: {figure['note']}.")
        for who, missing, sample in rows(figure):
            if missing:
                out.append(f"| {cell(label)} | {cell(who)} | not measured: {cell(missing)} | | | | |")
            else:
                ratio = sample["rexec_is_times"]
                out.append(f"| {cell(label)} | {cell(who)} | {short(sample['median'])} | {short(sample['q1'])} - "
                           f"{short(sample['q3'])} | {short(sample['min'])} - {short(sample['max'])} | {sample['n']} | "
                           + (f"{short(ratio)} x" if ratio is not None and who != "rexec" else "") + " |")
            label = ""
    return [*out, "", *notes, *([""] if notes else [])]


def calls_markdown(run):
    out = []
    for who, counts in run.get("system_calls", {}).items():
        if not who.startswith(("rexecd", "client, cold: rexec", "OpenSSH")):
            continue
        listed = sorted(counts.items(), key=lambda item: -item[1])
        words = ", ".join(f"{name} {short(times)}" for name, times in listed if times >= 0.05)
        out.append(f"- {who}: {short(sum(counts.values()))} in all: {words}.")
    return ["### System calls of a command", "", "By `strace -c`; of the daemon's processes for each command on one "
            "connection, of a client for its whole life.", "", *out, ""] if out else []


def markdown(run, titles):
    out = [f"Measured {run['began']} in {run['seconds'] / 60:.0f} minutes"
           + (" **with --quick: a smoke run, no measurement**" if run["quick"] else "") + ".", "", "```",
           *heading(run), "```", "", f"{summary(run)}.", "", *goals_markdown(run), ""]
    for name in run["sections"]:
        out += section_markdown(run, name, titles[name])
        if name == "idle":
            out += ["![What one more command costs, as other things grow](performance.svg)", ""]
    return "\n".join([*out, *calls_markdown(run)]).rstrip()


def write_docs(path, text):
    """Puts the text between the markers of the page."""
    page = path.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise SystemExit(f"bench: {path}: the markers {BEGIN} and {END} are not there once each")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def write_json(path, run):
    path.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
