#!/usr/bin/env python3
"""Writes the seeds of the corpus: one file for each thing that a peer may do. Files that a run found
interesting lie beside them under the hash that the fuzzer gave them."""
import os
import struct
import zlib


def frame(first, payload, masked=False, form=None):
    size = len(payload)
    form = form or (1 if size < 126 else 2 if size < 65536 else 8)
    bit = 0x80 if masked else 0
    head = bytes([first]) + {
        1: lambda: bytes([bit | size]),
        2: lambda: bytes([bit | 126]) + struct.pack(">H", size),
        8: lambda: bytes([bit | 127]) + struct.pack(">Q", size),
    }[form]()
    key = b"\x6e\x28\x83\x16"
    if masked:
        return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    return head + payload


def deflated(payload, bits=15):
    coder = zlib.compressobj(6, zlib.DEFLATED, -max(bits, 9))
    return (coder.compress(payload) + coder.flush(zlib.Z_SYNC_FLUSH))[:-4]


def write(target, name, data):
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


EITHER, SERVER, CLIENT, COMPRESSED = 2, 0, 1, 4
text = "Grüße, κόσμε 😀".encode()
for name, settings, data in [
    ("text", EITHER, frame(0x81, text)),
    ("masked", SERVER, frame(0x81, text, True) + frame(0x82, b"", True)),
    ("unmasked-from-client", SERVER, frame(0x81, text)),
    ("masked-from-server", CLIENT, frame(0x81, text, True)),
    ("length-16", EITHER, frame(0x82, b"x" * 300)),
    ("length-64", EITHER, frame(0x82, b"x" * 70000)),
    ("not-minimal", EITHER, frame(0x82, b"x" * 10, form=2) + frame(0x82, b"x" * 10, form=8)),
    ("top-bit", EITHER, b"\x82\x7f\x80\0\0\0\0\0\0\0"),
    ("too-long", EITHER, b"\x82\x7f\0\0\0\1\0\0\0\0"),
    ("fragments", EITHER, frame(1, text[:5]) + frame(0x89, b"?") + frame(0, b"") + frame(0x80, text[5:])),
    ("empty-fragments", EITHER, frame(2, b"") + frame(0, b"") * 50 + frame(0x80, b"")),
    ("continuation-alone", EITHER, frame(0x80, b"x")),
    ("message-in-message", EITHER, frame(1, b"x") + frame(0x81, b"y")),
    ("close", EITHER, frame(0x88, b"\x03\xe8bye")),
    ("close-one-byte", EITHER, frame(0x88, b"\x03")),
    ("close-bad-code", EITHER, frame(0x88, b"\x03\xed")),
    ("control", EITHER, frame(0x89, b"a" * 125) + frame(0x8a, b"")),
    ("bad-control", EITHER, frame(9, b"a") + frame(0x89, b"a" * 126)),
    ("bad-text", EITHER, frame(0x81, b"a\xed\xa0\x80") + frame(0x81, b"\xf4\x90")),
    ("reserved", EITHER, frame(0xb1, b"a") + frame(0x83, b"")),
    ("compressed", EITHER | COMPRESSED, frame(0xc1, deflated(text * 9)) + frame(0xc1, deflated(b"a"))),
    ("compressed-fragments", EITHER | COMPRESSED | 8, frame(0x41, deflated(text)[:4]) + frame(0x89, b"?")
     + frame(0x80, deflated(text)[4:])),
    ("bomb", EITHER | COMPRESSED, frame(0xc2, deflated(bytes(1000000)))),
]:
    write("decoder", name, bytes([settings, 6]) + data)

final = zlib.compressobj(6, zlib.DEFLATED, -15)
for name, settings, data in [
    ("plain", 8, b"Hello"),
    ("rfc", 15, bytes.fromhex("f248cdc9c90700")),
    ("stored", 15, bytes.fromhex("000500faff48656c6c6f00")),
    ("final", 15, bytes.fromhex("f348cdc9c9070000")),
    ("two-blocks", 15, bytes.fromhex("f248050000" "00ffffcac9c90700")),
    ("dynamic", 15, deflated("".join(str(i * i) for i in range(500)).encode())),
    ("small-window", 1, deflated(text * 99, 9)),
    ("bomb", 7, deflated(bytes(1000000))),
    ("final-empty", 15, final.compress(text) + final.flush()),
]:
    write("inflate", name, bytes([settings]) + data)

for name, data in [
    ("plain", b"\x05GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("pipelined", b"\x03GET /1 HTTP/1.0\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
     b"helloGET /3 HTTP/1.0\r\n\r\n"),
    ("chunked", b"\x07POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n"
     b"A\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.0\r\n\r\n"),
    ("folded", b"\x01GET /%2e%2e/a%20b//c HTTP/1.0\nA: b\n  c\nHost: [::1]:80\n\n"),
    ("both", b"\x02POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"0\r\n\r\n"),
    ("multipart", b"\x09--B\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\\\"c\"\r\n\r\nx\r\n--B--\r\n"),
]:
    write("request", name, data)
