#!/usr/bin/env python3
"""What the pages say that a program can check: links lead somewhere, metrics, scripts, files and tests that are named exist.

docs_test.py          checks the tree; exit 1 names each line that is wrong
docs_test.py --self   checks that each rule can fail
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
METRIC = re.compile(r"\bvirp_(?:onode|collector)_[a-z_]*[a-z]\b")
# Pages that say which test shows what: `Suite.Name`, `Suite.Begin...`, and `tamper_test:case`.
NAMING_TESTS = ("docs/bypass.md", "docs/threat-model.md")
TEST = re.compile(r"`([A-Z][A-Za-z0-9]*\.[A-Z][A-Za-z0-9]*)(\.\.\.)?`|`tamper_test:([a-z0-9_]+)`")
DEFINED = re.compile(r"^TEST(?:_[FP])?\((\w+),\s*(\w+)\)", re.MULTILINE)
CASE = re.compile(r'\badd\(\s*"([a-z0-9_]+)"', re.IGNORECASE)
FILE = re.compile(r"`((?:scripts|docs|tests|lib|services|tools|proto|packaging|cmake)/[A-Za-z0-9_./-]+)`")


def slug(heading):
    """As GitHub makes anchors of headings."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def headings(text):
    code = False
    for line in text.splitlines():
        if line.startswith("```"):
            code = not code
        elif not code and line.startswith("#"):
            yield slug(line.lstrip("#"))


def why_broken(page, target, pages, exists):
    """Why a link of this page leads nowhere; None when it does not."""
    if re.match(r"^[a-z]+:", target):
        return None
    path, _, anchor = target.partition("#")
    to = page if not path else str((pathlib.PurePosixPath("/") / pathlib.PurePosixPath(page).parent / path))[1:]
    parts = []
    for part in to.split("/"):
        if part == "..":
            if not parts:
                return "leads out of the tree"
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    to = "/".join(parts)
    if not exists(to):
        return f"there is no {to}"
    if anchor and to in pages and anchor not in set(headings(pages[to])):
        return f"{to} has no heading #{anchor}"
    return None


def unknown_tests(line, tests):
    for name, rest, case in TEST.findall(line):
        if case and case not in tests:
            yield f"no case {case} in tests/tamper"
        elif rest and not any(test.startswith(name) for test in tests):
            yield f"no test begins with {name}"
        elif name and not rest and name not in tests:
            yield f"there is no test {name}"


def complaints(pages, exists, tests):
    """`pages`: text by path. `exists`: whether a path is there. `tests`: all names, "Suite.Name" and cases of tests/tamper."""
    metrics = set(METRIC.findall("\n".join(
        line.split(" | ")[0] for line in pages.get("docs/metrics.md", "").splitlines() if line.startswith("| `virp_"))))
    for page, text in pages.items():
        for number, line in enumerate(text.splitlines(), 1):
            for target in LINK.findall(line):
                why = why_broken(page, target, pages, exists)
                if why:
                    yield f"{page}:{number}: link {target}: {why}"
            for name in METRIC.findall(line):
                if name not in metrics:
                    yield f"{page}:{number}: {name} is no metric of docs/metrics.md"
            for name in FILE.findall(line):
                if not exists(name.rstrip("/")):
                    yield f"{page}:{number}: there is no {name}"
            if page in NAMING_TESTS:
                for why in unknown_tests(line, tests):
                    yield f"{page}:{number}: {why}"


def self_check():
    def exists(path):
        return path in ("docs/metrics.md", "docs/a.md", "scripts/test", "docs")

    metrics = "# M\n| `virp_onode_x_total` | x |\n"
    good = "# Big `Words`, here\n[x](metrics.md) [y](#big-words-here) [z](https://example.org) `scripts/test` `virp_onode_x_total`\n"
    wrong = [f"refused: {said}" for said in complaints({"docs/metrics.md": metrics, "docs/a.md": good}, exists, set())]
    for bad in ("[x](gone.md)", "[x](#gone)", "[x](metrics.md#gone)", "[x](../../out)", "`scripts/gone`", "`virp_onode_y`"):
        if not list(complaints({"docs/metrics.md": metrics, "docs/a.md": bad}, exists, set())):
            wrong.append(f"not noticed: {bad}")
    tests = {"Full.Disk", "deleted_row"}
    wrong += [f"refused: {why}" for why in unknown_tests("`Full.Disk` `Full.Di...` `tamper_test:deleted_row`", tests)]
    for bad in ("`Full.Moon`", "`Empty.Disk...`", "`tamper_test:gone`"):
        if not list(unknown_tests(bad, tests)):
            wrong.append(f"not noticed: {bad}")
    return wrong


def all_tests():
    names = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "*_test.cc", "*_cases.cc"],
                           capture_output=True, text=True, check=True)
    tests = set()
    for name in names.stdout.split():
        text = (ROOT / name).read_text(encoding="utf-8")
        tests |= {f"{suite}.{test}" for suite, test in DEFINED.findall(text)}
        if name.startswith("tests/tamper/"):
            tests |= set(CASE.findall(text))
    return tests


def main():
    if "--self" in sys.argv[1:]:
        wrong = self_check()
    else:
        names = subprocess.run(["git", "-C", str(ROOT), "ls-files", "*.md"], capture_output=True, text=True, check=True)
        pages = {name: (ROOT / name).read_text(encoding="utf-8") for name in names.stdout.split()}
        wrong = self_check() + list(complaints(pages, lambda path: (ROOT / path).exists(), all_tests()))
    print("\n".join(wrong) or "docs: in order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
