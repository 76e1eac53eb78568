#!/usr/bin/env python3
"""The pages about the RTR bridge, held against the programs that they are about.

rtr_pages_test.py BRIDGE    BRIDGE: virp-rtr-bridge as it was built

* docs/operations/rtr-routers.md: each configuration is read by the router's own parser, and, with one line of nonsense in
  it, is refused; so are the bridge's own listeners and table.
* docs/operations/stayrtr.md: has each flag of `stayrtr -help`, once, and no other.
* Both name only options that the bridge has.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

PAGES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "operations"


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    return done.returncode, done.stdout


def refused(command, said=None):
    """What the program says when it refuses its file, else nothing."""
    status, output = run(*command)
    return output or "refused" if status != 0 or (said and said in output) else ""


# By the language of a block: how a program reads a file and ends, the line that it must refuse, and what it says then if its
# exit status does not tell.
PARSERS = {
    "bird": (lambda file: ["/usr/sbin/bird", "-p", "-c", file], "nonsense;", None),
    "frr": (lambda file: ["/usr/lib/frr/bgpd", "-C", "-S", "-p", "0", "-f", file, "-M", "rpki"], "nonsense", "on config line"),
    "openbgpd": (lambda file: ["/usr/sbin/bgpd", "-n", "-f", file], "nonsense", None),
    "gobgp": (lambda file: ["/usr/bin/gobgpd", "-t", "toml", "-d", "-f", file], '[nonsense.config]\n  as = "no"', None),
}


def blocks(page):
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def check_routers(page, bridge, folder):
    seen = {}

    def written(name, text):
        path = folder / name
        path.write_text(text)
        path.chmod(0o600)  # OpenBGPD insists
        return str(path)

    for language, text in blocks(page):
        where = f"rtr-routers.md, {language} {seen.setdefault(language, 0) + 1}"
        seen[language] += 1
        text = text.replace("192.0.2.10 ", "127.0.0.1 ").replace("192.0.2.11 ", "127.0.0.2 ")  # FRR dials when it reads
        if language in PARSERS:
            command, nonsense, said = PARSERS[language]
            why = refused(command(written("good", text)), said)
            if why:
                yield f"{where}: {why}"
            if not refused(command(written("bad", text + nonsense + "\n")), said):
                yield f"{where}: nonsense is taken, so this proves nothing"
        elif language in ("json", "vrps"):
            option = {"json": "--listeners", "vrps": "--vrps"}[language]
            if language == "vrps":
                why = read_by_bridge(bridge, written("table.json", text), folder)
            else:
                check = [bridge, "--check-config", "--state", str(folder), "--vrps", "x", option]
                why = refused(check + [written("good", text)])
                if not refused(check + [written("bad", text.replace('"allow"', '"alow"'))]):
                    yield f"{where}: nonsense is taken, so this proves nothing"
            if why:
                yield f"{where}: {why}"
        else:
            yield f"{where}: nobody reads this language"
    for language in [*PARSERS, "json", "vrps"]:
        if not seen.get(language):
            yield f"rtr-routers.md has no {language}"


def read_by_bridge(bridge, table, folder):
    """Why the bridge does not serve this table. It says which payloads it has read when it serves."""
    state = folder / "state"
    process = subprocess.Popen(
        [bridge, "--rtr", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--vrps", table, "--source-max-age", "0", "--state",
         str(state)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    try:
        for line in process.stdout:
            said += line
            if "a generation is served" in line:
                return "" if "announced=2" in line else line
            if "could not be read" in line:
                break
        return said
    finally:
        process.kill()
        process.wait()


def flags_of(page, heading):
    """First column of the tables below this heading: `-flag`s."""
    part = page.split(heading, 1)[1].split("\n## ", 1)[0]
    return [flag for line in part.splitlines() if line.startswith("| `-")
            for flag in re.findall(r"`-([a-z.]+)`", line.split(" | ")[0])]


def check_stayrtr(page):
    theirs = re.findall(r"^  -([a-z.]+)", run("/usr/bin/stayrtr", "-help")[1], re.MULTILINE)
    ours = flags_of(page, "## Flags of StayRTR 0.5.1")
    if len(theirs) < 30:
        yield f"stayrtr -help names {len(theirs)} flags"
    for flag in sorted(set(theirs) ^ set(ours)):
        yield f"stayrtr.md: -{flag} is only in {'stayrtr -help' if flag in theirs else 'the page'}"
    for flag in sorted({flag for flag in ours if ours.count(flag) > 1}):
        yield f"stayrtr.md: -{flag} stands there {ours.count(flag)} times"


def check_options(name, page, bridge):
    known = set(re.findall(r"^  --([a-z-]+)", run(bridge, "--help")[1], re.MULTILINE))
    for option in sorted(set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", page)) - known):
        yield f"{name}: the bridge has no --{option}"


def main():
    bridge = sys.argv[1]
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        routers = (PAGES / "rtr-routers.md").read_text()
        stayrtr = (PAGES / "stayrtr.md").read_text()
        wrong += check_routers(routers, bridge, pathlib.Path(folder))
        wrong += check_stayrtr(stayrtr)
        for name, page in (("rtr-routers.md", routers), ("stayrtr.md", stayrtr),
                           ("rtr-bridge.md", (PAGES / "rtr-bridge.md").read_text())):
            wrong += check_options(name, page, bridge)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
