"""Signatures and encodings by plain arithmetic, good and bad, for make_negatives.py. Nothing in here is fast or safe."""
import hashlib


def seed(name, size=32):
    return hashlib.shake_256(("virp negatives: " + name).encode()).digest(size)


def number(name, below):
    return int.from_bytes(seed(name, 48), "big") % (below - 1) + 1


def flipped(data, bit):
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


# ---- DER, good and bad ----

def length(n, form="short"):
    if form == "indefinite":
        return b"\x80"
    if n < 128 and form == "short":
        return bytes([n])
    body = n.to_bytes((n.bit_length() + 7) // 8 or 1, "big")
    if form == "padded":
        body = b"\0" + body
    return bytes([0x80 | len(body)]) + body


def tlv(tag, content, form="short"):
    end = b"\0\0" if form == "indefinite" else b""
    return bytes([tag]) + length(len(content), form) + content + end


def integer(value):
    size = max(1, (value.bit_length() + 8) // 8)
    return tlv(2, value.to_bytes(size, "big", signed=True))


def signature(r, s, **how):
    return tlv(0x30, integer(r) + integer(s), **how)


# ---- P-256 by hand ----

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(k, point=G):
    out = None
    while k:
        if k & 1:
            out = add(out, point)
        point = add(point, point)
        k >>= 1
    return out


def point_bytes(point):
    return b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def ecdsa_sign(private, digest, k):
    r = multiply(k)[0] % N
    s = pow(k, -1, N) * (int.from_bytes(digest, "big") + r * private) % N
    return r, s


# ---- Ed25519 by hand (RFC 8032 section 5.1) ----

Q = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, Q) % Q


def recover_x(y):
    square = (y * y - 1) * pow(D * y * y + 1, -1, Q) % Q
    x = pow(square, (Q + 3) // 8, Q)
    if (x * x - square) % Q:
        x = x * pow(2, (Q - 1) // 4, Q) % Q
    return x if (x * x - square) % Q == 0 else None


def ed_add(a, b):
    t = D * a[0] * b[0] * a[1] * b[1]
    return ((a[0] * b[1] + b[0] * a[1]) * pow(1 + t, -1, Q) % Q, (a[1] * b[1] + a[0] * b[0]) * pow(1 - t, -1, Q) % Q)


def ed_multiply(k, point):
    out = (0, 1)
    while k:
        if k & 1:
            out = ed_add(out, point)
        point = ed_add(point, point)
        k >>= 1
    return out


def ed_bytes(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def ed_base():
    y = 4 * pow(5, -1, Q) % Q
    x = recover_x(y)
    return (x if x % 2 == 0 else Q - x, y)


# ---- RSA ----

def probable_prime(n):
    if any(n % p == 0 for p in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)):
        return False
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for i in range(40):
        x = pow(number(f"witness {i}", n - 1), d, n)
        if x in (1, n - 1):
            continue
        for _ in range(r - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def prime(name):
    at = int.from_bytes(seed(name, 128), "big") | 3 << 1022 | 1
    while not probable_prime(at) or (at - 1) % 65537 == 0:
        at += 2
    return at
