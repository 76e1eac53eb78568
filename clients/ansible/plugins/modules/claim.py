#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: claim
short_description: Asks whether a claim about the network is backed by evidence
description:
  - Asks an O-Node of a VIRP system one claim, checks the proofs in its answer, and fails unless the verdict is C(CONFIRMED).
  - Only C(CONFIRMED) may be acted on as true. Every other verdict means that the play must not go on as if it were.
  - It changes nothing, so it says the same in check mode, as often as it is asked.
version_added: 0.1.0
author: VIRP
requirements:
  - Python 3.11 with the package C(virp-client) where the module runs; usually C(delegate_to=localhost)
options:
  onode:
    description: HOST:PORT of the O-Node.
    type: str
    required: true
  tls_certificate:
    description: PEM file, the certificate of this client; its SPIFFE id has to have the role reader, operator or approver.
    type: path
    required: true
  tls_key:
    description: PEM file, its private key.
    type: path
    required: true
  tls_roots:
    description: PEM file, the authorities of the O-Node's certificate.
    type: path
    required: true
  server:
    description: SPIFFE id that the O-Node has to have, or one that ends in C(/*) for any name of a role.
    type: str
  server_name:
    description: Name in the O-Node's certificate, where that is not the one in O(onode).
    type: str
  origin:
    description: Name of the chain; not needed where the O-Node has one.
    type: str
    default: ""
  trust:
    description:
      - Verifier keys of the chain, or files with one on a line. With them every proof in the answer is checked.
      - Without them the answer is the O-Node's word.
    type: list
    elements: str
    default: []
  seen:
    description: Folder where the largest checkpoint that was seen is kept, so that a chain that was rolled back or forked is noticed. Needs O(trust).
    type: path
  peer:
    description: Claims that a BGP peer of a router is in a state.
    type: dict
    suboptions:
      router: {description: Registered name of the router., type: str, required: true}
      address: {description: Address of the peer., type: str, required: true}
      vrf: {description: VRF., type: str, default: default}
      asn: {description: AS number of the peer; 0 for any., type: int, default: 0}
      state: {description: State of the session., type: str, default: Established}
      negate: {description: Claims that the state is another one., type: bool, default: false}
  route:
    description: Claims that a router has a route.
    type: dict
    suboptions:
      router: {description: Registered name of the router., type: str, required: true}
      prefix: {description: Prefix with length., type: str, required: true}
      rib: {description: Table., type: str, default: adj-in-pre, choices: [adj-in-pre, adj-in-post, loc, adj-out-pre, adj-out-post, best]}
      vrf: {description: VRF., type: str, default: default}
      absent: {description: Claims that there is none., type: bool, default: false}
      origin_as: {description: AS number that the path ends with; 0 for any., type: int, default: 0}
      next_hop: {description: Next hop; empty for any., type: str, default: ""}
      peer: {description: Address of the peer that it was learnt from; empty for any., type: str, default: ""}
  field:
    description: Claims that the newest observation of a subject fulfils conditions.
    type: dict
    suboptions:
      subject: {description: Subject text., type: str, required: true}
      event: {description: Value of the payload's key C(event); empty for any., type: str, default: ""}
      conditions:
        description: At most 16, all of which have to hold. Values are compared as what they are in YAML (text, integer, number, truth value).
        type: list
        elements: dict
        default: []
        suboptions:
          path: {description: Dotted path into the payload., type: str, required: true}
          operator: {description: Comparison., type: str, default: EQ, choices: [EQ, NEQ, LT, LE, GT, GE, EXISTS]}
          value: {description: What it is compared with., type: raw}
  max_age:
    description: How old the last confirmation may be, in seconds; 30 when it is not given.
    type: float
  max_event_age:
    description: How old the event itself may be, in seconds.
    type: float
  worst_tier:
    description: Worst tier that counts; C(YELLOW) when it is not given.
    type: str
    choices: [GREEN, YELLOW, RED]
  min_sources:
    description: How many independent sources have to say so; 1 when it is not given.
    type: int
    default: 0
  independence:
    description: What makes two sources distinct; C(SIGNER) when it is not given.
    type: str
    choices: [SIGNER, COLLECTOR, ROUTER]
  require_sources:
    description: Sources that have to be among the agreeing.
    type: list
    elements: str
    default: []
  exclude_sources:
    description: Sources that are not asked.
    type: list
    elements: str
    default: []
  max_dissent:
    description: How many sources may say otherwise.
    type: int
    default: 0
  chain_level:
    description: How the chain has to hold the entries that the answer rests on. With C(CHECKPOINTED) each of them comes with a proof.
    type: str
    choices: [COMMITTED, CHECKPOINTED]
  refuse_alarmed:
    description: Leaves out sources whose channel is C(ALARMED).
    type: bool
    default: false
  fail:
    description: Whether the task fails unless the verdict is C(CONFIRMED). Without it, look at RV(confirmed).
    type: bool
    default: true
  timeout:
    description: Seconds that a call may take.
    type: float
    default: 10
attributes:
  check_mode:
    support: full
    description: Asks as always; O(seen) is compared and not written.
  diff_mode:
    support: none
    description: There is nothing to show.
"""

EXAMPLES = r"""
- name: Go on only where the other uplink is up, by the word of two sources
  virp.evidence.claim:
    onode: onode.example.org:8443
    tls_certificate: /etc/virp/tls/reader.crt
    tls_key: /etc/virp/tls/reader.key
    tls_roots: /etc/virp/tls/ca.crt
    server: spiffe://example.org/onode/*
    trust: [/etc/virp/chain.keys]
    seen: /var/lib/ansible/virp
    peer: {router: edge-a, address: 192.0.2.2}
    min_sources: 2
    chain_level: CHECKPOINTED
  delegate_to: localhost

- name: Wait until the route is gone, for five minutes
  virp.evidence.claim:
    route: {router: edge-a, prefix: 203.0.113.0/24, absent: true}
  register: gone
  until: gone is succeeded
  retries: 30
  delay: 10

- name: Ask, and decide in the play
  virp.evidence.claim:
    field: {subject: dns/ns1.example.org, conditions: [{path: answer.serial, operator: GE, value: 2026112201}]}
    fail: false
  register: zone
"""

RETURN = r"""
verdict:
  description: The verdict, such as C(CONFIRMED), C(REFUTED) or C(STALE).
  type: str
  returned: when the O-Node answered
confirmed:
  description: Whether the verdict is C(CONFIRMED).
  type: bool
  returned: always
reason:
  description: Why, where the verdict has several reasons, or the reason of an error of the API.
  type: str
  returned: always
explanation:
  description: One sentence for a person.
  type: str
  returned: when the O-Node answered
proven:
  description: Sequence numbers of the entries whose proofs were checked; empty without O(trust).
  type: list
  elements: int
  returned: when the O-Node answered
answer:
  description: All that the O-Node said, without its proofs, as JSON has it.
  type: dict
  returned: when the O-Node answered
"""

import traceback
from datetime import timedelta

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from google.protobuf.json_format import MessageToDict
    from virp import client as virp_client
    from virp.errors import ApiError
    from virp.evidence import EvidenceError
    from virp.verify.v1 import verify_service_pb2 as pb

    MISSING = None
except ImportError:
    MISSING = traceback.format_exc()


def text(**more):
    return dict(type="str", **more)


ARGUMENTS = dict(
    onode=text(required=True), tls_certificate=dict(type="path", required=True), tls_key=dict(type="path", required=True, no_log=False),
    tls_roots=dict(type="path", required=True), server=text(), server_name=text(), origin=text(default=""),
    trust=dict(type="list", elements="str", default=[]), seen=dict(type="path"),
    peer=dict(type="dict", options=dict(
        router=text(required=True), address=text(required=True), vrf=text(default="default"), asn=dict(type="int", default=0),
        state=text(default="Established"), negate=dict(type="bool", default=False))),
    route=dict(type="dict", options=dict(
        router=text(required=True), prefix=text(required=True),
        rib=text(default="adj-in-pre", choices=["adj-in-pre", "adj-in-post", "loc", "adj-out-pre", "adj-out-post", "best"]), vrf=text(default="default"),
        absent=dict(type="bool", default=False), origin_as=dict(type="int", default=0), next_hop=text(default=""), peer=text(default=""))),
    field=dict(type="dict", options=dict(
        subject=text(required=True), event=text(default=""), conditions=dict(type="list", elements="dict", default=[], options=dict(
            path=text(required=True), operator=text(default="EQ", choices=["EQ", "NEQ", "LT", "LE", "GT", "GE", "EXISTS"]), value=dict(type="raw"))))),
    max_age=dict(type="float"), max_event_age=dict(type="float"), worst_tier=text(choices=["GREEN", "YELLOW", "RED"]), min_sources=dict(type="int", default=0),
    independence=text(choices=["SIGNER", "COLLECTOR", "ROUTER"]), require_sources=dict(type="list", elements="str", default=[]),
    exclude_sources=dict(type="list", elements="str", default=[]), max_dissent=dict(type="int", default=0), chain_level=text(choices=["COMMITTED", "CHECKPOINTED"]),
    refuse_alarmed=dict(type="bool", default=False), fail=dict(type="bool", default=True), timeout=dict(type="float", default=10),
)


def condition(given):
    out = pb.FieldCondition(path=given["path"], operator=pb.FieldCondition.Operator.Value("OPERATOR_" + given["operator"]))
    value = given["value"]
    if isinstance(value, bool):
        out.bool_value = value
    elif isinstance(value, int):
        out.integer_value = value
    elif isinstance(value, float):
        out.number_value = value
    elif value is not None:
        out.string_value = str(value)
    return out


def claim_of(given):
    if given["peer"]:
        peer = given["peer"]
        return virp_client.peer_claim(peer["router"], peer["address"], state=peer["state"], negate=peer["negate"], peer_as=peer["asn"], vrf=peer["vrf"])
    if given["route"]:
        route = given["route"]
        return virp_client.route_claim(
            route["router"], route["prefix"], rib=route["rib"], absent=route["absent"], origin_as=route["origin_as"], next_hop=route["next_hop"],
            peer_address=route["peer"], vrf=route["vrf"])
    field = given["field"]
    return pb.Claim(field=pb.FieldClaim(subject=field["subject"], event=field["event"], conditions=[condition(one) for one in field["conditions"]]))


def acceptance_of(given):
    return virp_client.acceptance(
        max_age=None if given["max_age"] is None else timedelta(seconds=given["max_age"]),
        max_event_age=None if given["max_event_age"] is None else timedelta(seconds=given["max_event_age"]),
        worst_tier=given["worst_tier"] or "", min_sources=given["min_sources"], independence=given["independence"] or "",
        require_sources=given["require_sources"], exclude_sources=given["exclude_sources"], max_dissent=given["max_dissent"],
        chain_level=given["chain_level"] or "", refuse_alarmed=given["refuse_alarmed"])


def ask(module):
    given = module.params
    files = virp_client.TlsFiles(given["tls_certificate"], given["tls_key"], given["tls_roots"])
    with virp_client.Client(given["onode"], files, server=given["server"], server_name=given["server_name"], origin=given["origin"], trust=given["trust"],
                            seen=given["seen"], timeout=given["timeout"], read_only=module.check_mode) as asker:
        answer = asker.verify_claim(claim_of(given), acceptance_of(given))
        proven = sorted(item.entry.sequence for item in asker.check_proofs(answer)) if asker.keys else []
    del answer.proofs[:]
    verdict = virp_client.verdict_of(answer)
    return dict(changed=False, verdict=verdict, confirmed=answer.verdict == pb.VERDICT_CONFIRMED, reason=answer.reason, explanation=answer.explanation,
                proven=proven, answer=MessageToDict(answer))


def main():
    forms = ("peer", "route", "field")
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True, mutually_exclusive=[forms], required_one_of=[forms],
                           required_by=dict(seen=("trust",)))
    if MISSING:
        module.fail_json(msg=missing_required_lib("virp-client"), exception=MISSING, confirmed=False, reason="")
    try:
        result = ask(module)
    except ApiError as error:
        module.fail_json(msg="%s: %s" % (module.params["onode"], error), confirmed=False, reason=error.reason or error.code)
    except EvidenceError as error:
        module.fail_json(msg="the evidence does not hold: %s" % error, confirmed=False, reason="BROKEN_EVIDENCE")
    except (OSError, ValueError) as error:
        module.fail_json(msg="%s: %s" % (module.params["onode"], error), confirmed=False, reason="NOT_ASKED")
    if module.params["fail"] and not result["confirmed"]:
        because = " (%s)" % result["reason"] if result["reason"] else ""
        module.fail_json(msg="not confirmed: %s%s: %s" % (result["verdict"], because, result["explanation"]), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
