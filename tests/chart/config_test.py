"""The configuration that the chart renders is one that the programs take: each is asked with --check-config, jobs and init containers too, and
the Helm tests are run against an O-Node that runs as the chart says. Needs the built programs (VIRP_PROGRAMS, name=path ...)."""
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

    def command_of(self, root, scenario, found, spec, container, program, secrets=None):
        """(command, environment) of a container whose files are below `root`."""
        mounted(root, scenario, spec, container, secrets or {})
        for file in (root / "etc/virp/config").glob("*.json"):
            file.write_text(below(root, file.read_text()))
        return [PROGRAMS[program], *(below(root, argument) for argument in container.get("args", []))], environment(container, root, f"{found['metadata']['name']}-0")

    def run_as(self, scenario, found, spec, container, program, *further, secrets=None, root=None):
        with tempfile.TemporaryDirectory() as folder:
            (program, *arguments), variables = self.command_of(root or pathlib.Path(folder), scenario, found, spec, container, program, secrets)
            done = subprocess.run([program, *further, *arguments], env=variables, capture_output=True, text=True, timeout=60, check=False)
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
                part = found["metadata"]["labels"]["app.kubernetes.io/component"].removesuffix("-migrate").removesuffix("-archive")
                for container in (spec["containers"] if found["kind"] in ("Job", "CronJob") else spec.get("initContainers", [])):
                    with self.subTest(f"{scenario}: {chart.name_of(found)} {container['name']}"):
                        status, out, error = self.run_as(scenario, found, spec, container, f"virp-{part}", "--check-config")
                        self.assertEqual(status, 0, out + error)
                        tried += 1
        self.assertGreater(tried, 5)

    def laboratory(self, folder):
        """What lab-secrets prints: (secrets, checkpoint key)."""
        made = subprocess.run([chart.EXAMPLES / "lab-secrets", "--folder", f"{folder}/lab"], capture_output=True, text=True,
                              env={**os.environ, "VIRPCTL": PROGRAMS["virpctl"]}, check=False)
        self.assertEqual(made.returncode, 0, made.stderr)
        secrets = {found["metadata"]["name"]: {key: base64.b64decode(value) for key, value in found["data"].items()}
                   for found in yaml.safe_load_all(made.stdout) if found}
        return secrets, re.search(r"checkpointKeys=\{(.*)\}", made.stdout).group(1)

    def as_the_page_says(self, folder, address):
        """Registers the sources of minimal.yaml by the lines of the examples' page; its forwarded port is `address` here."""
        page = (chart.EXAMPLES / "README.md").read_text()
        lines = page.split("## After the installation")[1].split("```sh\n")[1].split("```")[0].replace("localhost:8443", address)
        script = f"set -e\nkubectl() {{ :; }}\nvirpctl() {{ '{PROGRAMS['virpctl']}' \"$@\"; }}\n{lines}\nvirpctl sources list\n"
        done = subprocess.run(["bash", "-c", script], cwd=folder, env={"PATH": "/usr/bin:/bin", "HOME": folder, "VIRPCTL_STATE": f"{folder}/seen"},
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("NO_EVIDENCE", done.stdout)
        for source in ("collector-1", "edge-a.bmp"):
            self.assertRegex(done.stdout, rf"(?m)^{re.escape(source)}\b")

    def test_the_secrets_of_the_laboratory_open_a_chain_once_and_the_helm_tests_pass(self):
        with tempfile.TemporaryDirectory() as folder:
            secrets, key = self.laboratory(folder)
            pods = {found["metadata"]["name"]: (found, spec) for found, _, spec in chart.pods("minimal")}
            wanted = {volume["secret"]["secretName"] for _, spec in pods.values() for volume in spec["volumes"] if "secret" in volume}
            self.assertEqual(wanted, set(secrets))
            root = pathlib.Path(folder) / "root"
            found, spec = pods["virp-onode"]
            outputs = []
            for _ in range(2):
                status, out, error = self.run_as("minimal", found, spec, spec["initContainers"][0], "virp-onode", secrets=secrets, root=root)
                self.assertEqual(status, 0, out + error)
                outputs.append(out.strip())
            self.assertEqual(outputs, [key, ""], "opened once, with the key that collectors pin")

            command, variables = self.command_of(root, "minimal", found, spec, spec["containers"][0], "virp-onode", secrets)
            variables |= {"VIRP_ONODE_LISTEN": "127.0.0.1:0", "VIRP_ONODE_ADMIN_LISTEN": "127.0.0.1:0"}
            with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as onode:
                try:
                    lines = []
                    for line in onode.stderr:
                        lines.append(line)
                        if '"serving"' in line:
                            break
                    self.assertIn('"serving"', lines[-1], "".join(lines))
                    address = json.loads(lines[-1])["address"]
                    for test in ("virp-test-claim", "virp-test-stranger"):
                        found, spec = pods[test]
                        # Its files in a root of its own; its address is a Service's, so the O-Node's stands for it.
                        command, variables = self.command_of(pathlib.Path(folder) / test, "minimal", found, spec, spec["containers"][0], "virpctl", secrets)
                        command = [address if part.endswith(".svc:8443") else part.replace("/tmp/state", f"{folder}/state") for part in command]
                        done = subprocess.run(command, env={**variables, "HOME": folder}, capture_output=True, text=True, timeout=60, check=False)
                        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                        self.assertIn({"virp-test-claim": "NO_EVIDENCE", "virp-test-stranger": "refused"}[test], done.stdout)
                    self.as_the_page_says(folder, address)
                finally:
                    onode.terminate()


if __name__ == "__main__":
    unittest.main()
