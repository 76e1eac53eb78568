"""Asks an O-Node whether a claim is backed by evidence, and checks what it shows.

    with Client("onode.example:8443", files, trust=["chain.keys"], seen="/var/lib/me/seen") as client:
        with client.act_only_on_confirmed(peer_claim("edge-a", "192.0.2.2")) as answer:
            drain_the_other_link()

Only VERDICT_CONFIRMED may be acted on as true (docs/claims.md)."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from types import TracebackType

import grpc

from virp.chain.v1 import chain_service_pb2 as chain_pb
from virp.chain.v1 import chain_service_pb2_grpc as chain_grpc
from virp.errors import ApiError, api_error
from virp.evidence import EvidenceError, ProvenEntry, VerifierKey, open_checkpoint, read_trust, verify_proof
from virp.kept import CheckpointStore
from virp.tls import TlsFiles, open_channel
from virp.verify.v1 import verify_service_pb2 as verify_pb
from virp.verify.v1 import verify_service_pb2_grpc as verify_grpc

CONFIRMED = "CONFIRMED"


class NotConfirmed(Exception):
    """The claim must not be acted on. `verdict` and `reason` as in docs/claims.md, `answer` is all that the O-Node said."""

    def __init__(self, answer: verify_pb.ClaimAnswer) -> None:
        self.answer = answer
        self.verdict = verdict_of(answer)
        self.reason = answer.reason
        super().__init__(f"{self.verdict}{f' ({self.reason})' if self.reason else ''}: {answer.explanation}")


def verdict_of(answer: verify_pb.ClaimAnswer) -> str:
    """CONFIRMED, REFUTED, ...; a verdict that this client does not know, as a number."""
    try:
        return verify_pb.Verdict.Name(answer.verdict).removeprefix("VERDICT_")
    except ValueError:
        return str(int(answer.verdict))


def confirmed(answer: verify_pb.ClaimAnswer) -> verify_pb.ClaimAnswer:
    """The answer itself when it is CONFIRMED; raises NotConfirmed for every other verdict, those of later versions included."""
    if answer.verdict != verify_pb.VERDICT_CONFIRMED:
        raise NotConfirmed(answer)
    return answer


def peer_claim(router: str, peer_address: str, *, state: str = "", negate: bool = False, peer_as: int = 0, vrf: str = "") -> verify_pb.Claim:
    """This peer of this router is (or, with negate, is not) in this state; Established when none is given."""
    return verify_pb.Claim(peer=verify_pb.PeerClaim(router=router, vrf=vrf, peer_address=peer_address, peer_as=peer_as, state=state, negate=negate))


def route_claim(router: str, prefix: str, *, rib: str = "", absent: bool = False, origin_as: int = 0, next_hop: str = "", peer_address: str = "", vrf: str = "") -> verify_pb.Claim:
    """This router has (or, with absent, has not) a route to this prefix."""
    return verify_pb.Claim(route=verify_pb.RouteClaim(
        router=router, vrf=vrf, rib=rib, prefix=prefix, absent=absent, origin_as=origin_as, next_hop=next_hop, peer_address=peer_address))


def acceptance(*, max_age: timedelta | None = None, max_event_age: timedelta | None = None, worst_tier: str = "", min_sources: int = 0,
               independence: str = "", require_sources: Iterable[str] = (), exclude_sources: Iterable[str] = (), max_dissent: int = 0,
               chain_level: str = "", refuse_alarmed: bool = False) -> verify_pb.Acceptance:
    """What the asker accepts; names as in docs/claims.md, without prefix: worst_tier RED, independence SIGNER, chain_level CHECKPOINTED."""
    out = verify_pb.Acceptance(min_sources=min_sources, require_sources=require_sources, exclude_sources=exclude_sources, max_dissent=max_dissent,
                               refuse_alarmed=refuse_alarmed)
    if max_age is not None:
        out.max_age.FromTimedelta(max_age)
    if max_event_age is not None:
        out.max_event_age.FromTimedelta(max_event_age)
    if worst_tier:
        out.MergeFrom(verify_pb.Acceptance(worst_tier=f"TIER_{worst_tier}"))
    if independence:
        out.MergeFrom(verify_pb.Acceptance(independence=f"INDEPENDENCE_{independence}"))
    if chain_level:
        out.MergeFrom(verify_pb.Acceptance(chain_level=f"CHAIN_LEVEL_{chain_level}"))
    return out


class Client:
    """One O-Node. Thread-safe. Calls raise ApiError; answers whose proofs do not hold raise EvidenceError.

    `server`: SPIFFE id that the O-Node must have, as of virp.tls.check_server; None looks at its certificate's name only.
    `trust`: verifier keys of the chain, or files of them. Without any, proofs are not looked at: then an answer is the O-Node's word.
    `seen`: folder of the largest checkpoint that was ever seen (virp.kept); needs `trust`. With `read_only` nothing is written there."""

    def __init__(self, target: str, files: TlsFiles, *, server: str | None = None, server_name: str | None = None, origin: str = "",
                 trust: Iterable[str] = (), seen: str | os.PathLike[str] | None = None, read_only: bool = False, timeout: float = 10) -> None:
        items = list(trust)
        self.keys: Sequence[VerifierKey] = read_trust(items) if items else ()
        if seen is not None and not self.keys:
            raise ValueError("a folder of seen checkpoints needs the keys that these are signed by")
        self.seen = CheckpointStore(seen, read_only) if seen is not None else None
        self.origin = origin
        self.timeout = timeout
        self.channel = open_channel(target, files, server, server_name, timeout)
        self.verify = verify_grpc.VerifyServiceStub(self.channel)
        self.chain = chain_grpc.ChainServiceStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def verify_claim(self, claim: verify_pb.Claim, accept: verify_pb.Acceptance | None = None, *, at_least_size: int = 0) -> verify_pb.ClaimAnswer:
        """One answer, whatever its verdict. With `trust`, every proof in it is checked, and its checkpoints against those seen before; and
        who asked for CHECKPOINTED takes CONFIRMED only with a proof of every entry that it rests on, whatever level the answer claims."""
        request = verify_pb.VerifyClaimRequest(origin=self.origin, claim=claim, acceptance=accept, at_least_size=at_least_size, omit_proofs=not self.keys)
        try:
            answer = self.verify.VerifyClaim(request, self.timeout).answer
        except grpc.RpcError as error:
            raise api_error(error) from None
        if self.keys:
            proven = self.check_proofs(answer)
            if accept is not None and accept.chain_level >= verify_pb.CHAIN_LEVEL_CHECKPOINTED and answer.verdict == verify_pb.VERDICT_CONFIRMED:
                _need_proof(answer, proven, max(1, accept.min_sources))
        return answer

    def check_proofs(self, answer: verify_pb.ClaimAnswer) -> list[ProvenEntry]:
        """The entries that the answer proves. EvidenceError when a proof does not hold, is of another chain or of an entry that the answer
        does not rest on; when it lacks one although the answer says CHECKPOINTED; when the chain is not the one seen before."""
        proven = [verify_proof(text, self.keys) for text in answer.proofs]
        if any(item.checkpoint.origin != answer.origin for item in proven) or (self.origin and answer.origin != self.origin):
            raise EvidenceError(f"the answer is of chain {answer.origin!r}, its proofs or the question are not")
        named = {entry for opinion in answer.opinions for entry in opinion.entries}
        shown = {item.entry.sequence for item in proven}
        if shown - named:
            raise EvidenceError(f"proofs of entries that the answer does not rest on: {sorted(shown - named)}")
        rests_on = {entry for opinion in answer.opinions if opinion.counted for entry in opinion.entries}
        if answer.chain_level >= verify_pb.CHAIN_LEVEL_CHECKPOINTED and rests_on - shown:
            raise EvidenceError(f"the answer rests on checkpointed entries that it does not prove: {sorted(rests_on - shown)}")
        if self.seen is not None and proven:
            largest = max((item.checkpoint for item in proven), key=lambda checkpoint: checkpoint.size)
            self.seen.see(largest, self.keys, self._consistency(answer.origin))
        return proven

    def watch_checkpoint(self) -> int:
        """Fetches the chain's largest checkpoint and holds it against the one seen before, which it replaces. Its size."""
        if self.seen is None:
            raise ValueError("there is no folder of seen checkpoints")
        try:
            note = self.chain.GetCheckpoint(chain_pb.GetCheckpointRequest(origin=self.origin), self.timeout).note
        except grpc.RpcError as error:
            raise api_error(error) from None
        checkpoint = open_checkpoint(note, self.keys)
        self.seen.see(checkpoint, self.keys, self._consistency(checkpoint.origin))
        return checkpoint.size

    @contextlib.contextmanager
    def act_only_on_confirmed(self, claim: verify_pb.Claim, accept: verify_pb.Acceptance | None = None) -> Iterator[verify_pb.ClaimAnswer]:
        """Its body runs only when the claim is CONFIRMED; otherwise NotConfirmed says why not."""
        yield confirmed(self.verify_claim(claim, accept))

    def _consistency(self, origin: str) -> _Consistency:
        return _Consistency(self, origin)


def _need_proof(answer: verify_pb.ClaimAnswer, proven: list[ProvenEntry], sources: int) -> None:
    """Of a CONFIRMED answer: enough sources agree, each by proven entries, the first of which is its own."""
    entries = {item.entry.sequence: item.entry for item in proven}
    agreeing = [opinion for opinion in answer.opinions if opinion.counted and opinion.says == verify_pb.SourceOpinion.SAYS_AGREES]
    if len({opinion.source for opinion in agreeing}) < sources:
        raise EvidenceError(f"CONFIRMED by {len(agreeing)} sources where {sources} were asked for")
    for opinion in agreeing:
        missing = [entry for entry in opinion.entries if entry not in entries]
        if missing or not opinion.entries:
            raise EvidenceError(f"what {opinion.source} says is not proven: entries {missing}")
        if entries[opinion.entries[0]].source_prefix != hashlib.sha256(opinion.source.encode()).digest()[:8]:
            raise EvidenceError(f"entry {opinion.entries[0]} is not of {opinion.source}")


class _Consistency:
    """Fetches a proof from one size to a larger one."""

    def __init__(self, client: Client, origin: str) -> None:
        self.client, self.origin = client, origin

    def __call__(self, old_size: int, new_size: int) -> Sequence[bytes]:
        request = chain_pb.GetConsistencyProofRequest(origin=self.origin, old_size=old_size, new_size=new_size)
        try:
            return tuple(self.client.chain.GetConsistencyProof(request, self.client.timeout).path)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.OUT_OF_RANGE:
                raise EvidenceError(f"chain {self.origin} was rolled back: {new_size} entries were signed before, the O-Node has fewer") from None
            raise api_error(error) from None


__all__ = ["ApiError", "Client", "EvidenceError", "NotConfirmed", "TlsFiles", "acceptance", "confirmed", "peer_claim", "route_claim", "verdict_of"]
