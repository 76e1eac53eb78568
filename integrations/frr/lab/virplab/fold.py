# SPDX-License-Identifier: GPL-2.0-or-later
"""What a router's frames say that holds: its peers, the paths that it learnt, the best path of each prefix."""


def route_of(payload):
    return payload.get("as_path", ""), payload.get("med") or 0, payload.get("nexthop")


class Fold:
    """Of one boot epoch. `contradictions`: facts that were said again and do not fit what was said before."""

    def __init__(self):
        self.peers, self.paths, self.own, self.best = {}, {}, {}, {}
        self.doubtful_paths, self.doubtful_best = set(), set()
        self.contradictions = []
        self.in_doubt = True  # an epoch begins with nothing known
        self.lost_at = 0  # number of the newest loss record

    def take(self, frame):
        payload = frame.payload
        work = getattr(self, "take_" + payload.get("event", "nothing"), None)
        if work:
            work(frame, payload)

    def restated(self, frame, known, now):
        if frame.payload.get("restated") and not self.in_doubt and known is not None and known != now:
            self.contradictions.append(f"{frame.source} {frame.sequence}: restates {now}, said before: {known}")

    def take_gap(self, frame, payload):
        if payload.get("source") == frame.source and payload.get("reason") == "OVERFLOW":
            self.doubtful_paths, self.doubtful_best = set(self.paths), set(self.best) | set(self.own)
            self.in_doubt, self.lost_at = True, frame.sequence

    def take_peer_state_change(self, frame, payload):
        peer, up = payload["peer_addr"], payload["new_state"] == "Established"
        self.restated(frame, self.peers.get(peer), up)
        self.peers[peer] = up
        if not up:
            self.paths = {key: path for key, path in self.paths.items() if key[0] != peer}

    def take_route_announce(self, frame, payload):
        local = payload["rib"] == "loc"
        table, key = (self.own, payload["prefix"]) if local else (self.paths, (payload["peer_addr"], payload["prefix"]))
        self.restated(frame, table.get(key), route_of(payload))
        table[key] = route_of(payload)
        (self.doubtful_best if local else self.doubtful_paths).discard(key)

    def take_route_withdraw(self, frame, payload):
        if payload["rib"] == "loc":
            self.own.pop(payload["prefix"], None)
        else:
            self.paths.pop((payload["peer_addr"], payload["prefix"]), None)

    def take_table_complete(self, frame, payload):
        """What was in doubt and is not said again since is not there; unless more was lost while it was said."""
        if payload.get("first_sequence", 0) <= self.lost_at:
            return
        families = [":" in prefix for prefix in payload["prefixes"]] if "prefixes" in payload else [False, True]
        gone = {key for key in self.doubtful_paths if key[0] == payload["peer_addr"] and (":" in key[1]) in families}
        for key in gone:
            self.paths.pop(key, None)
        self.doubtful_paths -= gone
        if payload.get("restated"):
            self.in_doubt = False

    def take_bestpath_change(self, frame, payload):
        prefix, old, new = payload["prefix"], payload.get("old"), payload.get("new")
        known = self.best.get(prefix)
        now = new and (new.get("peer_addr"), *route_of(new))
        was = old and (old.get("peer_addr"), *route_of(old))
        if payload.get("restated"):
            self.restated(frame, known, now)
        elif not self.in_doubt and was != known:
            self.contradictions.append(f"{frame.source} {frame.sequence}: best path of {prefix} was {was}, said before: {known}")
        self.doubtful_best.discard(prefix)
        if now:
            self.best[prefix] = now
        else:
            self.best.pop(prefix, None)
