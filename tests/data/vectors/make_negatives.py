#!/usr/bin/python3
"""Writes negatives.json: what each primitive of lib/crypto must refuse, and beside it what it must take.

After the manner of Wycheproof: every case says what is odd about it. Forgeries are made with the private keys by plain
arithmetic in here, and python3-cryptography (not the code under test) says that the valid cases are valid. The output
depends on this file alone: keys and nonces are hashes of their names. None of the keys is used for anything else.
"""
import hashlib
import hmac
import json
import math
import pathlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import cmac, hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, aead, algorithms, modes

from handmade import (B, G, L, N, P, Q, ecdsa_sign, ed_base, ed_bytes, ed_multiply, flipped, integer, multiply, number,
                      point_bytes, prime, recover_x, seed, signature, tlv)


# ---- Signatures ----

def ecdsa_cases():
    private = number("p256 key", N)
    public = point_bytes(multiply(private))
    other = point_bytes(multiply(number("another p256 key", N)))
    digest = hashlib.sha256(b"an UPDATE").digest()
    # Numbers whose top bit is set need a zero octet in front, others must have none: both kinds have to occur.
    for i in range(1000):
        r, s = ecdsa_sign(private, digest, number(f"k{i}", N))
        if r >> 255 == 1 and s >> 255 == 1:
            break
    for i in range(1000):
        low_r, low_s = ecdsa_sign(private, digest, number(f"l{i}", N))
        if low_r >> 255 == 0 and low_s >> 255 == 0:
            break
    good = signature(r, s)
    raw = r.to_bytes(32, "big")
    cases = [("as it should be", good, True), ("both numbers without a zero octet", signature(low_r, low_s), True),
             ("s replaced by n - s: ECDSA allows it", signature(r, N - s), True)]
    bad = {
        "r is 0": signature(0, s), "s is 0": signature(r, 0), "both are 0": signature(0, 0),
        "both are 1": signature(1, 1), "r is n": signature(N, s), "s is n": signature(r, N),
        "r is n + 1": signature(N + 1, s), "r + n": signature(r + N, s), "s + n": signature(r, s + N),
        "r is p": signature(P, s), "r - n, negative": signature(r - N, s), "s - n, negative": signature(r, s - N),
        "r and s swapped": signature(s, r), "-r": signature(-r, s), "-s": signature(r, -s),
        "r + 1": signature(r + 1, s), "s + 1": signature(r, s + 1), "r of 2,000 bits": signature(r + (1 << 2000), s),
        "the numbers as 64 octets, no DER": raw + s.to_bytes(32, "big"),
        "r without its zero octet: negative": tlv(0x30, tlv(2, raw) + integer(s)),
        "r with a zero octet too many": tlv(0x30, tlv(2, b"\0\0" + raw) + integer(s)),
        "s with a zero octet that it does not need":
            tlv(0x30, integer(low_r) + tlv(2, b"\0" + low_s.to_bytes(32, "big"))),
        "the sequence's length in long form": signature(r, s, form="long"),
        "the sequence's length in long form with a zero octet": signature(r, s, form="padded"),
        "a sequence of indefinite length": signature(r, s, form="indefinite"),
        "r's length in long form": tlv(0x30, tlv(2, b"\0" + raw, "long") + integer(s)),
        "s's length in long form": tlv(0x30, integer(r) + tlv(2, b"\0" + s.to_bytes(32, "big"), "long")),
        "an octet behind the sequence": good + b"\0", "an element behind the sequence": good + b"\x05\0",
        "an octet within, behind s": tlv(0x30, integer(r) + integer(s) + b"\0"),
        "a NULL within, behind s": tlv(0x30, integer(r) + integer(s) + b"\x05\0"),
        "a third number": tlv(0x30, integer(r) + integer(s) + integer(0)), "r alone": tlv(0x30, integer(r)),
        "an empty sequence": tlv(0x30, b""), "nothing": b"", "one octet": b"\x30",
        "a SET": tlv(0x31, integer(r) + integer(s)), "r as OCTET STRING": tlv(0x30, tlv(4, b"\0" + raw) + integer(s)),
        "r of no octets": tlv(0x30, tlv(2, b"") + integer(s)), "s of no octets": tlv(0x30, integer(r) + tlv(2, b"")),
        "twice in a sequence": tlv(0x30, good), "a length that says more than there is": good[:1] + b"\x7f" + good[2:],
        "a length of four octets, huge": b"\x30\x84\xff\xff\xff\xff" + good[2:],
        "a length of nine octets": b"\x30\x89\x01" + bytes(8) + good[2:],
        "r as boolean": tlv(0x30, tlv(1, b"\xff") + integer(s)), "r as real number": tlv(0x30, tlv(9, b"\x40") + integer(s)),
    }
    for size in range(2, len(good)):
        bad[f"cut to {size} octets"] = good[:size]
    for bit in range(0, len(good) * 8, 3):
        if 4 * 8 <= bit:  # within the header some flips are other cases of this list
            bad[f"bit {bit} is another"] = flipped(good, bit)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    for comment, text in bad.items():
        cases.append((comment, text, False))
    out = [{"comment": c, "key": public.hex(), "digest": digest.hex(), "signature": t.hex(), "valid": v}
           for c, t, v in cases]
    out.append({"comment": "under another key", "key": other.hex(), "digest": digest.hex(), "signature": good.hex(),
                "valid": False})
    out.append({"comment": "of another message", "key": public.hex(),
                "digest": hashlib.sha256(b"another").hexdigest(), "signature": good.hex(), "valid": False})
    for case in out:
        if case["valid"]:
            key.verify(bytes.fromhex(case["signature"]), bytes.fromhex(case["digest"]),
                       ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    return out


SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def point_cases():
    x, y = multiply(number("a point", N))
    raw = point_bytes((x, y))
    small = 5  # on the curve, and so is 5 + p as long as nobody looks
    while pow((small**3 - 3 * small + B) % P, (P - 1) // 2, P) != 1:
        small += 1
    root = pow((small**3 - 3 * small + B) % P, (P + 1) // 4, P)
    odd = {
        "not on the curve: y + 1": point_bytes((x, (y + 1) % P)), "not on the curve: x and y swapped": point_bytes((y, x)),
        "0, 0": b"\x04" + bytes(64), "all bits set": b"\x04" + b"\xff" * 64,
        "x is p": b"\x04" + P.to_bytes(32, "big") + raw[33:], "y is p": raw[:33] + P.to_bytes(32, "big"),
        "x + p": b"\x04" + (small + P).to_bytes(32, "big") + root.to_bytes(32, "big"),
        "compressed": bytes([2 + (y & 1)]) + raw[1:33], "hybrid": bytes([6 + (y & 1)]) + raw[1:],
        "hybrid with the wrong parity": bytes([7 - (y & 1)]) + raw[1:], "infinity": b"\0", "nothing": b"",
        "form 0": b"\0" + raw[1:], "form 5": b"\x05" + raw[1:], "an octet less": raw[:-1], "an octet more": raw + b"\0",
        "on P-384": ec.derive_private_key(7, ec.SECP384R1()).public_key().public_numbers().x.to_bytes(48, "big"),
        "of the same size on secp256k1": b"\x04" + b"".join(
            c.to_bytes(32, "big") for c in (lambda p: (p.x, p.y))(
                ec.derive_private_key(7, ec.SECP256K1()).public_key().public_numbers())),
    }
    out = [{"comment": "as it should be", "point": raw.hex(), "valid": True},
           {"comment": "x with leading zeros", "point": point_bytes((small, root)).hex(), "valid": True}]
    out += [{"comment": c, "point": p.hex(), "valid": False} for c, p in odd.items()]
    for case in out:
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(case["point"]))
        except ValueError:
            assert not case["valid"], case
    return out


def small_order_encodings():
    """Every encoding, canonical or not, of a point whose order divides 8."""
    torsion = None
    for candidate in range(2, 100):
        x = recover_x(candidate)
        if x is None:
            continue
        torsion = ed_multiply(L, (x, candidate))
        if ed_multiply(4, torsion) != (0, 1):
            break
    out = {}
    for i in range(8):
        x, y = ed_multiply(i, torsion)
        for form in range(y, 2**255, Q):
            for sign in {x & 1} if x else {0, 1}:
                kind = "canonical" if form == y and (x or not sign) else "not canonical"
                out[(form | sign << 255).to_bytes(32, "little")] = f"a point of order {8 // math.gcd(i, 8)}, {kind}"
    return out


def ed25519_cases():
    private = ed25519.Ed25519PrivateKey.from_private_bytes(seed("ed25519 key"))
    public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    message = b"an observation"
    good = private.sign(message)
    big_r, s = good[:32], int.from_bytes(good[32:], "little")
    odd = {"s + L": big_r + (s + L).to_bytes(32, "little"), "s is L": big_r + L.to_bytes(32, "little"),
           "s is 0": big_r + bytes(32), "s is L - 1": big_r + (L - 1).to_bytes(32, "little"),
           "-s": big_r + (L - s).to_bytes(32, "little"), "s with its top bit set": flipped(good, 511),
           "s with bit 253 set": flipped(good, 256 + 253), "s all ones": big_r + b"\xff" * 32,
           "R and s swapped": good[32:] + big_r, "all zero": bytes(64), "R with its sign changed": flipped(good, 255),
           "R not canonical: y is p + 1, s is 0": (Q + 1).to_bytes(32, "little") + bytes(32),
           "R is the neutral element": b"\x01" + bytes(31) + good[32:], "nothing": b"", "R alone": big_r,
           "an octet less": good[:-1], "an octet more": good + b"\0", "twice": good + good}
    k = 2
    while (s + k * L) < 2**256:
        odd[f"s + {k}L"] = big_r + (s + k * L).to_bytes(32, "little")
        k += 1
    for bit in range(0, 512, 5):
        odd[f"bit {bit} is another"] = flipped(good, bit)
    cases = [("as it should be", public, message, good, True, True)]
    cases += [(c, public, message, t, True, False) for c, t in odd.items()]
    cases.append(("of another message", public, b"an observatioN", good, True, False))
    # With a key of small order h, R = sB and any s below L would verify for about one message in eight.
    base = ed_base()
    for encoding, comment in small_order_encodings().items():
        scalar = number("small order", L)
        cases.append((comment, encoding, message, ed_bytes(ed_multiply(scalar, base)) + scalar.to_bytes(32, "little"),
                      False, False))
    for extra in range(19):  # y from p to 2^255 - 1: two encodings of one point
        for sign in (0, 1):
            encoding = (Q + extra | sign << 255).to_bytes(32, "little")
            cases.append((f"a key that is not canonical: y is p + {extra}, sign {sign}", encoding, message, good, False,
                          False))
    for name, size in {"no key": 0, "a key of 31 octets": 31, "a key of 33 octets": 33, "a key of 64 octets": 64}.items():
        cases.append((name, (public * 2)[:size], message, good, False, False))
    private.public_key().verify(good, message)
    for comment, key, text, sig, key_valid, valid in cases:
        if valid or not key_valid:
            continue
        try:
            private.public_key().verify(sig, text)
            raise AssertionError(comment)
        except InvalidSignature:
            pass
    return [{"comment": c, "key": k.hex(), "key_valid": kv, "message": m.hex(), "signature": t.hex(), "valid": v}
            for c, k, m, t, kv, v in cases]


# ---- AES ----

def gcm_cases():
    key, nonce, aad, text = seed("gcm key"), seed("gcm nonce", 12), b"router/edge-a/64496 version 3", seed("gcm text", 40)
    sealed = aead.AESGCM(key).encrypt(nonce, text, aad)
    empty = aead.AESGCM(key).encrypt(nonce, b"", aad)
    out = []

    def case(comment, valid, k=key, n=nonce, a=aad, c=sealed, t=text):
        out.append({"comment": comment, "key": k.hex(), "nonce": n.hex(), "aad": a.hex(), "sealed": c.hex(),
                    "text": t.hex(), "valid": valid})

    case("as it should be", True)
    case("no text", True, c=empty, t=b"")
    case("no associated data", True, a=b"", c=aead.AESGCM(key).encrypt(nonce, text, b""))
    for bit in range(len(text) * 8, len(sealed) * 8):
        case(f"bit {bit - len(text) * 8} of the tag is another", False, c=flipped(sealed, bit))
    for bit in range(0, len(text) * 8, 11):
        case(f"bit {bit} of the ciphertext is another", False, c=flipped(sealed, bit))
    for bit in range(0, len(aad) * 8, 11):
        case(f"bit {bit} of the associated data is another", False, a=flipped(aad, bit))
    for bit in range(0, 96, 7):
        case(f"bit {bit} of the nonce is another", False, n=flipped(nonce, bit))
    for size in (0, 1, 4, 8, 12, 13, 14, 15):
        case(f"a tag of {size} octets", False, c=sealed[:len(text) + size])
    for size in (0, 1, 15):
        case(f"{size} octets in all", False, c=sealed[:size])
    case("an octet behind the tag", False, c=sealed + b"\0")
    case("an octet missing from the ciphertext", False, c=sealed[1:])
    case("the tag in front", False, c=sealed[-16:] + sealed[:-16])
    case("a tag of zeros", False, c=sealed[:-16] + bytes(16))
    case("a tag of ones", False, c=sealed[:-16] + b"\xff" * 16)
    case("the tag of no text", False, c=sealed[:-16] + empty)
    case("text moved into the associated data", False, a=aad + sealed[:16], c=sealed[16:])
    case("another key", False, k=seed("another gcm key"))
    for size in (8, 11, 13, 16):
        n = seed("gcm nonce", size)
        case(f"a nonce of {size} octets", False, n=n, c=aead.AESGCM(key).encrypt(n, text, aad))
    for size in (16, 24):
        case(f"a key of {8 * size} bits", False, k=key[:size], c=aead.AESGCM(key[:size]).encrypt(nonce, text, aad))
    return out


def wrap_raw(kek, iv, blocks):
    """RFC 3394 section 2.2.1 from any initial value."""
    aes = Cipher(algorithms.AES(kek), modes.ECB()).encryptor()
    if len(blocks) == 8:
        return aes.update(iv + blocks)
    a, r = iv, [blocks[i:i + 8] for i in range(0, len(blocks), 8)]
    for j in range(6):
        for i in range(len(r)):
            block = aes.update(a + r[i])
            a = (int.from_bytes(block[:8], "big") ^ (len(r) * j + i + 1)).to_bytes(8, "big")
            r[i] = block[8:]
    return a + b"".join(r)


def wrap_cases():
    plain = bytes.fromhex("a6" * 8)
    out = []

    def case(form, comment, valid, kek, wrapped, key=b""):
        out.append({"comment": comment, "form": form, "kek": kek.hex(), "wrapped": wrapped.hex(), "key": key.hex(),
                    "valid": valid})

    for bits in (128, 192, 256):
        kek = seed(f"kek {bits}", bits // 8)
        for size in (16, 24, 32, 40):
            key = seed(f"key {size}", size)
            wrapped = keywrap.aes_key_wrap(kek, key)
            assert wrapped == wrap_raw(kek, plain, key)
            case("KW", f"{size} octets under {bits} bits", True, kek, wrapped, key)
        for size in (1, 7, 8, 9, 15, 16, 17, 32, 138):
            key = seed(f"key {size}", size)
            case("KWP", f"{size} octets under {bits} bits", True, kek, keywrap.aes_key_wrap_with_padding(kek, key), key)
    kek, key = seed("kek 256", 32), seed("key 32", 32)
    kw, kwp = keywrap.aes_key_wrap(kek, key), keywrap.aes_key_wrap_with_padding(kek, key)
    for form, good in (("KW", kw), ("KWP", kwp)):
        for i in range(len(good)):
            case(form, f"octet {i} is another", False, kek, flipped(good, 8 * i + i % 8))
        for size in (0, 1, 7, 8, 9, 15, 23, 24, 31, 32, 39):
            case(form, f"cut to {size} octets", False, kek, good[:size])
        case(form, "8 octets more", False, kek, good + bytes(8))
        case(form, "an octet more", False, kek, good + b"\0")
        case(form, "another key-encryption key", False, seed("another kek"), good)
        case(form, "16 octets of zeros", False, kek, bytes(16))
    case("KW", "wrapped as the other form", False, kek, kwp)
    case("KWP", "wrapped as the other form", False, kek, kw)
    for i in range(8):
        case("KW", f"initial value: octet {i} is another", False, kek, wrap_raw(kek, flipped(plain, 8 * i), key))
    case("KW", "initial value: zeros", False, kek, wrap_raw(kek, bytes(8), key))
    case("KW", "one block of 8 octets: too short for this form", False, kek, wrap_raw(kek, plain, key[:8]))
    magic = bytes.fromhex("a65959a6")

    def padded(comment, says, content, prefix=magic, valid=False):
        case("KWP", comment, valid, kek, wrap_raw(kek, prefix + says.to_bytes(4, "big"), content),
             content[:says] if valid else b"")

    padded("made by hand", 30, key[:30] + bytes(2), valid=True)
    padded("made by hand, one block", 5, key[:5] + bytes(3), valid=True)
    padded("it says 0 octets", 0, key)
    padded("it says one octet more than there is room for", 33, key)
    padded("it says 8 octets fewer than there are", 24, key[:24] + bytes(8))
    padded("it says 2^32 - 1 octets", 2**32 - 1, key)
    padded("it says 2^31 octets", 2**31, key)
    padded("padding of ones", 30, key[:30] + b"\xff\xff")
    padded("padding whose last octet is 1", 30, key[:30] + b"\0\x01")
    padded("padding whose first octet is 1", 27, key[:27] + b"\x01" + bytes(4))
    padded("one block: it says 0 octets", 0, bytes(8))
    padded("one block: it says 9 octets", 9, key[:8])
    padded("one block: padding of ones", 5, key[:5] + b"\xff" * 3)
    for i in range(4):
        padded(f"initial value: octet {i} is another", 32, key, flipped(magic, 8 * i))
        padded(f"one block, initial value: octet {i} is another", 8, key[:8], flipped(magic, 8 * i))
    padded("initial value of the other form", 0xA6A6A6A6, key, bytes.fromhex("a6a6a6a6"))
    return out


# ---- MACs ----

def hmac_cases():
    out = []
    for size in (32, 1, 16, 63, 64, 65, 131, 256):
        key, message = seed(f"hmac key {size}", size), seed(f"hmac message {size}", size * 2)
        tag = hmac.new(key, message, hashlib.sha256).digest()

        def case(comment, t, valid=False, m=message, k=key):
            out.append({"comment": comment, "key": k.hex(), "message": m.hex(), "tag": t.hex(), "valid": valid})

        case(f"a key of {size} octets", tag, True)
        for bit in range(0, 256, 1 if size == 32 else 101):
            case(f"bit {bit} of the tag is another", flipped(tag, bit))
        for cut in (range(32) if size == 32 else (0, 16, 31)):
            case(f"a tag of {cut} octets", tag[:cut])
        case("an octet more", tag + b"\0")
        case("twice", tag + tag)
        case("all zero", bytes(32))
        case("of another message", tag, m=message + b"\0")
        case("under another key", tag, k=flipped(key, 0))
        case("SHA-1 under the same key", hmac.new(key, message, hashlib.sha1).digest())
        case("SHA-512, cut to 32 octets", hmac.new(key, message, hashlib.sha512).digest()[:32])
        case("the hash of key and message, no HMAC", hashlib.sha256(key + message).digest())
    return out


def tcpao_cases():
    out = []
    for size in list(range(0, 34)) + [47, 48, 49, 64, 100, 1500]:
        message = seed(f"segment {size}", size)
        key = seed(f"tcp-ao key {size}", 16)
        mac = cmac.CMAC(algorithms.AES(key))
        mac.update(message)
        long_key = seed(f"tcp-ao master key {size}", 1 + size % 80)
        out.append({"message": message.hex(), "cmac_key": key.hex(), "cmac": mac.finalize().hex(),
                    "sha1_key": long_key.hex(), "sha1": hmac.new(long_key, message, hashlib.sha1).hexdigest()})
    return out


# ---- RSA ----

def rsa_cases():
    p, q = prime("rsa p"), prime("rsa q")
    n, e = p * q, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    size = 256
    assert n.bit_length() == 2048
    public = rsa.RSAPublicNumbers(e, n).public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    message = b"a certificate, to be signed"
    digest = hashlib.sha256(message).digest()
    oid = bytes.fromhex("0609608648016503040201")
    null = b"\x05\0"

    def info(identifier=oid, parameters=null, value=digest, **how):
        return tlv(0x30, tlv(0x30, identifier + parameters) + tlv(4, value), **how)

    def encoded(content, block=b"\0\x01", fill=b"\xff", end=b"\0", behind=b""):
        room = size - len(block) - len(end) - len(content) - len(behind)
        return block + fill * room + end + content + behind

    def sign(block):
        return pow(int.from_bytes(block, "big"), d, n).to_bytes(size, "big")

    good = sign(encoded(info()))
    sha1, sha224 = bytes.fromhex("06052b0e03021a"), bytes.fromhex("0609608648016503040204")
    sha512 = bytes.fromhex("0609608648016503040203")
    md5 = bytes.fromhex("06082a864886f70d0205")
    number_of_good = int.from_bytes(good, "big")
    odd = {
        "block type 0": sign(encoded(info(), block=b"\0\0", fill=b"\0")),
        "block type 0, filled with ones": sign(encoded(info(), block=b"\0\0")),
        "block type 2, as for encryption": sign(encoded(info(), block=b"\0\x02", fill=b"\x55")),
        "the first octet is 1": sign(b"\x01" + encoded(info())[1:]),
        "filled with 0xfe": sign(encoded(info(), fill=b"\xfe")),
        "one octet of the padding is another": sign(flipped(encoded(info()), 8 * 100)),
        "no zero behind the padding": sign(encoded(info(), end=b"")),
        "the zero behind the padding is 1": sign(encoded(info(), end=b"\x01")),
        "two zeros behind the padding": sign(encoded(info(), end=b"\0\0")),
        "8 octets of padding, the rest behind the hash":
            sign((b"\0\x01" + b"\xff" * 8 + b"\0" + info()).ljust(size, b"\0")),
        "no padding at all, the rest behind the hash": sign((b"\0\x01\0" + info()).ljust(size, b"\0")),
        "an octet behind the hash": sign(encoded(info(), behind=b"\0")),
        "the hash alone, no DigestInfo": sign(encoded(digest)),
        "parameters are absent": sign(encoded(info(parameters=b""))),
        "parameters are two NULLs": sign(encoded(info(parameters=null + null))),
        "parameters are an OCTET STRING": sign(encoded(info(parameters=tlv(4, b"x" * 20)))),
        "parameters: a NULL of an octet": sign(encoded(info(parameters=b"\x05\x01\0"))),
        "the identifier of SHA-1 with this hash": sign(encoded(info(sha1))),
        "the identifier of SHA-224 with this hash": sign(encoded(info(sha224))),
        "the identifier of SHA-512 with this hash": sign(encoded(info(sha512))),
        "SHA-1 of the message": sign(encoded(info(sha1, value=hashlib.sha1(message).digest()))),
        "SHA-512 of the message": sign(encoded(info(sha512, value=hashlib.sha512(message).digest()))),
        "MD5 of the message": sign(encoded(info(md5, value=hashlib.md5(message).digest()))),
        "a hash cut to 20 octets": sign(encoded(info(value=digest[:20]))),
        "a hash of 33 octets": sign(encoded(info(value=digest + b"\0"))),
        "no hash": sign(encoded(info(value=b""))),
        "another hash": sign(encoded(info(value=hashlib.sha256(b"another").digest()))),
        "the sequence's length in long form": sign(encoded(info(form="long"))),
        "the sequence's length in long form with a zero octet": sign(encoded(info(form="padded"))),
        "a sequence of indefinite length": sign(encoded(info(form="indefinite"))),
        "an element within, behind the hash":
            sign(encoded(tlv(0x30, tlv(0x30, oid + null) + tlv(4, digest) + null))),
        "the hash as BIT STRING": sign(encoded(tlv(0x30, tlv(0x30, oid + null) + tlv(3, b"\0" + digest)))),
        "an octet in front": b"\0" + good, "an octet behind": good + b"\0", "an octet less": good[:-1],
        "nothing": b"", "one octet": b"\x01", "the number 0": bytes(size), "the number 1": (1).to_bytes(size, "big"),
        "the number n - 1": (n - 1).to_bytes(size, "big"), "the number n": n.to_bytes(size, "big"),
        "the number's negative": (n - number_of_good).to_bytes(size, "big"), "all ones": b"\xff" * size,
        "reversed": good[::-1],
    }
    if number_of_good + n < 1 << 2048:
        odd["the number + n"] = (number_of_good + n).to_bytes(size, "big")
    for bit in range(0, 2048, 67):
        odd[f"bit {bit} is another"] = flipped(good, bit)
    cases = [("as it should be", good, True)] + [(c, s, False) for c, s in odd.items()]
    for comment, sig, valid in cases:
        try:
            public.verify(sig, message, padding.PKCS1v15(), hashes.SHA256())
            assert valid, comment
        except InvalidSignature:
            assert not valid, comment

    def spki_of(modulus, exponent, identifier=bytes.fromhex("06092a864886f70d010101"), parameters=null):
        bits = tlv(0x30, integer(modulus) + integer(exponent))
        return tlv(0x30, tlv(0x30, identifier + parameters) + tlv(3, b"\0" + bits))

    assert spki_of(n, e) == spki
    keys = {"as it should be": (spki, True), "exponent 3": (spki_of(n, 3), False), "exponent 1": (spki_of(n, 1), False),
            "exponent 0": (spki_of(n, 0), False), "exponent 65536": (spki_of(n, 65536), False),
            "exponent negative": (spki_of(n, -65537), False), "modulus even": (spki_of(n - 1, e), False),
            "modulus of 1024 bits": (spki_of(p, e), False), "modulus of 2047 bits": (spki_of(n >> 1 | 1, e), False),
            "modulus of 4096 bits": (spki_of(n * n, e), False), "modulus 0": (spki_of(0, e), False),
            "modulus negative": (spki_of(-n, e), False), "parameters absent": (spki_of(n, e, parameters=b""), False),
            "RSASSA-PSS": (spki_of(n, e, bytes.fromhex("06092a864886f70d01010a"), b""), False),
            "an octet behind": (spki + b"\0", False), "an octet less": (spki[:-1], False), "nothing": (b"", False),
            "P-256": (SPKI + point_bytes(G), False)}
    return {"spki": spki.hex(), "message": message.hex(),
            "signatures": [{"comment": c, "signature": s.hex(), "valid": v} for c, s, v in cases],
            "keys": [{"comment": c, "spki": k.hex(), "valid": v} for c, (k, v) in keys.items()]}


def written(group):
    """A group's JSON. What a case does not say is what `usual` says, its first case's."""
    if isinstance(group, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {written(v) if isinstance(v, list) else json.dumps(v)}"
                               for k, v in group.items()) + "}"
    usual = group[0]
    lines = [json.dumps({k: v for k, v in case.items() if k == "comment" or v != usual.get(k)}) for case in group]
    return f'{{"usual": {json.dumps(usual)}, "cases": [\n  ' + ",\n  ".join(lines) + "\n ]}"


def main():
    groups = {"aes_gcm": gcm_cases(), "aes_wrap": wrap_cases(), "ecdsa_p256": ecdsa_cases(), "ed25519": ed25519_cases(),
              "hmac_sha256": hmac_cases(), "p256_points": point_cases(), "rsa_pkcs1": rsa_cases(),
              "tcpao": tcpao_cases()}
    path = pathlib.Path(__file__).with_name("negatives.json")
    path.write_text("{\n" + ",\n".join(f' "{name}": {written(group)}' for name, group in groups.items()) + "\n}\n")


if __name__ == "__main__":
    main()
