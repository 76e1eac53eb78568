#!/usr/bin/python3
"""Writes the first seeds of http_target_fuzz below tests/fuzz/corpus."""
import pathlib

FOLDER = pathlib.Path(__file__).with_name("corpus") / "http_target_fuzz"
TARGETS = ["/rpki.json", "/api/v1/validity/AS64496/192.0.2.0%2F24", "/validity?asn=AS1&prefix=2001%3Adb8::/32",
           "/json-delta?session=1&serial=2&&serial", "/%zz", "/%0a", "/a?%c3%a4=b=c", "/x?", "?", "/%2", ""]
CONDITIONS = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT", "Sun Nov  6 08:49:37 1994",
              "Thu, 30 Feb 1995 08:49:37 GMT", "*", '"abc"', 'W/"abc"', '"x", W/"y" ,"abc"', '"abc', 'x"abc"', ""]

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for kind, texts in (b"\x00", TARGETS), (b"\x01", CONDITIONS):
        for number, text in enumerate(texts):
            (FOLDER / f"{'target' if kind == bytes(1) else 'condition'}_{number:02}").write_bytes(kind + text.encode())
