# SPDX-License-Identifier: GPL-2.0-or-later
"""The chain against what each bgpd itself reported: nothing missing, nothing invented. A finding is a sentence."""
import collections
import dataclasses

from virplab.fold import Fold, route_of

GREEN, YELLOW, RED = 0, 1, 2
STATUS, DOWN, PROCESS, ROUTE_UPDATE, GAP, HEARTBEAT = 1, 2, 3, 4, 22, 24
LAST_MOMENT = 1_000_000_000  # ns; what happens in it before a session or a bgpd ends may go with it


@dataclasses.dataclass
class Step:
    """One thing that became of a session or of a path, as a log or as frames tell it."""

    time_ns: int
    what: tuple


def is_last_word(frame):
    """A module that ends says so: version 2 by a beat that it is not connected, version 1 by a loss record for the next number."""
    ends = frame.payload.get("reason") == "SHUTDOWN" and frame.payload["from"] == frame.sequence + 1
    return ends or frame.payload.get("sources", [{}])[0].get("connected") is False


def next_hop_of(path):
    return next((each["ip"] for each in path["nexthops"] if each.get("scope", "global") == "global"), None)


class Comparison:
    def __init__(self, lab, day, chain, logs, samples):
        self.lab, self.day, self.chain = lab, day, chain
        self.logs, self.all_samples = logs, samples  # logs: what bgplog.read gave, by router
        self.ended = True  # every router has said its last word
        self.findings = []
        self.counts = collections.Counter()

    def find(self, text):
        self.findings.append(text)

    def run(self):
        for source in sorted(self.chain.frames):
            self.numbers(source)
        for bgpd in self.lab.routers.values():
            self.router(bgpd)
        self.flags_and_keys()
        return self.findings

    # ---- numbers: each is there, or somebody signed that it is not

    def gaps(self, frames, source, epoch):
        return [(frame.payload["from"], frame.payload["to"]) for frame in frames
                if frame.kind == GAP and frame.payload.get("source") == source and frame.payload.get("epoch", epoch) == epoch]

    def numbers(self, source):
        by_epoch = self.chain.epochs(source)
        killed = self.kills_of(source)
        for epoch, frames in by_epoch.items():
            there = {frame.sequence for frame in frames}
            if len(there) != len(frames):
                self.find(f"{source}: a number is there twice in epoch {epoch}")
            signed = self.gaps(self.chain.frames[source], source, epoch)  # also by a later run: what this one could not send
            for number in set(range(1, max(there) + 1)) - there:
                if any(begin <= number <= end for begin, end in signed):
                    self.counts["numbers lost, each signed for"] += 1
                else:
                    self.find(f"{source}: number {number} of epoch {epoch} is missing and no loss record names it")
            for begin, end in self.gaps(self.chain.own, source, epoch):
                covered = all(any(a <= number <= b for a, b in signed) for number in range(begin, end + 1))
                if not covered and not any(frames[-1].time_ns < kill < frames[-1].time_ns + 12 * LAST_MOMENT for kill in killed):
                    self.find(f"{source}: the O-Node misses {begin} to {end} of epoch {epoch}")
                elif not covered:
                    self.counts["numbers that died with a killed bgpd, said by the O-Node"] += end - begin + 1

    def kills_of(self, source):
        return next((bgpd.kills for bgpd in self.lab.routers.values() if bgpd.router.source == source), [])

    # ---- one router

    def router(self, bgpd):
        frames = self.chain.frames.get(bgpd.router.source, [])
        off = [(begin, end) for name, begin, end in self.day.figures.get("off", []) if name == bgpd.name]
        log = [said for said in self.logs[bgpd.name] if not any(begin <= said.time_ns <= end for begin, end in off)]
        for life, begin in enumerate(bgpd.starts):
            end = bgpd.starts[life + 1] if life + 1 < len(bgpd.starts) else 1 << 63
            kill = next((kill for kill in bgpd.kills if begin < kill < end), None)
            logged = [said for said in log if begin <= said.time_ns < end]
            spoken = [frame for frame in frames if begin <= frame.time_ns < end]
            self.sessions(bgpd, logged, spoken, kill)
            self.routes(bgpd, logged, spoken, kill)
            self.samples(bgpd, life + 1, spoken)
            self.last_word(bgpd, life + 1, spoken, kill)
        self.tiers(bgpd, frames)

    def sessions(self, bgpd, logged, spoken, kill):
        wanted, got = collections.defaultdict(list), collections.defaultdict(list)
        for said in logged:
            if said.what in ("up", "down"):
                wanted[said.peer].append(Step(said.time_ns, (said.what,)))
        for frame in spoken:
            payload = frame.payload
            if frame.kind == STATUS and not payload.get("restated"):
                if payload["new_state"] == "Established":
                    got[payload["peer_addr"]].append(Step(frame.time_ns, ("up",)))
                elif payload["old_state"] == "Established":
                    got[payload["peer_addr"]].append(Step(frame.time_ns, ("down",)))
        downs = collections.Counter(frame.payload["peer_addr"] for frame in spoken
                                    if frame.kind == DOWN and frame.payload["last_state"] == "Established")
        for peer in wanted.keys() | got.keys():
            self.align(f"{bgpd.name}: session to {peer}", wanted[peer], got[peer], kill)
            self.counts["sessions that came or went"] += len(got[peer])
            losses = sum(step.what == ("down",) for step in got[peer])
            if downs[peer] != losses:
                self.find(f"{bgpd.name}: {losses} losses of {peer} in type 1, {downs[peer]} in type 2")

    def align(self, what, wanted, got, end, lost=0):
        """Equal lists; of a life or a session that ended the last moment may be missing. Returns what `lost` was needed for."""
        if [step.what for step in wanted] == [step.what for step in got]:
            apart = [abs(one.time_ns - other.time_ns) // 1_000_000 for one, other in zip(wanted, got)]
            self.counts["largest difference in time, ms"] = max([self.counts["largest difference in time, ms"], *apart])
            return 0
        missing, rest = [], iter(got)
        at = next(rest, None)
        for step in wanted:
            if at is not None and step.what == at.what:
                at = next(rest, None)
            else:
                missing.append(step)
        if at is not None:
            self.find(f"{what}: the chain says {at.what} at {at.time_ns}, bgpd's log does not")
            return 0
        if end is not None and all(step.time_ns > end - LAST_MOMENT for step in missing):
            self.counts["things that went with a session or a bgpd that ended"] += len(missing)
            return 0
        if len(missing) <= lost:
            return len(missing)
        self.find(f"{what}: bgpd's log has {missing[0].what} at {missing[0].time_ns}, the chain does not ({len(missing)} missing)")
        return 0

    # ---- routes, one path after the other, between two losses of its session

    @staticmethod
    def parts_of_log(logged):
        """Steps of each path by (peer, prefix), a list for each time that the session was up; and when these ended."""
        parts, present, downs = collections.defaultdict(lambda: [[]]), set(), collections.defaultdict(list)
        for said in logged:
            key = said.peer, said.prefix
            if said.what == "down":
                downs[said.peer].append(said.time_ns)
                present = {each for each in present if each[0] != said.peer}
            elif said.what == "repeat" and key in present:
                continue
            elif said.what in ("announce", "repeat", "withdraw"):  # repeated, after its session was lost: news all the same
                steps = parts[key]
                steps.extend([] for _ in range(len(downs[said.peer]) + 1 - len(steps)))
                if said.what != "withdraw":
                    steps[-1].append(Step(said.time_ns, ("announce", said.as_path, said.med)))
                    present.add(key)
                elif key in present:
                    steps[-1].append(Step(said.time_ns, ("withdraw",)))
                    present.discard(key)
        return parts, downs

    @staticmethod
    def parts_of_frames(spoken):
        parts, downs = collections.defaultdict(lambda: [[]]), collections.Counter()
        for frame in spoken:
            payload = frame.payload
            if frame.kind == STATUS and payload["old_state"] == "Established" and not payload.get("restated"):
                downs[payload["peer_addr"]] += 1
            if frame.kind != PROCESS or payload.get("restated") or payload.get("rib") != "adj-in-post" or "prefix" not in payload:
                continue
            steps = parts[payload["peer_addr"], payload["prefix"]]
            steps.extend([] for _ in range(downs[payload["peer_addr"]] + 1 - len(steps)))
            as_path, med, _ = route_of(payload)
            steps[-1].append(Step(frame.time_ns, ("announce", as_path, med) if payload["event"] == "route_announce" else ("withdraw",)))
        return parts

    def routes(self, bgpd, logged, spoken, kill):
        wanted, downs = self.parts_of_log(logged)
        got = self.parts_of_frames(spoken)
        lost = sum(frame.payload["to"] - frame.payload["from"] + 1 for frame in spoken if frame.kind == GAP)
        needed = 0
        for key in wanted.keys() | got.keys():
            one, other = wanted[key], got[key]
            for part in range(max(len(one), len(other))):
                ends = downs[key[0]][part] if part < len(downs[key[0]]) else kill
                steps = other[part] if part < len(other) else []
                needed += self.align(f"{bgpd.name}: {key[1]} from {key[0]}", one[part] if part < len(one) else [], steps, ends, lost - needed)
                self.counts["routes announced or withdrawn"] += len(steps)
        self.counts["of the lost: routes"] += needed

    # ---- tables

    def samples(self, bgpd, life, spoken):
        wanted = [sample for sample in self.all_samples if (sample.router, sample.life) == (bgpd.name, life)]
        fold, epoch, at = Fold(), None, 0
        for sample in wanted:
            while at < len(spoken) and self.before(spoken[at], sample, bgpd):
                if spoken[at].epoch != epoch:
                    self.findings += fold.contradictions
                    fold, epoch = Fold(), spoken[at].epoch
                fold.take(spoken[at])
                at += 1
            self.sample(bgpd, sample, fold)
        for frame in spoken[at:]:
            fold.take(frame)
        self.findings += fold.contradictions

    @staticmethod
    def before(frame, sample, bgpd):
        epoch = sample.epoch if bgpd.router.version == 2 else frame.epoch
        return (frame.epoch, frame.sequence) <= (epoch, sample.sequence)

    def sample(self, bgpd, sample, fold):
        up = {peer for peer, state in fold.peers.items() if state}
        if up != sample.peers:
            self.find(f"{bgpd.name} after {sample.label}: sessions {sorted(sample.peers)}, the chain says {sorted(up)}")
        shown_paths, shown_best, stale = {}, {}, set()
        for prefix, paths in sample.table.items():
            for path in paths:
                route = path.get("path", ""), path.get("metric", 0), next_hop_of(path)
                peer = path["peerId"]
                if path.get("stale"):  # of a session that was lost, or about to be sent again: may be said or not
                    stale.add((peer, prefix))
                if peer != "(unspec)":
                    shown_paths[peer, prefix] = route
                if path.get("bestpath"):
                    shown_best[prefix] = ("0.0.0.0" if peer == "(unspec)" else peer, *route)
        self.equal(f"{bgpd.name} after {sample.label}: path", shown_paths, fold.paths, stale)
        self.equal(f"{bgpd.name} after {sample.label}: best path", shown_best, fold.best, fold.doubtful_best)
        self.counts["paths and best paths compared"] += len(shown_paths) + len(shown_best)

    def equal(self, what, shown, said, doubtful):
        wrong = [key for key in shown.keys() | said.keys() if shown.get(key) != said.get(key) and not (key in doubtful and (key not in shown or key not in said))]
        if wrong:
            key = sorted(wrong, key=str)[0]
            self.find(f"{what} of {key}: bgpd shows {shown.get(key)}, the chain says {said.get(key)} ({len(wrong)} such)")

    # ---- tiers, keys, ends

    def last_word(self, bgpd, life, spoken, kill):
        if not spoken:
            self.find(f"{bgpd.name}: the chain has nothing of one of its lives")
        elif kill is None and (self.ended or life < len(bgpd.starts)):
            if not is_last_word(spoken[-1]):
                self.find(f"{bgpd.name}: its last frame is no last word: {spoken[-1].payload}")

    def tiers(self, bgpd, frames):
        owner, protected = self.lab.topology.owner, self.lab.topology.protected
        for frame in frames:
            payload, tier = frame.payload, GREEN
            if frame.kind == STATUS and payload["old_state"] == "Established" and not payload.get("restated"):
                tier = YELLOW
            elif frame.kind in (DOWN, GAP) or frame.kind == HEARTBEAT and frame.tier == YELLOW:
                tier = YELLOW
            elif frame.kind in (PROCESS, ROUTE_UPDATE) and self.is_protected(payload.get("prefix"), protected):
                tier = self.protected_tier(bgpd, payload, owner)
            if tier is not None and frame.tier != tier:
                self.find(f"{bgpd.name}: number {frame.sequence} has tier {frame.tier}, {tier} expected: {payload}")
            self.counts["RED frames"] += frame.tier == RED

    @staticmethod
    def is_protected(prefix, protected):
        return prefix is not None and prefix.split("/")[0] == protected.split("/")[0]

    @staticmethod
    def protected_tier(bgpd, payload, owner):
        """None: depends on whether another path remains."""
        if payload["event"] == "bestpath_change":
            payload = payload["new"] or {}
            if not payload:
                return RED
        elif payload["event"] == "route_withdraw":
            return None
        path = payload.get("as_path", "").split()
        return GREEN if int(path[-1] if path else bgpd.router.asn) == owner.asn else RED

    def flags_and_keys(self):
        for source, frames in self.chain.frames.items():
            for frame in frames:
                if frame.flags:
                    self.find(f"{source}: entry {frame.entry} has flags {frame.flags}")
        for source, last in self.day.figures.get("rolled", {}).items():
            versions = [frame.key_version for frame in self.chain.frames[source]]
            if versions != sorted(versions) or set(versions) != set(range(1, last + 1)):
                self.find(f"{source}: its key was rolled to version {last}, the chain has {sorted(set(versions))} and not one after the other")
        origin = any(frame.payload.get("red_rule") == "protected_prefix_origin" for frames in self.chain.frames.values() for frame in frames)
        if origin != ("hijack" in self.day.figures):
            self.find("another origin is RED where there was no hijack, or is not where there was one")
