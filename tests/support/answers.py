"""An HTTP server for the suites that answers as it is told, well or badly.

Usage: answers.py [unix=PATH] [cert=FILE key=FILE]; prints its port (or path), ends with standard
input. The target of a request says what to do; bytes are in hexadecimal.

  /echo           sends the request's bytes back as text/plain
  /raw/BYTES      sends the bytes and closes
  /cut/BYTES      sends the bytes and resets the connection
  /hold/BYTES     sends the bytes, then nothing, and keeps the connection
  /drip/MS/BYTES  sends a byte every so many milliseconds
  /early/BYTES    sends the bytes before it has read the request's body, and never reads it
  /big/COUNT      sends so many bytes, chunk by chunk
  /endless        sends header fields for ever
  /gzip/BYTES     sends the bytes compressed
"""

import gzip
import os
import socket
import ssl
import struct
import sys
import threading
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def receive_head(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        more = conn.recv(65536)
        if not more:
            return data, b""
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    return head + b"\r\n\r\n", body


def body_length(head):
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def answer(conn, head, body):
    target = head.split(b" ")[1].decode()
    what, _, rest = target[1:].partition("?")[0].partition("/")
    if what == "early":
        conn.sendall(bytes.fromhex(rest))
        time.sleep(30)
        return
    while len(body) < body_length(head):
        more = conn.recv(65536)
        if not more:
            return
        body += more
    if what == "echo":
        text = head + body
        conn.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(text) + text)
    elif what == "raw":
        conn.sendall(bytes.fromhex(rest))
    elif what == "cut":
        conn.sendall(bytes.fromhex(rest))
        time.sleep(0.1)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif what == "hold":
        conn.sendall(bytes.fromhex(rest))
        conn.recv(1)
    elif what == "drip":
        pause, _, data = rest.partition("/")
        for byte in bytes.fromhex(data):
            conn.sendall(bytes([byte]))
            time.sleep(int(pause) / 1000)
    elif what == "big":
        conn.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        left = int(rest)
        while left > 0:
            part = min(left, 50000)
            conn.sendall(b"%x\r\n" % part + b"x" * part + b"\r\n")
            left -= part
        conn.sendall(b"0\r\n\r\n")
    elif what == "endless":
        conn.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            conn.sendall(b"X: %s\r\n" % (b"y" * 1000))
    elif what == "gzip":
        data = gzip.compress(bytes.fromhex(rest))
        conn.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data) + data)


def serve(conn, context):
    try:
        conn.settimeout(60)
        if context:
            conn = context.wrap_socket(conn, server_side=True)
        head, body = receive_head(conn)
        if head:
            answer(conn, head, body)
        if context and not head.startswith(b"GET /cut/"):
            conn.unwrap()
    except OSError:
        pass
    finally:
        conn.close()


def main(words):
    settings = dict(word.split("=", 1) for word in words)
    context = None
    if "cert" in settings:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings["cert"], settings["key"])
    if "unix" in settings:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(settings["unix"])
        place = settings["unix"]
    else:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        place = listener.getsockname()[1]
    listener.listen(50)
    print(place, flush=True)

    def accept():
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=serve, args=(conn, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


main(sys.argv[1:])
