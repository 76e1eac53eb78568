"""Rendering the Helm chart: what the tests of this folder share. Needs helm and chart-typed of scripts/go-tools."""
import dataclasses
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "k8s/charts/virp"
EXAMPLES = ROOT / "k8s/examples"
TOOLS = pathlib.Path(os.environ.get("VIRP_TOOLS") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "virp/bin")
NAMESPACE, RELEASE = "virp", "virp"
LAB_KEY = "checkpointKeys[0]=example.org/main+c74f20a3+AZzs3J0VsTdZLyJJYlwSPXQ6o7oYqsk0cTQcV3wSGeuA"

# Every set of values that is rendered: name -> (file, further --set).
SCENARIOS = {path.name.removesuffix("-values.yaml"): (path, ()) for path in sorted((CHART / "ci").glob("*-values.yaml"))}
SCENARIOS |= {path.stem: (path, (LAB_KEY,) if path.stem == "minimal" else ()) for path in sorted(EXAMPLES.glob("*.yaml"))}


def missing_tools():
    """The tools that are not there; scripts/bootstrap brings them where there is Go."""
    return [tool for tool in ("helm", "chart-typed") if not os.access(TOOLS / tool, os.X_OK)]


def helm(*arguments):
    """(exit status, standard output, standard error) of helm, which sees nothing of this machine's clusters or settings."""
    environment = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "HELM_CACHE_HOME": "/nonexistent/cache"}
    done = subprocess.run([TOOLS / "helm", *map(str, arguments)], capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout, done.stderr


@functools.cache
def render(scenario, *sets, kubernetes="1.31.0", release=RELEASE):
    """What the chart renders, as text."""
    path, own = SCENARIOS[scenario]
    further = [argument for text in (*own, *sets) for argument in ("--set", text)]
    status, out, error = helm("template", release, CHART, "--namespace", NAMESPACE, "--kube-version", kubernetes, "-f", path, *further)
    if status != 0:
        raise AssertionError(f"{scenario} {sets}: {error}")
    return out


@dataclasses.dataclass
class Typed:
    """What chart-typed says of manifests: lines by their first word, and how many objects it knew."""
    wrong: list
    restricted: list
    custom: list
    checked: int


def typed(text, before=""):
    """`before`: manifests that are to be updated to `text`."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(before)
        file.flush()
        done = subprocess.run([TOOLS / "chart-typed", *([file.name] if before else [])], input=text, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode not in (0, 1) or not lines or not lines[-1].startswith("checked "):
        raise AssertionError(done.stdout + done.stderr)
    of = {word: [line.removeprefix(word + " ") for line in lines if line.startswith(word + " ")] for word in ("wrong", "restricted", "custom")}
    if (done.returncode == 1) != bool(of["wrong"]):
        raise AssertionError(f"exit status {done.returncode}: {done.stdout}")
    return Typed(**of, checked=int(lines[-1].split()[1]))


@functools.cache
def notes(scenario, *sets):
    """NOTES.txt, which `helm template` leaves out: rendered by a copy of the chart in which it is an object."""
    path, own = SCENARIOS[scenario]
    further = [argument for text in (*own, *sets) for argument in ("--set", text)]
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "virp"
        shutil.copytree(CHART, copy)
        text = (copy / "templates/NOTES.txt").rename(copy / "notes")
        (copy / "templates/notes.yaml").write_text('notes: |\n  {{- tpl (.Files.Get "notes") . | nindent 2 }}\n')
        status, out, error = helm("template", RELEASE, copy, "--namespace", NAMESPACE, "--kube-version", "1.31.0", "-f", path, *further,
                                  "--show-only", "templates/notes.yaml")
    if status != 0:
        raise AssertionError(f"{text}: {error}")
    return yaml.safe_load(out)["notes"]


@functools.cache
def objects(scenario, *sets):
    """The same as objects."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [found for found in yaml.load_all(render(scenario, *sets), loader) if found]


@functools.cache
def values(scenario):
    """The values in force, merged as helm does it: objects key by key, null takes a key away."""
    base = yaml.safe_load((CHART / "values.yaml").read_text())
    path, own = SCENARIOS[scenario]
    out = merged(base, yaml.safe_load(path.read_text()))
    if own:
        out["checkpointKeys"] = [LAB_KEY.split("=", 1)[1]]
    return out


def merged(base, over):
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    out = dict(base)
    for key, value in over.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merged(base[key], value) if key in base else value
    return out


def pod_template(found):
    """The pod of an object that makes pods, as (metadata, spec); else nothing."""
    if found["kind"] == "Pod":
        return found["metadata"], found["spec"]
    if found["kind"] == "CronJob":
        template = found["spec"]["jobTemplate"]["spec"]["template"]
        return template["metadata"], template["spec"]
    if found["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        template = found["spec"]["template"]
        return template["metadata"], template["spec"]
    return None


def pods(scenario, *sets):
    """(object, metadata, spec) of everything that makes pods."""
    for found in objects(scenario, *sets):
        template = pod_template(found)
        if template:
            yield found, *template


def name_of(found):
    return f"{found['kind']}/{found['metadata']['name']}"
