"""The chart on a Cluster: development keys and certificates in place of cert-manager's, values, rendering, virpctl as a client."""

import base64
import json
import os
import pathlib
import subprocess

import yaml

import convert
from cluster import Cluster, Failed, run, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
ORIGIN, TRUST_DOMAIN = "example.org/main", "example.org"
USER = 10001


def secret(name, data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()}}


def config_map(name, data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name, namespace, image, command, labels=None, volumes=(), mounts=(), capabilities=()):
    """A pod around the platform: routers, clients, a database."""
    container = {"name": "main", "image": image, "command": command, "volumeMounts": list(mounts)}
    if capabilities:
        container["securityContext"] = {"capabilities": {"add": list(capabilities)}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels or {"app": name}},
            "spec": {"automountServiceAccountToken": False, "containers": [container], "volumes": list(volumes)}}


class Release:
    def __init__(self, folder, tag, helm, prefix="localhost/"):
        self.folder = pathlib.Path(folder)
        self.tag, self.prefix, self.helm = tag, prefix, helm
        self.cluster = Cluster(self.folder)
        self.beside = []  # Secrets and ConfigMaps that people make, not the chart
        self.environment = {"VIRPCTL_TRUST_DOMAIN": TRUST_DOMAIN, "VIRPCTL_TLS_ROOTS": "/pki/ca.crt", "VIRPCTL_STATE": "/work/seen"}
        for name in ("pki", "work"):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, USER, USER)
            os.chmod(self.folder / name, 0o700)
        self.place = "client"  # the pod whose network virpctl is in

    # ---- virpctl, in its image

    def ctl(self, *arguments, want=0, network=True, text_in=None):
        """What it says; `want`: the exit status that it has to end with, None for any (then (status, text) is given)."""
        # --restart: in a pod of `kube play` a container starts again by that pod's policy, and its status is that of the second time.
        # Not --rm: under load podman may fail to remove what has ended, and then says that in place of the command's status.
        command = ["podman", "run", "--name=virpctl", "--replace", "--restart=no", "--read-only", "--cap-drop=all", "--volume", f"{self.folder}/pki:/pki", "--volume",
                   f"{self.folder}/work:/work", "--workdir", "/work", f"--pod={self.place}" if network else "--network=none"]
        for name, value in self.environment.items():
            command += ["--env", f"{name}={value}"]
        if text_in is not None:
            command.append("--interactive")
        status, said = run(*command, f"{self.prefix}virpctl:{self.tag}", *arguments, check=False, text_in=text_in)
        if want is None:
            return status, said
        if status != want:
            raise Failed(f"virpctl {' '.join(arguments)}: exit status {status} where {want} was expected\n{said}")
        return said

    def use(self, role, name):
        self.environment |= {"VIRPCTL_TLS_CERTIFICATE": f"/pki/{role}-{name}.crt", "VIRPCTL_TLS_KEY": f"/pki/{role}-{name}.key"}

    def succeeds(self, *arguments):
        return self.ctl(*arguments, want=None)[0] == 0

    def says(self, words, *arguments):
        return words in self.ctl(*arguments, want=None)[1]

    # ---- keys and certificates

    def make_pki(self):
        self.ctl("pki", "init", "--dir", "/pki", network=False)
        for role, name in (("operator", "noc"), ("operator", "noc-2"), ("reader", "app")):
            self.ctl("pki", "issue", "--dir", "/pki", "--role", role, "--name", name, network=False)

    def certificate(self, role, name, dns=()):
        names = [argument for one in dns for argument in ("--dns", one)]
        self.ctl("pki", "issue", "--dir", "/pki", "--role", role, "--name", name, *names, network=False)
        pki = self.folder / "pki"
        return {"tls.crt": (pki / f"{role}-{name}.crt").read_bytes(), "tls.key": (pki / f"{role}-{name}.key").read_bytes(),
                "ca.crt": (pki / "ca.crt").read_bytes()}

    def key(self, name, folder):
        """A seed made by virpctl, and its public half in hex."""
        self.ctl("keys", "create", name, "--dir", f"/work/{folder}", network=False)
        listed = self.ctl("keys", "list", "--dir", f"/work/{folder}", "--output", "json", network=False)
        public = json.loads(listed)
        return (self.folder / "work" / folder / name / "1.seed").read_bytes(), _find(public, "publicKey")

    def make_keys(self, own_key="onode-own-key", checkpoint_key="onode-checkpoint-key", keymgr_key="keymgr-own-key", kek="keymgr-kek",
                  sources="source-keys"):
        """Keys of the chain and of the key manager, as Secrets of these names."""
        own, _ = self.key(ORIGIN, "own-key")
        checkpoint, _ = self.key(ORIGIN, "checkpoint-keys")
        keymgr, public = self.key("keymgr", "keymgr-own")
        self.chain_key = self.ctl("keys", "verifier", ORIGIN, "--dir", "/work/checkpoint-keys", network=False).strip().splitlines()[-1]
        self.beside += [secret(own_key, {"1.seed": own}), secret(checkpoint_key, {"1.seed": checkpoint}), secret(keymgr_key, {"1.seed": keymgr}),
                        secret(kek, {"1.kek": os.urandom(32).hex().encode() + b"\n"}), secret(sources, {"keymgr_1.pub": public.encode() + b"\n"})]

    # ---- the chart

    def render(self, *values, settings=(), chart=None):
        """Manifests, as Helm renders them for the release virp in the namespace virp. `chart`: another one than this tree's."""
        command = [self.helm, "template", "virp", str(chart or ROOT / "k8s/charts/virp"), "--namespace", "virp"]
        for file in values:
            command += ["--values", str(file)]
        for setting in settings:
            command += ["--set-json", setting]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"helm: {done.stderr}")
        documents = [document for document in yaml.safe_load_all(done.stdout) if document]
        self.tests = [document for document in documents if _is_test(document) and document["kind"] == "Pod"]
        return [document for document in documents if document not in self.tests]

    def issue_certificates(self, documents):
        """What cert-manager and its CSI driver would do for them. Gives the manifests with Secrets in place of the driver's volumes."""
        documents = convert.convert(documents, certificates=True)
        wanted = convert.certificates(documents)
        for document in documents:
            if document["kind"] in ("Deployment", "Job", "Pod"):
                wanted += convert.csi_certificates(document)
        for name, identity, dns in wanted:
            role, holder = identity.removeprefix(f"spiffe://{TRUST_DOMAIN}/").split("/")
            self.beside.append(secret(name, self.certificate(role, holder, dns)))
        return documents

    def existing_certificates(self, names):
        """Secrets for mode existingSecret. `names`: role -> name of the holder."""
        for role, holder in names.items():
            dns = [holder + end for end in ("", ".virp", ".virp.svc", ".virp.svc.cluster.local")] + ["copy"] * (role == "onode")
            self.beside.append(secret(f"{holder}-tls", self.certificate(role, holder, dns)))

    def play(self, documents, names=None):
        """Runs workloads of these names, or all: with volumes laid out, and without what nobody acts on here."""
        documents = convert.convert(documents)
        secrets = {one["metadata"]["name"]: one for one in self.beside + documents if one["kind"] == "Secret"}
        services = [one for one in documents if one["kind"] == "Service"]
        beside = self.beside + [one for one in documents if one["kind"] in ("ConfigMap", "Secret", "PersistentVolumeClaim")]
        known = {policy["metadata"]["name"] for policy in self.cluster.policies}
        self.cluster.policies += [one for one in documents if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] not in known]
        started = []
        for manifest in documents:
            if manifest["kind"] in ("Deployment", "Job", "DaemonSet", "Pod") and (names is None or manifest["metadata"]["name"] in names):
                manifest, filled = convert.lay_out(manifest, secrets)
                for volume, files in filled.items():
                    _fill(volume, files)
                started.append(self.cluster.play(manifest, services, beside))
        return started

    def test(self):
        """What `helm test` would: each of its pods runs to its end, well."""
        for manifest in self.tests:
            (started,) = self.play([manifest])
            self.cluster.finish(started)
        return [manifest["metadata"]["name"] for manifest in self.tests]

    def lab_secrets(self):
        """k8s/examples/lab-secrets as it is, with virpctl from its image; people's certificates for ctl()."""
        tool, lab = self.folder / "virpctl", self.folder / "lab"
        tool.write_text(f"#!/bin/sh\nexec podman run --rm --network=none --user 0:0 --volume {self.folder}:{self.folder} --workdir \"$PWD\" "
                        f"{self.prefix}virpctl:{self.tag} \"$@\"\n", encoding="utf-8")
        tool.chmod(0o755)
        done = subprocess.run([ROOT / "k8s/examples/lab-secrets", "--folder", lab], env={**os.environ, "VIRPCTL": str(tool)}, cwd=self.folder,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"lab-secrets: {done.stderr}")
        self.beside += list(yaml.safe_load_all(done.stdout))
        self.beside = [one for one in self.beside if one]
        self.chain_key = done.stdout.rsplit("checkpointKeys={", 1)[1].split("}")[0]
        run("cp", "-r", f"{lab}/pki/.", self.folder / "pki")
        run("chown", "-R", f"{USER}:{USER}", self.folder / "pki")

    # ---- the steps of an operator

    def issue(self, source, signer):
        """Its first O-Key: made by the signer, asked for by one operator, let in by another."""
        self.use("operator", "noc")
        self.ctl("keys", "o-keys", "create", source, "--signer", f"spiffe://{TRUST_DOMAIN}/{signer}", "--reason", "the run")
        self.ctl("keys", "o-keys", "prepare", source, "--suite", "ed25519", "--reason", "its first key")
        wait_for(f"{source}'s key", lambda: self.says("PENDING", "keys", "o-keys", "show", source), 60)
        self.use("operator", "noc-2")
        self.ctl("keys", "o-keys", "approve", source, "--key-version", "1", "--reason", "compared")
        self.use("operator", "noc")
        wait_for(f"{source}'s registration", lambda: self.succeeds("sources", "register", "--file", f"{source}.json", "--reason", "the run"), 60)
        self.ctl("keys", "o-keys", "roll", source, "--yes", "--reason", "in use from now on")

    def finds_keymgr(self, address):
        """Whether the key manager there is open and active; ctl() asks it from now on."""
        self.environment["VIRPCTL_KEYMGR"] = address
        status, said = self.ctl("keys", "admin", "status", want=None)
        return status == 0 and "another key manager" not in said

    def describe(self, name, types, *carried_by, **more):
        """The file of a source for `virpctl sources register`."""
        vantage = "VANTAGE_BMP" if "routers" in more else "VANTAGE_SERVICE"
        path = self.folder / "work" / f"{name}.json"
        path.write_text(json.dumps({"name": name, "suite": "SUITE_ED25519", "keyVersion": 1, "vantage": vantage, "types": types,
                                    "carriedBy": [f"spiffe://{TRUST_DOMAIN}/{who}" for who in carried_by], **more}), encoding="utf-8")
        os.chmod(path, 0o644)


def _is_test(document):
    return "test" in (document["metadata"].get("annotations") or {}).get("helm.sh/hook", "")


def _find(tree, key):
    if isinstance(tree, dict):
        if key in tree:
            return tree[key]
        tree = list(tree.values())
    for one in tree if isinstance(tree, list) else []:
        found = _find(one, key)
        if found is not None:
            return found
    return None


def _fill(volume, files):
    """A volume as kubelet lays out a projected one: the files' modes, the pod's group."""
    run("podman", "volume", "create", "--ignore", volume)
    folder = pathlib.Path(run("podman", "volume", "inspect", "--format", "{{.Mountpoint}}", volume)[1].strip())
    for path, (data, mode) in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        os.chmod(target, mode)
    for where, folders, names in os.walk(folder):
        for name in [".", *folders, *names]:
            os.chown(os.path.join(where, name), 0, USER)
