"""The table of connections of docs/ARCHITECTURE.md, as a function of the values: (from, to, port) of every connection that may be made to or from a
pod of the release. Nothing here looks at the chart's templates."""
GRPC = {"onode": 8443, "collector": 8444, "keymgr": 8445, "rtr-bridge": 8446}
ADMIN = {"onode": 9443, "collector": 9444, "keymgr": 9445, "rtr-bridge": 9446}
KEYS = {"onode": "onode", "collector": "collector", "keymgr": "keymgr", "rtr-bridge": "rtrBridge"}
DATABASE = 5432


def arrows(values):
    on = {part for part, key in KEYS.items() if values[key]["enabled"]}
    bridge, out = values["rtrBridge"], set()

    # Everybody resolves names; Prometheus, and nobody else, reads metrics.
    jobs = {f"{part}-migrate" for part in ("onode", "keymgr")
            if part in on and values["migrations"]["enabled"] and values[part]["database"]["mode"] != "sqlite"}
    if "onode" in on and values["onode"]["archive"]["enabled"]:
        jobs.add("onode-archive")
    testers = {"test"} if values["tests"]["enabled"] and "onode" in on else set()
    out |= {(part, "dns", 53) for part in on | jobs | testers}
    out |= {("prometheus", part, ADMIN[part]) for part in on}

    # Evidence goes to the O-Node, and who asks asks there.
    evidence = "rtr-bridge" in on and bridge["evidence"]
    deliverers = (on & {"collector", "keymgr"}) | ({"rtr-bridge"} if evidence else set())
    if "onode" in on:
        out |= {(part, "onode", GRPC["onode"]) for part in deliverers | testers}
    elif values["external"]["onodes"]:
        out |= {(part, "core", GRPC["onode"]) for part in deliverers}

    # Keys and feeds come from the key manager.
    keyed = {part for part in on & {"onode", "collector"} if values[part]["useKeyManager"]}
    if evidence and bridge["useKeyManager"]:
        keyed.add("rtr-bridge")
    if "rtr-bridge" in on and any(source["location"].startswith("keymgr:") for source in bridge["sources"]):
        keyed.add("rtr-bridge")
    if "keymgr" in on:
        out |= {(part, "keymgr", GRPC["keymgr"]) for part in keyed}
    elif values["external"]["keyManagers"]:
        out |= {(part, "core", GRPC["keymgr"]) for part in keyed}

    # The database is for those that keep something in it, and for their migrations.
    for part in on & {"onode", "keymgr"}:
        users = {part} | ({f"{part}-migrate", f"{part}-archive"} & jobs)
        mode = values[part]["database"]["mode"]
        if mode == "cloudNativePG":
            out |= {(user, "database", DATABASE) for user in users}
        elif mode == "existingSecret":
            out |= {(user, "database-outside", values["networkPolicy"]["databasePort"]) for user in users}
    if values["cloudNativePG"]["enabled"]:
        out |= {("database", "database", DATABASE), ("database", "database", 8000), ("operator", "database", DATABASE),
                ("operator", "database", 8000), ("prometheus", "database", 9187)}

    # People and programs that values name. `asker` stands for what a scenario names in `clients`.
    out |= {("asker", part, GRPC[part]) for part in on if values[KEYS[part]]["clients"]}

    # Routers.
    if "collector" in on:
        service = values["collector"]["routerService"]
        ranges = service["enabled"] and service["loadBalancerSourceRanges"]
        out |= {("router", "collector", port["port"]) for port in values["collector"]["routerPorts"] if port.get("from") or ranges}
    if "rtr-bridge" in on and (bridge["routerPeers"] or bridge["routerService"]["loadBalancerSourceRanges"]):
        out |= {("router", "rtr-bridge", port) for name, port in (("tcp", 8282), ("tls", 8283), ("ssh", 8284)) if bridge["rtr"][name]["enabled"]}
    if "keymgr" in on and values["keymgr"]["est"]["enabled"]:
        out.add(("router", "keymgr", values["keymgr"]["est"]["port"]))
    if "rtr-bridge" in on and bridge["http"]["enabled"]:
        out.add(("reader", "rtr-bridge", bridge["http"]["port"]))

    # Validators, and a token in the network.
    if "rtr-bridge" in on and bridge["sourceEgress"]:
        out.add(("rtr-bridge", "validator", 443))
    if "keymgr" in on and values["keymgr"]["token"]["enabled"] and values["keymgr"]["token"]["egress"]:
        out.add(("keymgr", "token", 1792))
    return out
