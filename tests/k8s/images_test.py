#!/usr/bin/python3
"""What the images are made by: the list of what is in one (SPDX), what is taken, and the Dockerfile's rules."""
import json
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "k8s/images"))
import make_root  # noqa: E402
import sbom  # noqa: E402

STATUS = """\
Package: virp-onode
Status: install ok installed
Architecture: amd64
Version: 0.1.0-1
Depends: libssl3 (>= 3.0.0), adduser, libc6 (>= 2.36) | musl
Description: VIRP O-Node
 Two lines.

Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 3.0.17-1~deb12u3
Depends: libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0

Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u10

Package: adduser
Status: install ok installed
Architecture: all
Version: 3.134

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
"""


class SbomTest(unittest.TestCase):
    def setUp(self):
        self.packages = list(sbom.paragraphs(STATUS))
        self.document = sbom.spdx("virp-onode", self.packages, b"program", "debian-12", 1700000000)

    def test_what_is_not_installed_is_not_read(self):
        self.assertEqual([package["Package"] for package in self.packages], ["virp-onode", "libssl3", "libc6", "adduser"])
        self.assertEqual(self.packages[0]["Description"], "VIRP O-Node\nTwo lines.")

    def test_what_spdx_2_3_demands(self):
        document = self.document
        self.assertEqual((document["spdxVersion"], document["dataLicense"], document["SPDXID"]), ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT"))
        self.assertEqual(document["creationInfo"]["created"], "2023-11-14T22:13:20Z")
        known = {"SPDXRef-DOCUMENT"} | {one["SPDXID"] for one in document["packages"] + document["files"]}
        self.assertEqual(len(known), 1 + len(document["packages"]) + len(document["files"]))
        for one in known:
            self.assertRegex(one, r"^SPDXRef-[A-Za-z0-9.-]+$")
        for package in document["packages"]:
            for field in ("name", "versionInfo", "downloadLocation", "licenseConcluded", "licenseDeclared", "copyrightText"):
                self.assertTrue(package[field], field)
        for relation in document["relationships"]:
            self.assertIn(relation["spdxElementId"], known)
            self.assertIn(relation["relatedSpdxElement"], known)
        described = [relation for relation in document["relationships"] if relation["relationshipType"] == "DESCRIBES"]
        self.assertEqual([relation["relatedSpdxElement"] for relation in described], ["SPDXRef-Package-virp-onode"])

    def test_packages_are_named_as_scanners_look_them_up(self):
        urls = {package["name"]: package["externalRefs"][0]["referenceLocator"] for package in self.document["packages"]}
        self.assertEqual(urls["libc6"], "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12")
        self.assertEqual(urls["virp-onode"], "pkg:deb/virp/virp-onode@0.1.0-1?arch=amd64&distro=debian-12")
        self.assertEqual(sbom.source(self.packages[1]), ("openssl", "3.0.17-1~deb12u3"))
        self.assertEqual(sbom.source(self.packages[2]), ("glibc", "2.36-9"))

    def test_the_program_is_there_by_its_hash(self):
        sums = {one["algorithm"]: one["checksumValue"] for one in self.document["files"][0]["checksums"]}
        self.assertEqual(sums["SHA256"], "1310ca2c8932dbd118668bd97442558a3e1f546b5e15c69699dfbd6024f548d8")

    def test_the_same_gives_the_same_and_another_program_another_name(self):
        again = sbom.spdx("virp-onode", list(reversed(self.packages)), b"program", "debian-12", 1700000000)
        self.assertEqual(json.dumps(again), json.dumps(self.document))
        other = sbom.spdx("virp-onode", self.packages, b"another", "debian-12", 1700000000)
        self.assertNotEqual(other["documentNamespace"], self.document["documentNamespace"])


class RootTest(unittest.TestCase):
    def test_all_that_is_depended_on_and_nothing_that_only_configures(self):
        packages = {package["Package"]: package for package in sbom.paragraphs(STATUS)}
        self.assertEqual(make_root.closure("virp-onode", packages), {"virp-onode", "libssl3", "libc6"})

    def test_a_dependency_that_is_missing_ends_it(self):
        packages = {package["Package"]: package for package in sbom.paragraphs(STATUS) if package["Package"] != "libc6"}
        with self.assertRaises(SystemExit):
            make_root.closure("virp-onode", packages)

    def test_which_files_are_taken(self):
        for path in ("/usr/lib/x86_64-linux-gnu/libgrpc++.so.1.51", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2",
                     "/usr/lib/x86_64-linux-gnu/ossl-modules/legacy.so", "/usr/lib/aarch64-linux-gnu/libssl.so.3",
                     "/usr/share/doc/libc6/copyright", "/usr/share/virp/virp.protoset", "/etc/os-release"):
            self.assertTrue(make_root.KEPT.fullmatch(path), path)
        for path in ("/bin/sh", "/usr/bin/perl", "/usr/sbin/virp-onode-init", "/usr/lib/x86_64-linux-gnu/gconv/IBM037.so", "/etc/passwd",
                     "/usr/lib/x86_64-linux-gnu/engines-3/padlock.so", "/lib/systemd/system/virp-onode.service", "/usr/share/doc/libc6/NEWS.gz",
                     "/usr/libexec/virp-onode/virp-lay-out-keys"):
            self.assertFalse(make_root.KEPT.fullmatch(path), path)


def instructions():
    text = (ROOT / "k8s/images/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def stages():
    """name -> (from, [instructions])."""
    found, current = {}, None
    for line in instructions():
        start = re.fullmatch(r"FROM (\S+) AS (\S+)", line)
        if start:
            current = start.group(2)
            found[current] = (start.group(1), [])
        elif current:
            found[current][1].append(line)
    return found


def whole(stage):
    """(origin, [instructions]) with those of the stages that it is from."""
    origin, lines = stages()[stage]
    if origin not in stages():
        return origin, lines
    first, before = whole(origin)
    return first, before + lines


class DockerfileTest(unittest.TestCase):
    IMAGES = ("virp-collector", "virp-onode", "virp-keymgr", "virp-rtr-bridge", "virpctl")

    def test_each_image_starts_from_nothing_runs_one_program_as_nobody_in_particular(self):
        for image in self.IMAGES:
            origin, lines = whole(image)
            self.assertEqual(origin, "scratch")
            self.assertEqual([line for line in lines if line.startswith("COPY")], [f"COPY --from=root-{image.removeprefix('virp-')} /image/ /"])
            self.assertIn("USER 10001:10001", lines)
            self.assertIn(f'ENTRYPOINT ["/usr/bin/{image}"]', lines)
            self.assertFalse([line for line in lines if line.split()[0] in ("RUN", "ADD", "ENV", "CMD", "VOLUME", "HEALTHCHECK")], image)
            self.assertIn(f'["python3", "/k8s/make_root.py", "{image}", "/image"]', stages()[f"root-{image.removeprefix('virp-')}"][1][-1])

    def test_labels(self):
        for image in self.IMAGES:
            label = " ".join(line for line in whole(image)[1] if line.startswith("LABEL"))
            for name in ("title", "description", "version", "revision", "created", "source", "licenses"):
                self.assertRegex(label, rf'org\.opencontainers\.image\.{name}="[^"]+"')
            self.assertIn(f'title="{image}"', label)

    def test_what_is_run_is_run_without_a_shell(self):
        for line in instructions():
            if line.split()[0] in ("RUN", "ENTRYPOINT"):
                self.assertRegex(line, r'^(RUN|ENTRYPOINT) \[".*"\]$')

    def test_nothing_is_fetched_but_the_base_and_the_base_names_its_release(self):
        origins = {origin for origin, _ in stages().values()} - set(stages())
        self.assertEqual(origins, {"${BASE}", "scratch", "${PACKAGES}"})
        self.assertIn("ARG BASE=docker.io/library/debian:12-slim", instructions())
        self.assertFalse([line for line in instructions() if line.startswith("ADD") or "latest" in line])


if __name__ == "__main__":
    unittest.main()
