"""What an image consists of, as SPDX 2.3 in JSON: the packages by dpkg's own records, and the program by its hash."""

import datetime
import hashlib
import json
import re

NAME, SPDX_REF = "virp", re.compile(r"[^A-Za-z0-9.-]")


def paragraphs(text):
    """dpkg's status file: one {field: value} for each package that is installed; continuation lines keep their line ends."""
    for block in re.split(r"\n{2,}", text):
        fields, last = {}, None
        for line in block.splitlines():
            if line[:1] in " \t" and last:
                fields[last] += "\n" + line[1:]
            elif ":" in line:
                last, _, value = line.partition(":")
                fields[last] = value.strip()
        if fields.get("Status", "").endswith(" installed"):
            yield fields


def source(package):
    """(name, version) of the source package."""
    name, _, version = package.get("Source", package["Package"]).partition(" ")
    return name, version.strip("()") or package["Version"]


def purl(package, distro):
    """https://github.com/package-url/purl-spec, type deb. What scanners look vulnerabilities up by."""
    vendor = "virp" if package["Package"].startswith(NAME) else "debian"
    version = package["Version"].replace(":", "%3A").replace("+", "%2B").replace("~", "~")
    return f"pkg:deb/{vendor}/{package['Package'].replace('+', '%2B')}@{version}?arch={package['Architecture']}&distro={distro}"


def reference(package):
    return "SPDXRef-Package-" + SPDX_REF.sub("-", package["Package"])


def _package(package, distro, program):
    origin, version = source(package)
    ours = package["Package"] == program
    return {
        "SPDXID": reference(package),
        "name": package["Package"],
        "versionInfo": package["Version"],
        "supplier": "Organization: VIRP" if ours else "Organization: Debian",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "Apache-2.0" if ours else "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "APPLICATION" if ours else "LIBRARY",
        "sourceInfo": f"built from {origin} {version}; licence in /usr/share/doc/{package['Package']}/copyright",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl(package, distro)}],
    }


def spdx(program, packages, binary, distro, epoch):
    """The document. `packages`: paragraphs of all that is in the image; `binary`: the program's bytes; `epoch`: its time, in seconds."""
    packages = sorted(packages, key=lambda package: package["Package"])
    ours = next(package for package in packages if package["Package"] == program)
    digest = hashlib.sha256(binary).hexdigest()
    listed = "\n".join(f"{package['Package']} {package['Version']}" for package in packages) + "\n" + digest
    file = "SPDXRef-File-program"
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{program} {ours['Version']}",
        "documentNamespace": f"https://virp.invalid/spdx/{program}-{hashlib.sha256(listed.encode()).hexdigest()}",
        "creationInfo": {
            "created": datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: virp-k8s-images-sbom"],
        },
        "packages": [_package(package, distro, program) for package in packages],
        "files": [{
            "SPDXID": file,
            "fileName": f"./usr/bin/{program}",
            "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(binary).hexdigest()},
                          {"algorithm": "SHA256", "checksumValue": digest}],
            "licenseConcluded": "Apache-2.0",
            "copyrightText": "NOASSERTION",
        }],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": reference(ours)},
            {"spdxElementId": reference(ours), "relationshipType": "CONTAINS", "relatedSpdxElement": file},
        ] + [
            {"spdxElementId": reference(package), "relationshipType": "RUNTIME_DEPENDENCY_OF", "relatedSpdxElement": reference(ours)}
            for package in packages if package is not ours
        ],
    }


def write(path, document):
    with open(path, "w", encoding="utf-8") as out:
        json.dump(document, out, indent=1, sort_keys=True)
        out.write("\n")
