"""A real etcd, API server, controller manager and scheduler on this machine, for as long as a test lasts; and in place of nodes, something that
says of each pod what a kubelet would: that it runs, is ready, has ended. No container is started. The programs: scripts/go-tools control-plane."""
import contextlib
import json
import os
import pathlib
import secrets
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

import chart

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
FOLDER = chart.TOOLS / "control-plane"
NODES = ("node-1", "node-2", "node-3")
WORKLOADS = {"Deployment": ("apps/v1", "deployments"), "StatefulSet": ("apps/v1", "statefulsets"), "DaemonSet": ("apps/v1", "daemonsets")}


def missing():
    return [name for name in PROGRAMS if not os.access(FOLDER / name, os.X_OK)]


def free_ports(count):
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


class ControlPlane:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.processes, self.token = [], secrets.token_hex(16)
        self.unready = set()  # names of pods that never become ready
        self.stopping = threading.Event()
        self.trouble = []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stopping.set()
        if getattr(self, "kubelet", None):
            self.kubelet.join()
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def _run(self, name, *arguments):
        with open(self.folder / f"{name}.log", "wb") as log:
            self.processes.append(subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", FOLDER / name, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                   env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder)}))

    def _start(self):
        client, peer, self.port, manager, scheduler = free_ports(5)
        url, of_peer = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        self._run("etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--listen-client-urls", url, "--advertise-client-urls", url,
                  "--listen-peer-urls", of_peer, "--initial-advertise-peer-urls", of_peer, "--initial-cluster", f"default={of_peer}")
        key = self.folder / "accounts.key"
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key], check=True, capture_output=True)
        (self.folder / "tokens").write_text(f'{self.token},test,test,"system:masters"\n')
        self._run("kube-apiserver", "--etcd-servers", url, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", str(self.port),
                  "--cert-dir", self.folder / "certificates", "--token-auth-file", self.folder / "tokens", "--authorization-mode", "Node,RBAC",
                  "--service-account-issuer", "https://test", "--service-account-key-file", key, "--service-account-signing-key-file", key,
                  "--service-cluster-ip-range", "10.96.0.0/16", "--endpoint-reconciler-type", "none")
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE  # its certificate is made at its start, and it is on loopback
        self.wait("the API server", lambda: self._text("GET", "/readyz") == "ok", 180)
        self.config = self.folder / "kubeconfig"
        self.config.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "test", "user": {"token": self.token}}], "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]}))
        common = ("--kubeconfig", self.config, "--leader-elect=false", "--bind-address", "127.0.0.1")
        self._run("kube-controller-manager", *common, "--secure-port", str(manager), "--service-account-private-key-file", key,
                  "--controllers", "*,-node-lifecycle-controller,-persistentvolume-attach-detach-controller")
        self._run("kube-scheduler", *common, "--secure-port", str(scheduler))
        for name in NODES:
            self.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {
                "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{name}", "virp.example.org/keys": "true"}}})
            room = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti"}
            self.patch(f"/api/v1/nodes/{name}/status", {"status": {"capacity": room, "allocatable": room, "conditions": [
                {"type": "Ready", "status": "True", "reason": "Test", "message": "said by a test"}]}})
            # What would take the taint of a new node away also asks nodes whether they live, which these do not answer.
            self._ask("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": None}}, "application/merge-patch+json")
        self.kubelet = threading.Thread(target=self._be_kubelet)
        self.kubelet.start()

    # ---- asking

    def _text(self, verb, path, body=None, kind="application/json"):
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", method=verb, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind})
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=30) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.read().decode()}"
        except OSError as error:
            return f"0 {error}"

    def _ask(self, verb, path, body=None, kind="application/json"):
        text = self._text(verb, path, body, kind)
        if not text.startswith("{"):
            raise AssertionError(f"{verb} {path}: {text[:1000]}")
        return json.loads(text)

    def get(self, path):
        return self._ask("GET", path)

    def post(self, path, body):
        return self._ask("POST", path, body)

    def patch(self, path, body):
        return self._ask("PATCH", path, body, "application/strategic-merge-patch+json")

    def items(self, resource, namespace, version="v1"):
        group = "api/v1" if version == "v1" else f"apis/{version}"
        return {one["metadata"]["name"]: one for one in self.get(f"/{group}/namespaces/{namespace}/{resource}")["items"]}

    def helm(self, *arguments, timeout=300):
        environment = {"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "HELM_CACHE_HOME": str(self.folder / "cache"), "KUBECONFIG": str(self.config)}
        done = subprocess.run([chart.TOOLS / "helm", *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=timeout, check=False)
        return done.returncode, done.stdout, done.stderr

    def wait(self, what, condition, seconds=120):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or any(process.poll() is not None for process in self.processes):
                logs = "\n".join(self.trouble[-5:]) + "".join(f"\n---- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in self.folder.glob("*.log"))
                raise AssertionError(f"waited in vain for {what}{logs}")
            self.stopping.wait(0.2)

    # ---- around the chart

    def namespace(self, name, level="restricted"):
        """Guarded by Pod Security, which also warns of workloads whose pods would be refused."""
        labels = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "warn", "audit")}
        self.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        self.wait(f"the account of {name}", lambda: "default" in self.items("serviceaccounts", name))

    def custom_resources(self, kinds):
        """Definitions of these (group/version, kind), which take whatever is in them: their operators are not here."""
        for version, kind in kinds:
            group, _, number = version.partition("/")
            plural = kind.lower() + "s"
            self.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{group}"},
                "spec": {"group": group, "scope": "Cluster" if kind.startswith("Cluster") and kind != "Cluster" else "Namespaced",
                         "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
                         "versions": [{"name": number, "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                             "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}})
            self.wait(f"{kind} to be known", lambda: kind in self._text("GET", f"/apis/{version}"))

    # ---- in place of kubelets, and of who makes volumes and load balancers

    def _be_kubelet(self):
        while not self.stopping.wait(0.2):
            for resource, act in (("persistentvolumeclaims", self._bind), ("services", self._balance), ("pods", self._keep)):
                found = self._text("GET", f"/api/v1/{resource}")
                for one in json.loads(found)["items"] if found.startswith("{") else []:
                    said = act(one)
                    if said and not said.startswith(("{", "404", "409")):  # it may have gone or changed meanwhile
                        self.trouble.append(f"{one['metadata']['namespace']}/{one['metadata']['name']}: {said[:500]}")

    def _bind(self, claim):
        metadata, spec = claim["metadata"], claim["spec"]
        if claim.get("status", {}).get("phase") != "Pending" or spec.get("volumeName"):
            return None
        name = f"volume-{metadata['uid']}"
        return self._text("POST", "/api/v1/persistentvolumes", {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {"capacity": {"storage": spec["resources"]["requests"]["storage"]}, "accessModes": spec["accessModes"], "persistentVolumeReclaimPolicy": "Retain",
                     "storageClassName": spec.get("storageClassName", ""), "hostPath": {"path": f"/nowhere/{name}"},
                     "claimRef": {"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}}})

    def _balance(self, service):
        if service["spec"]["type"] != "LoadBalancer" or service["status"]["loadBalancer"]:
            return None
        path = f"/api/v1/namespaces/{service['metadata']['namespace']}/services/{service['metadata']['name']}/status"
        return self._text("PATCH", path, {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.99"}]}}}, "application/merge-patch+json")

    def _keep(self, pod):
        metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if not spec.get("nodeName"):
            return None
        if metadata.get("deletionTimestamp"):
            return self._text("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}})
        ends = spec.get("restartPolicy") != "Always"
        ready = not ends and metadata["name"] not in self.unready
        phase = "Succeeded" if ends else "Running"
        shown = next((one["status"] == "True" for one in status.get("conditions", []) if one["type"] == "Ready"), None)
        if status.get("phase") == phase and shown == ready:
            return None
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        state = {"terminated": {"exitCode": 0, "startedAt": now, "finishedAt": now}} if ends else {"running": {"startedAt": now}}
        return self._text("PATCH", f"{path}/status", {"status": {
            "phase": phase, "podIP": f"10.0.0.{hash(metadata['uid']) % 250 + 2}", "startTime": now,
            "conditions": [{"type": kind, "status": "True" if ready else "False", "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [{"name": one["name"], "image": one["image"], "imageID": "", "ready": ready, "started": True, "restartCount": 0, "state": state}
                                  for one in spec["containers"]]}}, "application/merge-patch+json")
