#!/usr/bin/python3
"""What a rendered chart goes through before podman plays it (k8s/run/convert.py): nothing gets lost on the way, nothing else is changed."""
import base64
import copy
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "k8s/run"))
import convert  # noqa: E402


def secret(name, **data):
    return {"kind": "Secret", "metadata": {"name": name}, "data": {key: base64.b64encode(value).decode() for key, value in data.items()}}


def deployment(*volumes, mounts=(), env=()):
    container = {"name": "c", "image": "i", "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in mounts], "env": list(env)}
    return {"kind": "Deployment", "metadata": {"name": "onode"},
            "spec": {"selector": {}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container], "volumes": list(volumes)}}}}


def stateful(replicas=2):
    out = deployment({"name": "tmp", "emptyDir": {}}, mounts=("tmp", "state"), env=(
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "ADVERTISE", "value": "$(POD_NAME).onode-headless:8443 $(OTHER)"}))
    out["kind"] = "StatefulSet"
    out["spec"] |= {"replicas": replicas, "serviceName": "onode-headless", "volumeClaimTemplates": [
        {"metadata": {"name": "state"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}]}
    return out


def volumes_of(manifest):
    return {volume["name"]: volume for volume in manifest["spec"]["template"]["spec"]["volumes"]}


class LayOutTest(unittest.TestCase):
    SECRETS = {"keys": secret("keys", **{"1.seed": b"own", "2.seed": b"next"}), "more": secret("more", **{"a_1.pub": b"public"})}

    def test_a_projected_volume_becomes_a_claim_and_its_files(self):
        projected = {"name": "keys", "projected": {"defaultMode": 0o440, "sources": [
            {"secret": {"name": "keys", "items": [{"key": "1.seed", "path": "org/x/1.seed", "mode": 0o400}]}}, {"secret": {"name": "more"}}]}}
        manifest, filled = convert.lay_out(deployment(projected, mounts=("keys",)), self.SECRETS)
        self.assertEqual(volumes_of(manifest)["keys"], {"name": "keys", "persistentVolumeClaim": {"claimName": "onode-keys"}})
        self.assertEqual(filled, {"onode-keys": {"org/x/1.seed": (b"own", 0o400), "a_1.pub": (b"public", 0o440)}})

    def test_so_does_a_secret_with_a_folder_in_a_path_and_no_other(self):
        nested = {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o440, "items": [{"key": "1.seed", "path": "org/1.seed"}]}}
        flat = {"name": "tls", "secret": {"secretName": "more", "defaultMode": 0o440}}
        manifest, filled = convert.lay_out(deployment(nested, flat), self.SECRETS)
        self.assertEqual(filled, {"onode-keys": {"org/1.seed": (b"own", 0o440)}})
        self.assertEqual(volumes_of(manifest)["tls"], flat)

    def test_what_is_given_is_not_changed(self):
        given = deployment({"name": "keys", "projected": {"sources": [{"secret": {"name": "keys"}}]}})
        before = copy.deepcopy(given)
        convert.lay_out(given, self.SECRETS)
        self.assertEqual(given, before)

    def test_claims_and_empty_folders_get_names_of_their_own(self):
        manifest, _ = convert.lay_out(deployment({"name": "tmp", "emptyDir": {}}, {"name": "state", "persistentVolumeClaim": {"claimName": "onode"}},
                                                 mounts=("tmp", "state")), {})
        self.assertEqual(volumes_of(manifest)["state"]["persistentVolumeClaim"]["claimName"], "onode-claim")
        self.assertIn("onode-tmp", volumes_of(manifest))
        mounts = manifest["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        self.assertEqual([mount["name"] for mount in mounts], ["onode-tmp", "state"])


class UnfoldTest(unittest.TestCase):
    def test_a_deployment_for_each_pod_with_its_own_name_and_claim(self):
        made = convert.convert([stateful()])
        self.assertEqual([one["kind"] for one in made], ["PersistentVolumeClaim", "Deployment"] * 2)
        for ordinal, (claim, pod) in enumerate(zip(made[::2], made[1::2])):
            self.assertEqual(pod["metadata"]["name"], f"onode-{ordinal}")
            self.assertEqual(pod["spec"]["template"]["spec"]["hostname"], f"onode-{ordinal}")
            self.assertEqual(claim["metadata"]["name"], f"state-onode-{ordinal}-claim")
            played, _ = convert.lay_out(pod, {})
            self.assertEqual(volumes_of(played)["state"]["persistentVolumeClaim"]["claimName"], claim["metadata"]["name"])
            env = {one["name"]: one["value"] for one in pod["spec"]["template"]["spec"]["containers"][0]["env"]}
            self.assertEqual(env, {"POD_NAME": f"onode-{ordinal}", "ADVERTISE": f"onode-{ordinal}.onode-headless:8443 $(OTHER)"})
            self.assertEqual(pod["spec"]["template"]["metadata"]["labels"]["a"], "b")

    def test_no_replicas_are_none(self):
        self.assertEqual(convert.convert([stateful(0)]), [])


class LeftOutTest(unittest.TestCase):
    def test_what_nobody_acts_on_goes_and_all_else_stays(self):
        kept = [{"kind": kind, "metadata": {"name": "x"}} for kind in ("Service", "ConfigMap", "Secret", "NetworkPolicy", "Job")]
        gone = [{"kind": kind, "metadata": {"name": "x"}} for kind in convert.LEFT_OUT]
        self.assertEqual(convert.convert(kept + gone + [None]), kept)

    def test_twice_is_once(self):
        once = convert.convert([stateful(), {"kind": "PersistentVolumeClaim", "metadata": {"name": "x"}}])
        self.assertEqual(convert.convert(once), once)


class CertificateTest(unittest.TestCase):
    def test_of_cert_manager_and_of_its_csi_driver(self):
        certificate = {"kind": "Certificate", "metadata": {"name": "onode"},
                       "spec": {"secretName": "onode-tls", "uris": ["spiffe://d/onode/onode"], "dnsNames": ["onode.virp.svc"]}}
        self.assertEqual(convert.certificates([certificate, deployment()]), [("onode-tls", "spiffe://d/onode/onode", ["onode.virp.svc"])])
        pod = deployment({"name": "tls", "csi": {"driver": "csi.cert-manager.io", "volumeAttributes": {
            "csi.cert-manager.io/uri-sans": "spiffe://d/collector/${POD_NAME}", "csi.cert-manager.io/dns-names": "${POD_NAME}.h.${POD_NAMESPACE}.svc,c"}}})
        self.assertEqual(convert.csi_certificates(pod), [("onode-csi-tls", "spiffe://d/collector/onode", ["onode.h.virp.svc", "c"])])
        self.assertEqual(volumes_of(pod)["tls"], {"name": "tls", "secret": {"secretName": "onode-csi-tls", "defaultMode": 0o440}})


if __name__ == "__main__":
    unittest.main()
