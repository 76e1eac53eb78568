"""The little of a cluster that running a chart's pods needs, by podman: `Cluster` plays manifests and is kubelet where podman is not.

What podman does not do and this does, so that the manifests stay as they were rendered:
  * Services: their names become names of the pods that they select. There is no address of a Service, nor a port mapped by one.
  * fsGroup: files of Secrets, ConfigMaps and claims get the group, as kubelet gives it.
  * probes: the HTTP probes of a container are asked from inside its pod's network; podman would want curl in the image.
  * NetworkPolicies: policy.py, loaded into each pod's network namespace.
What it does not do either: README.md."""

import dataclasses
import json
import os
import pathlib
import subprocess
import time

import yaml

import policy

NETWORK, DNS_NAMESPACE = "virp", "kube-system"
WORKLOADS = ("Pod", "Deployment", "DaemonSet", "Job")
BESIDE = ("ConfigMap", "Secret", "PersistentVolumeClaim")  # what podman needs in the same file
ENVIRONMENT = {**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1", "DISABLE_HC_SYSTEMD": "true"}


class Failed(Exception):
    """Something did not do what it should; says what."""


def run(*command, check=True, text_in=None, timeout=300):
    """(status, output) of a command; both streams."""
    done = subprocess.run([str(part) for part in command], input=text_in, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=None if text_in is not None else subprocess.DEVNULL, env=ENVIRONMENT, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}")
    return done.returncode, done.stdout


def wait_for(what, condition, seconds=60):
    """Until the condition gives something true, which is returned."""
    deadline, said = time.monotonic() + seconds, None
    while True:
        try:
            found = condition()
            if found:
                return found
        except Failed as failed:
            said = failed
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s in vain for {what}" + (f": {said}" if said else ""))
        time.sleep(0.1)


@dataclasses.dataclass
class Running:
    """A pod as it runs."""
    name: str
    namespace: str
    manifest: dict  # its workload's
    template: dict  # metadata and spec of the pod
    address: str = ""
    pid: int = 0

    def policy_pod(self):
        ports = {port["name"]: port["containerPort"] for container in self.template["spec"]["containers"]
                 for port in container.get("ports") or [] if "name" in port}
        return policy.Pod(self.name, self.namespace, self.template["metadata"].get("labels") or {}, self.address, ports)

    def inside(self, *command, check=True, timeout=60):
        """A command of this machine in the pod's network."""
        return run("nsenter", "-t", self.pid, "-n", "--", *command, check=check, timeout=timeout)


def template_of(manifest):
    return {"metadata": manifest["metadata"], "spec": manifest["spec"]} if manifest["kind"] == "Pod" else manifest["spec"]["template"]


class Cluster:
    def __init__(self, folder, namespace="virp", subnet="192.0.0.0/16", pods="192.0.9.0/24"):
        self.folder = pathlib.Path(folder)
        self.namespace = namespace
        self.running = {}
        self.policies = []
        self.namespaces = {name: {"kubernetes.io/metadata.name": name} for name in (namespace, DNS_NAMESPACE, "monitoring", "routers", "clients")}
        self.gateway = pods.rsplit(".", 1)[0] + ".1"
        run("podman", "network", "create", "--ignore", "--subnet", subnet, "--ip-range", pods, "--gateway", self.gateway, NETWORK)

    # ---- pods

    def apply(self, documents, start=True):
        """Plays what is rendered, one workload at a time; hooks in the order of their weights, jobs until they have succeeded."""
        documents = [document for document in documents if document]
        self.policies += [self._in_namespace(document) for document in documents if document["kind"] == "NetworkPolicy"]
        services = [document for document in documents if document["kind"] == "Service"]
        beside = [document for document in documents if document["kind"] in BESIDE]
        for manifest in documents:
            if manifest["kind"] in WORKLOADS:
                self.play(manifest, services, beside, start)

    def play(self, manifest, services=(), beside=(), start=True, address=None):
        template = template_of(manifest)
        name = manifest["metadata"]["name"] + ("" if manifest["kind"] in ("Pod",) else "-pod")
        namespace = manifest["metadata"].get("namespace", self.namespace)
        needed = [document for document in beside if _names(document) in _used(template["spec"])]
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump_all([*needed, manifest], sort_keys=False), encoding="utf-8")
        aliases = self._aliases(manifest, template, services)
        network = NETWORK + (":" + ",".join(f"alias={alias}" for alias in aliases) if aliases else "")
        fixed = ("--ip", address) if address else ()
        run("podman", "kube", "play", "--quiet", "--start=false", "--network", network, *fixed, path)
        self._own_volumes(name, template)
        pod = Running(name, namespace, manifest, template)
        self.running[manifest["metadata"]["name"]] = pod
        if start:
            self.start(pod)
        return pod

    def start(self, pod):
        """Its network and the policies first: init containers make connections, too."""
        run("podman", "start", self._infra(pod))
        self.look(pod)
        self.load_policies()
        run("podman", "pod", "start", pod.name)

    def stop(self, pod, seconds=30):
        run("podman", "pod", "stop", "--time", seconds, pod.name)

    def _infra(self, pod):
        return json.loads(run("podman", "pod", "inspect", pod.name)[1])[0]["InfraContainerID"]

    def look(self, pod):
        """Where the pod is now."""
        seen = json.loads(run("podman", "inspect", self._infra(pod))[1])[0]
        pod.pid = seen["State"]["Pid"]
        pod.address = seen["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]

    def finish(self, pod, seconds=120):
        """Until its containers have ended well; then the pod goes."""
        for name in self.containers(pod):
            status = run("podman", "wait", name, timeout=seconds)[1].strip()
            if status != "0":
                raise Failed(f"{name}: exit status {status}\n{self.logs(pod)}")
        self.remove(pod)

    def refresh(self, pod):
        """After its container has ended and come back: podman ends a pod with its last container and gives it another address, where
        kubelet would keep it."""
        before = pod.pid, pod.address
        self.look(pod)
        if pod.pid and (pod.pid, pod.address) != before:
            self.load_policies()

    def remove(self, pod):
        run("podman", "pod", "rm", "--force", "--time", "10", pod.name)
        self.running.pop(pod.manifest["metadata"]["name"], None)

    def containers(self, pod):
        return [f"{pod.name}-{container['name']}" for container in pod.template["spec"]["containers"]]

    def logs(self, pod):
        names = [f"{pod.name}-{one['name']}" for one in pod.template["spec"].get("initContainers") or []] + self.containers(pod)
        return "".join(run("podman", "logs", name, check=False)[1] for name in names)

    def execute(self, pod, *command, check=True, container=0, text_in=None):
        flags = ("-i",) if text_in is not None else ()
        return run("podman", "exec", *flags, self.containers(pod)[container], *command, check=check, text_in=text_in)

    def pods(self):
        return list(self.running.values())

    # ---- kubelet's part

    def _own_volumes(self, name, template):
        group = (template["spec"].get("securityContext") or {}).get("fsGroup")
        if group is None:
            return
        for container in json.loads(run("podman", "pod", "inspect", name)[1])[0]["Containers"]:
            for mount in json.loads(run("podman", "inspect", container["Id"])[1])[0]["Mounts"]:
                if mount["Type"] == "volume":
                    _give(pathlib.Path(mount["Source"]), group, not mount["RW"])

    def probe(self, pod, which):
        """Whether the HTTP probes of that name (livenessProbe, readinessProbe) of all its containers succeed, or it has none."""
        for container in pod.template["spec"]["containers"]:
            asked = (container.get(which) or {}).get("httpGet")
            if asked:
                named = {port.get("name"): port["containerPort"] for port in container.get("ports") or []}
                url = f"http://{pod.address}:{named.get(asked['port'], asked['port'])}{asked.get('path', '/')}"
                status, _ = pod.inside("curl", "--silent", "--fail", "--max-time", "5", "--output", "/dev/null", url, check=False)
                if status != 0:
                    return False
        return True

    def ready(self, pod, seconds=90):
        def condition():
            self.refresh(pod)
            if "running" not in run("podman", "inspect", "--format", "{{.State.Status}}", *self.containers(pod))[1]:
                raise Failed(f"{pod.name} does not run\n{self.logs(pod)[-3000:]}")
            return self.probe(pod, "readinessProbe")
        wait_for(f"{pod.name} to be ready", condition, seconds)

    # ---- Services and policies

    def _aliases(self, manifest, template, services):
        found = []
        labels = template["metadata"].get("labels") or {}
        hostname = template["spec"].get("hostname", manifest["metadata"]["name"])
        for service in services:
            selector = service["spec"].get("selector")
            if selector and policy.selects({"matchLabels": selector}, labels):
                name = service["metadata"]["name"]
                namespace = service["metadata"].get("namespace", self.namespace)
                names = [name] + ([f"{hostname}.{name}"] if service["spec"].get("clusterIP") == "None" else [])
                found += [one + end for one in names for end in ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")]
        return found

    def _in_namespace(self, document):
        return {**document, "metadata": {"namespace": self.namespace, **document["metadata"]}}

    def policy_cluster(self):
        dns = policy.Pod("dns", DNS_NAMESPACE, {"k8s-app": "kube-dns"}, self.gateway, {"dns": 53, "dns-tcp": 53})
        return policy.Cluster([dns] + [pod.policy_pod() for pod in self.pods() if pod.pid], self.policies, self.namespaces)

    def load_policies(self):
        """For all pods: the address of one is in the rules of the others."""
        view = self.policy_cluster()
        for pod in self.pods():
            if pod.pid and os.path.exists(f"/proc/{pod.pid}"):
                run("nsenter", "-t", pod.pid, "-n", "--", "nft", "-f", "-", text_in=view.rules(pod.policy_pod()))


def _names(document):
    return document["kind"], document["metadata"]["name"]


def _used(spec):
    """(kind, name) of all that a pod mounts or reads."""
    found = set()
    for volume in spec.get("volumes") or []:
        sources = [volume] + ((volume.get("projected") or {}).get("sources") or [])
        for source in sources:
            for key, kind, name in (("secret", "Secret", "secretName"), ("secret", "Secret", "name"), ("configMap", "ConfigMap", "name"),
                                    ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName")):
                if name in (source.get(key) or {}):
                    found.add((kind, source[key][name]))
    for container in (spec.get("containers") or []) + (spec.get("initContainers") or []):
        for one in container.get("env") or []:
            for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                if key in (one.get("valueFrom") or {}):
                    found.add((kind, one["valueFrom"][key]["name"]))
        for one in container.get("envFrom") or []:
            for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                if key in one:
                    found.add((kind, one[key]["name"]))
    return found


def _give(folder, group, read_only):
    """As kubelet does for fsGroup."""
    for where, folders, files in os.walk(folder):
        for name in [".", *folders, *files]:
            path = os.path.join(where, name)
            if os.path.islink(path):
                continue
            os.chown(path, -1, group)
            mode = os.stat(path).st_mode & 0o7777
            if os.path.isdir(path):
                mode |= 0o2050 if read_only else 0o2070
            else:
                mode |= 0o440 if read_only else 0o660
            os.chmod(path, mode)
