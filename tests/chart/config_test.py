"""The configuration that the chart renders is one that the programs take: each is asked with --check-config, and what the Helm tests and
jobs say on their command lines is asked with the programs' own parsers. Needs the built programs (VIRP_PROGRAMS, name=path ...)."""
import base64
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml

import chart

PROGRAMS = dict(item.split("=", 1) for item in os.environ.get("VIRP_PROGRAMS", "").split())
URL = "postgresql://serving:s3cret@db.example.org/virp"


def mounted(root, scenario, spec, container, secrets):
    """The container's file system below `root`: ConfigMaps as they are rendered, and Secrets; something in place of those that are not given."""
    maps = {found["metadata"]["name"]: found for found in chart.objects(scenario) if found["kind"] == "ConfigMap"}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for mount in container["volumeMounts"]:
        folder = root / mount["mountPath"].lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        volume = volumes.get(mount["name"], {})
        if "configMap" in volume and volume["configMap"]["name"] in maps:
            for name, text in maps[volume["configMap"]["name"]]["data"].items():
                (folder / name).write_text(text)
        elif "configMap" in volume:
            (folder / "deny").write_text("")
            (folder / "slurm.json").write_text("{}")
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            name = source.get("secret", {}).get("secretName", source.get("secret", {}).get("name"))
            if name in secrets:
                items = source["secret"].get("items", [{"key": key, "path": key} for key in secrets[name]])
                for item in items:
                    file = folder / item["path"]
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.unlink(missing_ok=True)
                    file.write_bytes(secrets[name][item["key"]])
                    file.chmod(0o400)
                continue
            for item in source.get("secret", {}).get("items", [{"path": name} for name in ("tls.crt", "tls.key", "ca.crt", "host_key", "authorized_keys")]):
                file = folder / item["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                if not file.exists():
                    file.write_text(URL if item["path"] == "url" else "ab" * 32)
                    file.chmod(0o400)


def below(root, text):
    """The same text with the container's paths moved below `root`."""
    return re.sub(r"(/etc/virp|/var/lib/virp-[a-z-]+|/run/virp)", lambda found: str(root) + found.group(1), text)


def environment(container, root, pod):
    known, out = {"POD_NAME": pod, "NODE_NAME": "node-1"}, {}
    for variable in container.get("env", []):
        if "value" in variable:
            name = re.sub(r"\$\((\w+)\)", lambda found: known[found.group(1)], variable["value"])
            out[variable["name"]] = below(root, name)
    return out


@unittest.skipUnless(PROGRAMS, "VIRP_PROGRAMS names no programs")
class ConfigTest(unittest.TestCase):
    def services(self):
        for scenario in chart.SCENARIOS:
            if scenario == "knobs":
                continue  # its arguments are made up
            for found, _, spec in chart.pods(scenario):
                if found["kind"] in ("StatefulSet", "Deployment", "DaemonSet"):
                    yield scenario, found, spec

    def run_as(self, scenario, found, spec, container, program, *further, secrets=None, root=None):
        with tempfile.TemporaryDirectory() as folder:
            root = root or pathlib.Path(folder)
            mounted(root, scenario, spec, container, secrets or {})
            for file in (root / "etc/virp/config").glob("*.json"):
                file.write_text(below(root, file.read_text()))
            arguments = [below(root, argument) for argument in container.get("args", [])]
            done = subprocess.run([PROGRAMS[program], *further, *arguments], env=environment(container, root, f"{found['metadata']['name']}-0"), capture_output=True, text=True,
                                  timeout=60, check=False)
            return done.returncode, done.stdout, done.stderr

    def test_every_service_takes_its_configuration(self):
        seen = set()
        for scenario, found, spec in self.services():
            part = found["metadata"]["labels"]["app.kubernetes.io/component"]
            container = spec["containers"][0]
            with self.subTest(f"{scenario}: {part}"):
                status, out, error = self.run_as(scenario, found, spec, container, f"virp-{part}", "--check-config")
                if part == "keymgr" and "token" in json.dumps(container["volumeMounts"]):
                    # The module is the operator's; all else was read before it is looked for.
                    self.assertNotIn("unknown key", error)
                else:
                    self.assertEqual(status, 0, out + error)
                seen.add(part)
                _, printed, _ = self.run_as(scenario, found, spec, container, f"virp-{part}", "--print-config")
                self.assertNotIn("s3cret", printed)
        self.assertEqual(seen, {"onode", "collector", "keymgr", "rtr-bridge"})

    def test_the_check_can_fail(self):
        scenario, found, spec = next(self.services())
        part = found["metadata"]["labels"]["app.kubernetes.io/component"]
        container = {**spec["containers"][0], "args": [*spec["containers"][0]["args"], "--log-level", "loud"]}
        status, _, error = self.run_as(scenario, found, spec, container, f"virp-{part}", "--check-config")
        self.assertEqual(status, 2)
        self.assertIn("log-level", error)

    def test_jobs_and_chain_openers_say_what_the_programs_understand(self):
        tried = 0
        for scenario in ("production", "postgres", "minimal"):
            for found, _, spec in chart.pods(scenario):
                part = found["metadata"]["labels"]["app.kubernetes.io/component"].removesuffix("-migrate")
                for container in (spec["containers"] if found["kind"] == "Job" else spec.get("initContainers", [])):
                    with self.subTest(f"{scenario}: {chart.name_of(found)} {container['name']}"):
                        status, out, error = self.run_as(scenario, found, spec, container, f"virp-{part}", "--check-config")
                        self.assertEqual(status, 0, out + error)
                        tried += 1
        self.assertGreater(tried, 4)

    def test_the_secrets_of_the_laboratory_open_a_chain_once(self):
        with tempfile.TemporaryDirectory() as folder:
            made = subprocess.run([chart.EXAMPLES / "lab-secrets", "--folder", f"{folder}/lab"], capture_output=True, text=True,
                                  env={**os.environ, "VIRPCTL": PROGRAMS["virpctl"]}, check=False)
            self.assertEqual(made.returncode, 0, made.stderr)
            secrets = {found["metadata"]["name"]: {key: base64.b64decode(value) for key, value in found["data"].items()}
                       for found in yaml.safe_load_all(made.stdout) if found}
            found, spec = next((found, spec) for found, _, spec in chart.pods("minimal") if found["metadata"]["name"] == "virp-onode")
            wanted = {volume["secret"]["secretName"] for _, _, spec in chart.pods("minimal") for volume in spec["volumes"] if "secret" in volume}
            self.assertEqual(wanted, set(secrets))
            root = pathlib.Path(folder) / "root"
            outputs = []
            for _ in range(2):
                status, out, error = self.run_as("minimal", found, spec, spec["initContainers"][0], "virp-onode", secrets=secrets, root=root)
                self.assertEqual(status, 0, out + error)
                outputs.append(out.strip())
            key = re.search(r"checkpointKeys=\{(.*)\}", made.stdout).group(1)
            self.assertEqual(outputs, [key, ""], "opened once, with the key that collectors pin")
            status, out, error = self.run_as("minimal", found, spec, spec["containers"][0], "virp-onode", "--check-config", secrets=secrets, root=root)
            self.assertEqual(status, 0, out + error)

    def test_helm_tests_say_what_virpctl_understands(self):
        for _, found, spec in [(name, *rest) for name in ("minimal",) for rest in [(found, spec) for found, _, spec in chart.pods(name)]]:
            if found["kind"] != "Pod":
                continue
            with self.subTest(chart.name_of(found)):
                # Without the files it ends before it connects, but behind its options.
                done = subprocess.run([PROGRAMS["virpctl"], *spec["containers"][0]["args"]], capture_output=True, text=True, env={"HOME": "/nonexistent"}, check=False)
                self.assertEqual(done.returncode, 2)
                self.assertIn("/etc/virp/tls/", done.stderr + done.stdout)


if __name__ == "__main__":
    unittest.main()
