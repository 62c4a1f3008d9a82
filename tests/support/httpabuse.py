"""Peers that an HTTP server on 127.0.0.1 has to survive; run by the suite httpabuse.

    python3 httpabuse.py slowloris PORT COUNT   heads that come byte by byte and never end
    python3 httpabuse.py keep PORT COUNT        connections that are kept, each with a request now and then
    python3 httpabuse.py vanish PORT COUNT      COUNT times gone, in every state of a request
    python3 httpabuse.py deaf PORT COUNT PATH   requests for PATH whose answers nobody reads
    python3 httpabuse.py flood PORT COUNT       COUNT connections, each with 300 kB of garbage
    python3 httpabuse.py soak PORT COUNT        COUNT good and bad requests, some connections closed between

Prints a line when it has begun, and reads a line: "more" (another round, answered by a line) or the end.
"""

import random
import select
import socket
import struct
import sys
import time

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def connect(port, receive=None):
    sock = socket.socket()
    if receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", port))
    return sock


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def response(sock):
    """Reads one response with a length; its status, or 0 at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return 0
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    status = int(head.split(b" ")[1])
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        piece = sock.recv(65536)
        if not piece:
            return 0
        body += piece
    return status


def say(*words):
    print(*words, flush=True)


def rounds():
    """One round, and another for each line "more"."""
    yield
    for line in sys.stdin:
        if line.strip() != "more":
            return
        yield


def slowloris(port, count):
    socks = [connect(port) for _ in range(count)]
    for sock in socks:
        sock.sendall(b"GET /a HTTP/1.1\r\nHost: h\r\nX: ")
    say(len(socks))
    poll = select.poll()
    poll.register(sys.stdin)
    while not poll.poll(300):
        for sock in list(socks):
            try:
                sock.send(b"x")
            except OSError:
                socks.remove(sock)
        if not socks:
            say("all refused")
            sys.stdin.readline()
            return


def keep(port, count):
    socks = [connect(port) for _ in range(count)]
    for _ in rounds():
        for sock in socks:
            sock.sendall(GET)
        say(sum(response(sock) == 200 for sock in socks))


def vanish(port, count):
    heads = [b"", b"G", b"GET /a HTTP/1.1\r\nHo", GET, GET * 3, GET[:-2],
             b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n",
             b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000,
             b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
             b"POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
             b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n",
             b"GET /detach HTTP/1.1\r\nHost: h\r\n\r\n"]
    for _ in rounds():
        for number in range(count):
            sock = connect(port)
            sock.sendall(heads[number % len(heads)])
            if number % 3 == 1:
                sock.settimeout(0.01)
                try:
                    sock.recv(1000)
                except OSError:
                    pass
            reset(sock) if number % 2 else sock.close()
        say(count)


def deaf(port, count, path):
    socks = [connect(port, 4096) for _ in range(count)]
    for sock in socks:
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path.encode() * 3)
    say(len(socks))
    sys.stdin.readline()


def flood(port, count):
    random.seed(7)
    garbage = [random.randbytes(300_000), b"\r\n" * 150_000, b"x" * 300_000, b"GET /a HTTP/1.1\r\n" * 15_000,
               b"GET /a HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 50_000,
               b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 40_000,
               b"\0" * 300_000, b"\x16\x03\x01" * 100_000]
    for _ in rounds():
        for number in range(count):
            sock = connect(port)
            try:
                sock.sendall(garbage[number % len(garbage)])
            except OSError:
                pass
            sock.close()
        say(count)


def soak(port, count):
    post = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s"
    requests = [(GET, 200), (b"GET /missing HTTP/1.1\r\nHost: h\r\n\r\n", 404), (post % (5, b"hello"), 200),
                (post % (30000, b"x" * 30000), 200), (b"GET /error HTTP/1.1\r\nHost: h\r\n\r\n", 500),
                (b"GET /filtered HTTP/1.1\r\nHost: h\r\n\r\n", 200), (b"BAD\r\n\r\n", 400),
                (b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200),
                (b"GET /form?a=b&c=d HTTP/1.1\r\nHost: h\r\n\r\n", 200)]
    for _ in rounds():
        sock, right = None, 0
        for number in range(count):
            sock = sock or connect(port)
            request, status = requests[number % len(requests)]
            sock.sendall(request)
            right += response(sock) == status
            if status == 400 or number % 50 == 49:
                sock.close()
                sock = None
        if sock:
            sock.close()
        say(right)


if __name__ == "__main__":
    kind, port, count, *more = sys.argv[1:]
    globals()[kind](int(port), int(count), *more)
    time.sleep(0)
