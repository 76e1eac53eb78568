"""What every rendered object keeps, whatever the values: the checklist of people who review charts. Pod Security is in render_test.py, by
Kubernetes' own words."""
import json
import re
import unittest

import yaml

import chart

REQUIRED_LABELS = {"helm.sh/chart", "app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component",
                   "app.kubernetes.io/version", "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by"}
SELECTOR = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
# Texts of secrets: a URL with a password, a key, a PEM block of a private key.
SECRET = re.compile(r"[a-z]+://[^/\s:@]+:[^/\s@]+@|BEGIN [A-Z ]*PRIVATE KEY|\b[0-9a-f]{64}\b|password", re.IGNORECASE)
PERSISTENT = re.compile(r"/var/lib/")
POD_NAME = "statefulset.kubernetes.io/pod-name"


def containers(spec):
    return [*spec.get("initContainers", []), *spec["containers"]]


class PolicyTest(unittest.TestCase):
    where = ""

    def _formatMessage(self, msg, standardMsg):
        return f"{self.where}: {super()._formatMessage(msg, standardMsg)}"

    def each_pod(self):
        for scenario in chart.SCENARIOS:
            for found, metadata, spec in chart.pods(scenario):
                self.where = f"{scenario}: {chart.name_of(found)}"
                yield scenario, found, metadata, spec

    def each_object(self):
        for scenario in chart.SCENARIOS:
            for found in chart.objects(scenario):
                if scenario == "knobs" and found["metadata"]["name"] == "virp-more":
                    continue  # an extra object is its author's
                self.where = f"{scenario}: {chart.name_of(found)}"
                yield scenario, found

    def test_root_is_read_only_and_what_is_written_is_a_volume(self):
        for _, _, _, spec in self.each_pod():
            names = {volume["name"] for volume in spec.get("volumes", [])} | {"state"}
            for container in containers(spec):
                self.assertIs(container["securityContext"]["readOnlyRootFilesystem"], True)
                for mount in container.get("volumeMounts", []):
                    self.assertIn(mount["name"], names)
                    self.assertNotIn("subPath", mount, "what is mounted so is never renewed")

    def test_accounts_reach_no_api_server(self):
        for _, _, _, spec in self.each_pod():
            self.assertIs(spec["automountServiceAccountToken"], False)
            self.assertIs(spec["enableServiceLinks"], False)
        for _, found in self.each_object():
            if found["kind"] == "ServiceAccount":
                self.assertIs(found["automountServiceAccountToken"], False)
            self.assertNotIn(found["kind"], ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"))

    def test_images_are_of_a_version(self):
        for scenario, _, _, spec in self.each_pod():
            for container in containers(spec):
                image = container["image"]
                self.assertRegex(image, r"(:[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})$")
                self.assertFalse(image.endswith(":latest"))
                if scenario == "knobs" and "spiffe" not in image:
                    self.assertTrue(image.startswith("mirror.example.org/"), image)
                    self.assertEqual(spec["imagePullSecrets"], [{"name": "mirror"}])

    def test_images_of_this_release_are_the_app_version(self):
        version = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())["appVersion"]
        for _, _, spec in chart.pods("services"):
            for container in containers(spec):
                self.assertTrue(container["image"].endswith(f":{version}"), container["image"])

    def test_services_are_probed_on_the_admin_port(self):
        for _, found, _, spec in self.each_pod():
            if found["kind"] in ("Job", "CronJob", "Pod"):
                continue
            main = spec["containers"][0]
            ports = {port["name"]: port["containerPort"] for port in main["ports"]}
            self.assertGreaterEqual(ports["admin"], 9443)
            for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
                self.assertEqual(main[probe]["httpGet"], {"path": path, "port": "admin"})
            self.assertLess(main["readinessProbe"]["periodSeconds"] * main["readinessProbe"]["failureThreshold"], 60)

    def test_pods_have_requests_and_a_bound_of_memory(self):
        for _, _, _, spec in self.each_pod():
            for container in containers(spec):
                resources = container["resources"]
                self.assertIn("cpu", resources["requests"])
                self.assertEqual(resources["requests"]["memory"], resources["limits"]["memory"])
                self.assertNotIn("cpu", resources["limits"], "a limit of CPU only delays")

    def test_pods_have_time_to_drain(self):
        for scenario, found, _, spec in self.each_pod():
            if found["kind"] in ("Job", "CronJob", "Pod"):
                continue
            config = self.config_of(scenario, found)
            seconds = [int(config[key].removesuffix("s")) for key in ("drain-delay", "drain-grace", "drain-grace")]
            self.assertGreater(spec["terminationGracePeriodSeconds"], sum(seconds))
            self.assertGreater(seconds[0], 0, "endpoints hear of it first")

    def config_of(self, scenario, workload):
        maps = {found["metadata"]["name"]: found for found in chart.objects(scenario) if found["kind"] == "ConfigMap"}
        return json.loads(maps[workload["metadata"]["name"]]["data"]["config.json"])

    def test_no_secret_is_in_environment_arguments_or_config_maps(self):
        for _, _, _, spec in self.each_pod():
            for container in containers(spec):
                for variable in container.get("env", []):
                    self.assertNotIn("secretKeyRef", json.dumps(variable))
                self.assertNotIn("envFrom", container)
                self.assertNotRegex(" ".join(container.get("args", [])), SECRET)
        for _, found in self.each_object():
            self.assertNotEqual(found["kind"], "Secret", "secrets are their owner's, and no value")
            if found["kind"] == "ConfigMap" and "dashboard" not in found["metadata"]["name"]:
                self.assertNotRegex(json.dumps(found["data"]), SECRET)

    def test_files_of_secrets_are_for_their_reader_alone(self):
        for _, _, _, spec in self.each_pod():
            for volume in spec.get("volumes", []):
                for source in [volume, *volume.get("projected", {}).get("sources", [])]:
                    if "secret" not in source:
                        continue
                    if volume["name"] == "database-ca":
                        self.assertEqual([item["path"] for item in source["secret"]["items"]], ["ca.crt"], "the authority's key is beside it")
                        continue
                    modes = [item["mode"] for item in source["secret"].get("items", []) if "mode" in item]
                    modes.append(volume.get("projected", source["secret"]).get("defaultMode"))
                    self.assertTrue(all(mode & 0o037 == 0 for mode in modes), f"{volume['name']}: {modes}")

    def test_budgets_are_there_where_there_are_several_and_only_there(self):
        for scenario in chart.SCENARIOS:
            budgets = {found["metadata"]["name"]: found["spec"] for found in chart.objects(scenario) if found["kind"] == "PodDisruptionBudget"}
            scaled = {found["spec"]["scaleTargetRef"]["name"] for found in chart.objects(scenario) if found["kind"] == "HorizontalPodAutoscaler"}
            several = {found["metadata"]["name"] for found, _, _ in chart.pods(scenario)
                       if found["kind"] == "StatefulSet" and (found["spec"].get("replicas", 1) > 1 or found["metadata"]["name"] in scaled)}
            with self.subTest(scenario):
                self.assertEqual(set(budgets), several)
                for budget in budgets.values():
                    self.assertEqual(len({"minAvailable", "maxUnavailable"} & set(budget)), 1)

    def test_several_are_spread(self):
        for _, found, _, spec in self.each_pod():
            if found["kind"] == "StatefulSet" and found["spec"].get("replicas", 2) > 1:
                self.assertTrue(spec["affinity"])
                self.assertTrue(spec["topologySpreadConstraints"])

    def test_labels_are_there_and_selectors_are_few_and_of_the_pods(self):
        for _, found in self.each_object():
            labels = found["metadata"]["labels"]
            self.assertLessEqual(REQUIRED_LABELS, set(labels))
            selector = found.get("spec", {}).get("selector", {}) if found["kind"] != "Job" else {}
            if found["kind"] in ("StatefulSet", "Deployment", "DaemonSet"):
                self.assertEqual(set(selector["matchLabels"]), SELECTOR, "immutable, so nothing that an upgrade changes")
                self.assertLessEqual(selector["matchLabels"].items(), found["spec"]["template"]["metadata"]["labels"].items())
                self.assertNotIn("helm.sh/chart", found["spec"]["template"]["metadata"]["labels"])

    def test_services_select_pods_that_are_there(self):
        for scenario in chart.SCENARIOS:
            pods = [(metadata["labels"], {port["name"] for container in spec["containers"] for port in container.get("ports", [])})
                    for _, metadata, spec in chart.pods(scenario)]
            for found in chart.objects(scenario):
                if found["kind"] != "Service":
                    continue
                with self.subTest(f"{scenario}: {chart.name_of(found)}"):
                    # The label that a StatefulSet's controller gives each pod is not in its template.
                    selector = {key: value for key, value in found["spec"]["selector"].items() if key != POD_NAME}
                    ports = [names for labels, names in pods if selector.items() <= labels.items()]
                    self.assertEqual(len(ports), 1)
                    self.assertLessEqual({port["targetPort"] for port in found["spec"]["ports"]}, ports[0])

    def test_stateful_pods_keep_their_volumes(self):
        for _, found, _, spec in self.each_pod():
            if found["kind"] == "StatefulSet" and found["spec"].get("volumeClaimTemplates"):
                self.assertEqual(found["spec"]["persistentVolumeClaimRetentionPolicy"], {"whenDeleted": "Retain", "whenScaled": "Retain"})
                mounted = [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "state"]
                self.assertRegex(mounted[0], PERSISTENT)

    def test_migrations_have_the_owners_credentials_and_services_have_not(self):
        for scenario in ("production", "postgres"):
            for found, _, spec in chart.pods(scenario):
                volumes = {volume["name"] for volume in spec["volumes"]}
                self.assertEqual("database-owner" in volumes, found["kind"] in ("Job", "CronJob"), chart.name_of(found))
                if found["kind"] == "StatefulSet" and "database" in volumes:
                    self.assertIs(self.config_of(scenario, found)["migrate"], False)

    def test_routers_keep_their_addresses_and_come_back(self):
        services = {found["metadata"]["name"]: found["spec"] for found in chart.objects("production") if found["kind"] == "Service"}
        routers = services["virp-rtr-bridge-routers"]
        self.assertEqual((routers["type"], routers["externalTrafficPolicy"], routers["sessionAffinity"]), ("LoadBalancer", "Local", "ClientIP"))
        bridge = next(found for found, _, _ in chart.pods("production") if found["metadata"]["name"] == "virp-rtr-bridge")
        self.assertGreaterEqual(bridge["spec"]["minReadySeconds"], 30)

    def test_a_router_comes_to_the_one_collector_that_signs_for_it(self):
        for scenario, sets, expected in (("production", (), {"virp-collector-routers-0": "virp-collector-0", "virp-collector-routers-1": "virp-collector-1"}),
                                         ("minimal", (), {"virp-collector-routers": None}), ("edge-collector", (), {"edge-collector-routers": None}),
                                         ("edge-collector", ("collector.replicas=2",), {"edge-collector-routers": None})):
            with self.subTest(f"{scenario} {sets}"):
                services = {one["metadata"]["name"]: one["spec"]["selector"] for one in chart.objects(scenario, *sets)
                            if one["kind"] == "Service" and "collector-routers" in one["metadata"]["name"]}
                self.assertEqual({name: selector.get(POD_NAME) for name, selector in services.items()}, expected)
        own = "collector.routerService.podAnnotations.1.address"
        annotated = {one["metadata"]["name"]: one["metadata"].get("annotations") for one in chart.objects("production", f"{own}=192.0.2.200") if one["kind"] == "Service"}
        self.assertEqual([annotated[f"virp-collector-routers-{i}"] for i in range(2)], [None, {"address": "192.0.2.200"}])

    def test_a_base_backup_is_made_where_the_log_is_archived(self):
        found = {chart.name_of(one): one for one in chart.objects("production")}
        backup, cluster = found["ScheduledBackup/virp-db"], found["Cluster/virp-db"]
        self.assertEqual(backup["spec"]["cluster"]["name"], "virp-db")
        self.assertEqual(len(backup["spec"]["schedule"].split()), 6, "CloudNativePG counts from the second")
        self.assertTrue(backup["spec"]["immediate"], "the log alone restores nothing until the first night")
        self.assertEqual(backup["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")
        self.assertTrue(cluster["spec"]["backup"])
        for off in ("cloudNativePG.backup=null", "cloudNativePG.scheduledBackup.schedule="):
            self.assertEqual([one for one in chart.objects("production", off) if one["kind"] == "ScheduledBackup"], [])

    def test_an_id_outlives_its_pod(self):
        for mode in ("csiDriver", "spire"):
            for form in ("role", "serviceAccount") if mode == "csiDriver" else ("role",):
                kinds = [f"{part}.kind=Deployment" for part in ("onode", "collector", "keymgr", "rtrBridge")]
                sets = (f"mtls.mode={mode}", f"mtls.idFormat={form}", "mtls.spire.clusterSPIFFEIDs=true", *kinds)
                for part in ("onode", "collector", "keymgr", "rtr-bridge"):
                    with self.subTest(f"{mode} {form}: {part}"):
                        if mode == "spire":
                            ids = [one["spec"]["spiffeIDTemplate"] for one in chart.objects("services", *sets)
                                   if one["kind"] == "ClusterSPIFFEID" and one["metadata"]["name"].endswith(f"-{part}")]
                        else:
                            ids = [volume["csi"]["volumeAttributes"]["csi.cert-manager.io/uri-sans"] for found, _, spec in chart.pods("services", *sets)
                                   if found["kind"] == "Deployment" and found["metadata"]["name"] == f"virp-{part}" for volume in spec["volumes"] if "csi" in volume]
                        self.assertEqual(len(ids), 1)
                        self.assertTrue(ids[0].endswith(f"/virp-{part}"), f"{ids[0]}: the next pod has another name")

    def test_helm_tests_get_an_identity_of_spire(self):
        (found,) = [one for one in chart.objects("spire") if one["kind"] == "ClusterSPIFFEID" and one["metadata"]["name"] == "virp-virp-test"]
        self.assertEqual(found["spec"]["spiffeIDTemplate"], "spiffe://{{ .TrustDomain }}/reader/{{ .PodMeta.Name }}")
        wanted = found["spec"]["podSelector"]["matchLabels"].items()
        pods = [metadata["name"] for one, metadata, _ in chart.pods("spire") if wanted <= metadata["labels"].items()]
        self.assertEqual(sorted(pods), ["virp-test-claim", "virp-test-stranger"])
        self.assertNotIn("virp-virp-test", [one["metadata"]["name"] for one in chart.objects("spire", "tests.enabled=false")])

    def test_certificates_have_one_uri_and_the_headless_names(self):
        for scenario, found in self.each_object():
            if found["kind"] != "Certificate":
                continue
            spec = found["spec"]
            self.assertEqual(len(spec["uris"]), 1)
            self.assertRegex(spec["uris"][0], r"^spiffe://example\.org/(onode|collector|keymgr|rtr-bridge|reader|ns/virp/sa)/[a-z0-9-]+$")
            self.assertEqual(spec["privateKey"], {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"})
            if not found["metadata"]["name"].endswith("-test"):
                name = re.sub(r"-[0-9]+$", "", found["metadata"]["name"])
                self.assertIn(f"*.{name}-headless.{chart.NAMESPACE}.svc", spec["dnsNames"])
                self.assertEqual(len(spec["dnsNames"]), len(set(spec["dnsNames"])))

    def test_each_collector_and_each_bridge_has_an_id_of_its_own(self):
        for scenario, sets, pods in (("services", (), {"collector": 1, "rtr-bridge": 1}), ("knobs", (), {"collector": 3}),
                                     ("services", ("rtrBridge.replicas=2", "collector.replicas=2"), {"collector": 2, "rtr-bridge": 2}),
                                     ("services", ("rtrBridge.autoscaling.enabled=true", "rtrBridge.autoscaling.maxReplicas=4"), {"rtr-bridge": 4}),
                                     ("services", ("mtls.idFormat=serviceAccount", "rtrBridge.replicas=2"), {"rtr-bridge": 2})):
            found = chart.objects(scenario, *sets)
            certificates = {one["spec"]["secretName"]: one["spec"]["uris"] for one in found if one["kind"] == "Certificate"}
            account = "mtls.idFormat=serviceAccount" in sets
            for part, count in pods.items():
                with self.subTest(f"{scenario} {sets}: {part}"):
                    spec = next(spec for _, metadata, spec in chart.pods(scenario, *sets) if metadata["labels"]["app.kubernetes.io/component"] == part)
                    own = {name: uris for name, uris in certificates.items() if name.startswith(f"virp-{part}-")}
                    form = f"spiffe://example.org/ns/virp/sa/virp-{part}/pod/virp-{part}-" if account else f"spiffe://example.org/{part}/virp-{part}-"
                    self.assertEqual(own, {f"virp-{part}-{i}-tls": [f"{form}{i}"] for i in range(count)})
                    (tls,) = [volume["projected"] for volume in spec["volumes"] if volume["name"] == "tls"]
                    self.assertEqual({source["secret"]["name"]: {item["path"].split("/")[0] for item in source["secret"]["items"]} for source in tls["sources"]},
                                     {f"virp-{part}-{i}-tls": {f"virp-{part}-{i}"} for i in range(count)})
                    variables = [variable["name"] for variable in spec["containers"][0]["env"]]
                    values = {variable["name"]: variable.get("value") for variable in spec["containers"][0]["env"]}
                    prefix = "VIRP_" + part.upper().replace("-", "_")
                    self.assertEqual(values[f"{prefix}_TLS_KEY"], "/etc/virp/tls/$(POD_NAME)/tls.key")
                    self.assertLess(variables.index("POD_NAME"), variables.index(f"{prefix}_TLS_KEY"), "what is not there before is not filled in")
                    if account:
                        rules = json.loads(next(one for one in found if one["metadata"]["name"] == "virp-identities")["data"]["identities.json"])["rules"]
                        self.assertIn({"path": f"/ns/virp/sa/virp-{part}/pod/{{pod}}", "role": part, "name": "{pod}"}, rules)

    def test_helm_tests_know_the_identity_map(self):
        for scenario, found, _, spec in self.each_pod():
            if found["kind"] != "Pod":
                continue
            mapped = any(one["metadata"]["name"] == "virp-identities" for one in chart.objects(scenario))
            self.assertEqual("--identity-map" in spec["containers"][0]["args"], mapped)
            self.assertEqual("identities" in {volume["name"] for volume in spec["volumes"]}, mapped)
        accounts = {spec["serviceAccountName"] for found, _, spec in chart.pods("spiffe") if found["kind"] == "Pod"}
        self.assertEqual(accounts, {"virp-test"}, "an id of their own, since the account is the id")
        (identities,) = [one for one in chart.objects("spiffe") if one["metadata"]["name"] == "virp-identities"]
        self.assertIn({"id": "spiffe://example.org/ns/virp/sa/virp-test", "role": "reader", "name": "test"}, json.loads(identities["data"]["identities.json"])["rules"])

    def test_the_archive_is_written_by_its_job_and_read_by_all_o_nodes(self):
        found = {chart.name_of(one): one for one in chart.objects("postgres")}
        claim = found["PersistentVolumeClaim/virp-onode-archive"]
        self.assertEqual(claim["spec"]["accessModes"], ["ReadWriteMany"])
        self.assertEqual(claim["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")
        job, workload = found["CronJob/virp-onode-archive-0"], found["StatefulSet/virp-onode"]
        self.assertEqual(job["spec"]["concurrencyPolicy"], "Forbid")
        for one, written in ((job, True), (workload, False)):
            spec = chart.pod_template(one)[1]
            (volume,) = [volume["persistentVolumeClaim"] for volume in spec["volumes"] if volume["name"] == "archive"]
            (mount,) = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "archive"]
            self.assertEqual(volume["claimName"], "virp-onode-archive")
            self.assertEqual((volume.get("readOnly", False), mount.get("readOnly", False)), (not written, not written))
            self.assertEqual({volume["name"] for volume in spec["volumes"]} & {"own-key", "checkpoint-keys", "keys"}, set() if written else {"own-key", "checkpoint-keys", "keys"},
                             "the job signs nothing")
        self.assertEqual(self.config_of("postgres", workload)["archive"], "/var/lib/virp-archive")
        self.assertNotIn("archive", self.config_of("production", next(one for one in chart.objects("production") if chart.name_of(one) == "StatefulSet/virp-onode")))
        arguments = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
        self.assertNotIn("--drop-detached", arguments)
        dropping = {chart.name_of(one): one for one in chart.objects("postgres", "onode.archive.dropDetached=true")}["CronJob/virp-onode-archive-0"]
        self.assertIn("--drop-detached", dropping["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"])

    def test_routers_of_the_examples_have_a_mode(self):
        for scenario in ("minimal", "production"):
            collector = chart.values(scenario)["collector"]
            for sources in (collector["sources"], *collector["podSources"].values()):
                for router in sources.get("bmp", {}).get("routers", []):
                    with self.subTest(f"{scenario}: {router['source']}"):
                        self.assertIn(router.get("mode"), ("routes", "prefixes"), "no claim about a route could be confirmed")
            self.assertNotIn("no route", chart.notes(scenario))
        self.assertIn("Of r.bmp the sessions are observed and no route", chart.notes("spiffe"))

    def test_helm_tests_clean_up(self):
        for scenario, found, metadata, _ in self.each_pod():
            if found["kind"] == "Pod":
                self.assertEqual(metadata["annotations"]["helm.sh/hook"], "test")
                self.assertIn("before-hook-creation", metadata["annotations"]["helm.sh/hook-delete-policy"])


if __name__ == "__main__":
    unittest.main()
