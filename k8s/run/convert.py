"""What a rendered chart needs before podman's `kube play` can run it. Each step is one that README.md lists, and no other.

In: manifests as Helm renders them. Out: manifests that podman knows, and volumes that have to be filled first."""

import base64
import copy
import re

STATEFUL_NAME = re.compile(r"\$\(([A-Z_]+)\)")
# Kinds that nobody here acts on; what is lost with each is in README.md.
LEFT_OUT = {"ServiceAccount", "CronJob", "PodDisruptionBudget", "HorizontalPodAutoscaler", "PodMonitor", "ServiceMonitor", "PrometheusRule",
            "Certificate", "Cluster", "ClusterSPIFFEID", "Role", "RoleBinding"}


def secret_data(secret):
    """name -> bytes."""
    data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
    return data | {key: value.encode() for key, value in (secret.get("stringData") or {}).items()}


def template_of(manifest):
    return manifest["spec"] if manifest["kind"] == "Pod" else manifest["spec"]["template"]["spec"]


def claimed(name):
    """podman has one name space for claims, ConfigMaps, Secrets and empty folders, of all pods."""
    return name if name.endswith("-claim") else f"{name}-claim"


def rename_volumes(manifest):
    """Claims and empty folders under names that nothing else has."""
    spec = template_of(manifest)
    for volume in spec.get("volumes") or []:
        if "persistentVolumeClaim" in volume:
            volume["persistentVolumeClaim"]["claimName"] = claimed(volume["persistentVolumeClaim"]["claimName"])
        if "emptyDir" in volume:
            before, after = volume["name"], f"{manifest['metadata']['name']}-{volume['name']}"
            volume["name"] = after
            for container in spec["containers"] + (spec.get("initContainers") or []):
                for mount in container.get("volumeMounts") or []:
                    if mount["name"] == before:
                        mount["name"] = after


def lay_out(manifest, secrets, config_maps=None):
    """(manifest, {volume: {path: (bytes, mode)}}): projected volumes become claims on volumes that are filled as kubelet would.
    podman knows no projected volume, and no path with a folder in a Secret's items."""
    manifest, filled = copy.deepcopy(manifest), {}
    rename_volumes(manifest)
    for volume in template_of(manifest).get("volumes") or []:
        items = (volume.get("secret") or {}).get("items") or []
        if any("/" in item["path"] for item in items):
            plain = volume.pop("secret")
            volume["projected"] = {"defaultMode": plain.get("defaultMode", 0o644), "sources": [{"secret": {"name": plain["secretName"], "items": items}}]}
        projected = volume.pop("projected", None)
        if projected is None:
            continue
        name = f"{manifest['metadata']['name']}-{volume['name']}"
        volume["persistentVolumeClaim"] = {"claimName": name}
        files = {}
        for source in projected["sources"]:
            for kind, known in (("secret", secrets), ("configMap", config_maps or {})):
                if kind in source:
                    data = secret_data(known[source[kind]["name"]]) if kind == "secret" else known[source[kind]["name"]]
                    items = source[kind].get("items") or [{"key": key, "path": key} for key in data]
                    for item in items:
                        files[item["path"]] = (data[item["key"]], item.get("mode", projected.get("defaultMode", 0o644)))
        filled[name] = files
    return manifest, filled


def expand(manifest):
    """$(NAME) in values of the environment, and fields of the pod, as kubelet fills them in; podman takes both literally or names
    the pod after its own fashion."""
    name = manifest["metadata"]["name"]
    spec = template_of(manifest)
    for container in spec["containers"] + (spec.get("initContainers") or []):
        known = {}
        for one in container.get("env") or []:
            if ((one.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath") == "metadata.name":
                one.pop("valueFrom")
                one["value"] = name
            if "value" in one:
                one["value"] = STATEFUL_NAME.sub(lambda found: known.get(found.group(1), found.group(0)), one["value"])
                known[one["name"]] = one["value"]
    return manifest


def unfold(stateful):
    """A StatefulSet as one Deployment for each of its pods, each with its own name, host name and claims."""
    made = []
    for ordinal in range(stateful["spec"].get("replicas", 1)):
        name = f"{stateful['metadata']['name']}-{ordinal}"
        template = copy.deepcopy(stateful["spec"]["template"])
        template["metadata"].setdefault("labels", {})["apps.kubernetes.io/pod-index"] = str(ordinal)
        template["spec"]["hostname"] = name
        volumes = template["spec"].setdefault("volumes", [])
        for claim in stateful["spec"].get("volumeClaimTemplates") or []:
            own = f"{claim['metadata']['name']}-{name}"
            volumes.append({"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": own}})
            made.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claimed(own)}, "spec": claim["spec"]})
        made.append(expand({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {**copy.deepcopy(stateful["metadata"]), "name": name},
            "spec": {"replicas": 1, "selector": stateful["spec"]["selector"], "template": template},
        }))
    return made


def certificates(documents):
    """[(Secret's name, SPIFFE id, [DNS names])] of the Certificates that cert-manager would have made."""
    return [(one["spec"]["secretName"], one["spec"]["uris"][0], one["spec"].get("dnsNames") or [])
            for one in documents if one["kind"] == "Certificate"]


def csi_certificates(manifest):
    """[(Secret's name, SPIFFE id, [DNS names])] of volumes of cert-manager's CSI driver, which become Secrets of these names."""
    found, pod = [], manifest["metadata"]["name"]
    for volume in template_of(manifest).get("volumes") or []:
        csi = volume.get("csi") or {}
        if csi.get("driver") == "csi.cert-manager.io":
            wanted = {key.partition("/")[2]: value.replace("${POD_NAME}", pod).replace("${POD_NAMESPACE}", "virp")
                      for key, value in csi["volumeAttributes"].items()}
            volume.pop("csi")
            volume["secret"] = {"secretName": f"{pod}-csi-tls", "defaultMode": 0o440}
            found.append((f"{pod}-csi-tls", wanted["uri-sans"], wanted["dns-names"].split(",")))
    return found


def convert(documents, certificates=False):
    """Manifests in the order in which they came, without what nobody acts on. Projected volumes are left to lay_out. Once more
    changes nothing."""
    out = []
    for document in documents:
        if not document or document["kind"] in LEFT_OUT - ({"Certificate"} if certificates else set()):
            continue
        if document["kind"] == "PersistentVolumeClaim":
            document = {**document, "metadata": {**document["metadata"], "name": claimed(document["metadata"]["name"])}}
        out += unfold(document) if document["kind"] == "StatefulSet" else [document]
    return out
