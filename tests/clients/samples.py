"""Samples in Markdown: blocks of ```console, in which a line "$ COMMAND" (with lines "> MORE" that belong to it) is followed by what comes
back, "..." standing for anything, a line of it for any lines. Runs of spaces count as one. A command may fail where "ERROR:" is said."""
import dataclasses
import os
import re
import shutil
import subprocess
import threading

PATIENCE = 120  # seconds, for one command


def tool(name):
    """A tool that scripts/bootstrap brings, or that is in PATH; None."""
    tools = os.environ.get("VIRP_TOOLS") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "virp/bin")
    return shutil.which(name, path=f"{tools}:{os.environ.get('PATH', '')}")


@dataclasses.dataclass
class Sample:
    page: str
    line: int      # of the page, from 0
    command: str
    output: str
    end: int       # line behind the output


def samples(page, text):
    lines, out, inside, sample = text.split("\n"), [], False, None
    for number, line in enumerate(lines):
        if line.startswith("```"):
            inside, sample = line == "```console", None
        elif inside and line.startswith("$ "):
            sample = Sample(page, number, line[2:], "", number + 1)
            out.append(sample)
        elif inside and sample and line.startswith("> ") and not sample.output:
            sample.command += "\n" + line[2:]
            sample.end = number + 1
        elif inside and sample:
            sample.output += line + "\n"
            sample.end = number + 1
    return out


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def squeeze(text):
    return "\n".join(" ".join(line.split()) for line in text.strip().split("\n"))


def fits(text, pattern):
    text, pieces = squeeze(text), squeeze(pattern).split("...")
    expression = ".*?".join(re.escape(piece) for piece in pieces)
    return re.fullmatch(expression, text, re.DOTALL) is not None


class Shell:
    """One bash for all commands of a page: what they set is there for the next one."""

    def __init__(self, folder, environment, setup):
        self.bash = subprocess.Popen(["/bin/bash", "--noprofile", "--norc"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True)
        self.folder = folder
        if self.run(setup)[0] != 0:
            raise SystemExit("samples: the set-up of the page fails")

    def run(self, command):
        file = os.path.join(self.folder, ".sample")
        with open(file, "w", encoding="utf-8") as out:
            out.write("set -o pipefail\n" + command + "\n")
        self.bash.stdin.write(f". {file} < /dev/null; printf '\\n\\036%d\\n' $?\n")
        self.bash.stdin.flush()
        said = []
        watchdog = threading.Timer(PATIENCE, self.bash.kill)
        watchdog.start()
        for line in self.bash.stdout:
            if line.startswith("\036"):
                watchdog.cancel()
                return int(line[1:]), "".join(said)[:-1]
            said.append(line)
        watchdog.cancel()
        raise SystemExit(f"samples: the shell ended, or was ended after {PATIENCE} s, in: {command}\n{''.join(said)}")

    def close(self):
        self.bash.stdin.close()
        self.bash.wait()


def try_once(shell, sample, stretch=1):
    command = re.sub(r"-max-time (\d+)", lambda m: f"-max-time {int(m[1]) * stretch}", sample.command)
    status, said = shell.run(command)
    return status, said, (status != 0) == ("ERROR:" in sample.output) and fits(said, sample.output)


def wrong(shell, sample):
    """What is wrong with a sample; None when it does what it says. A watch that was cut short is tried again with more time."""
    status, said, good = try_once(shell, sample)
    if not good and "-max-time" in sample.command:
        status, said, good = try_once(shell, sample, 10)
    if good:
        return None
    return f"{sample.page}:{sample.line + 1}: $ {sample.command}\n(exit status {status})\n{said}\ninstead of\n{sample.output}"


# ---- recording, for whoever writes a page: what varies becomes "..."

VARIES = (
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "..."), (r'"[A-Za-z0-9+/]{24,}={0,2}(\\n)?"', '"..."'), (r'"[0-9a-f]{32,}"', '"..."'), (r'"\d{16,}"', '"..."'),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:..."), (r'"c2sp.org/tlog-proof@v1.*"', '"c2sp.org/tlog-proof@v1..."'), (r"[0-9a-f]{64}", "..."),
    (r'("(?:entry|newestEntry|chainSize|size|term|sequence|record|rewrapped|epoch|bytesSent|lastDeliveryNumber|answeredDeliveryNumber|auditedSize|spooledBytes|'
     r'spooledFrames|frames|pending|chainSequence|held|nextSequence|clockOffsetNs|sessionId|checked|total|lastSequence|sourceSequence|number|serial|submitted|covered|left|waiting|certificates|uncovered|fromA|fromB|sendId|recvId)": )"?\d+"?',
     r"\1..."),
    (r'(?m)^(\s+)"\d+"(,?)$', r'\1"..."\2'), (r'("(?:nextPageToken|resumeToken|etag|session)": )".+"', r'\1"..."'),
    (r'"(virp\.example\.net/site1)\\n.*"', r'"\1\\n..."'), (r"(virp\.example\.net/[a-z0-9-]+)\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+", r"\1+..."),
    (r'"check": "[0-9a-f]{16}"', '"check": "..."'), (r"ROUTER_KEY_STATE_(CREATED|PUBLISHED|STAGING)", "ROUTER_KEY_STATE_..."), (r'("(?:tal|calendar)": ").*', r'\1...'),
    (r"\b\d{16,}\b", "..."), (r"at size \d+", "at size ..."),
    (r"has \d+ entries", "has ... entries"), (r"router_certificate/\S+", "router_certificate/..."),
    (r"(  Code: DeadlineExceeded\n)  Message: .*", r"\1..."), (r"https?://\S+", "..."), (r"/tmp/[^\s\"]+", "..."), (r'"SiUt[^"]*"', '"..."'),
)


def mask(said, longest=30):
    for pattern, instead in VARIES:
        said = re.sub(pattern, instead, said)
    lines = [line.rstrip() for line in said.rstrip("\n").split("\n")]
    if len(lines) > longest:
        error = lines.index("ERROR:") if "ERROR:" in lines else len(lines)
        lines = [*lines[: longest - 6], "...", *lines[error:]]
    return "\n".join(lines)
