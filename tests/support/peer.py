#!/usr/bin/env python3
"""The peer that Tcl's own sockets cannot play.

Reads one command a line from standard input and answers each with one line, "ok ..." or
"error ...". Sockets have names, chosen by the caller. Commands that would take long run in a
thread of their own; "join NAME" waits for the one that works on NAME and gives its answer.

  listen NAME [host] [backlog] [rcvbuf]   unix NAME PATH          accept NAME LISTENER
  connect NAME HOST PORT [rcvbuf]         send NAME HEX           drip NAME HEX
  recv NAME COUNT                         recvall NAME            urgent NAME HEX
  shutdown NAME                           close NAME              reset NAME
  after MS COMMAND ...    (thread) does another command later
  flood NAME SECONDS      (thread) sends until the time is over or nobody takes it: count
  slowly NAME COUNT CHUNK MS  (thread) receives with pauses: count and MD5
  connects HOST PORT COUNT WHAT      connects in a row; WHAT is close, reset, halfclose, garbage
  hold HOST PORT COUNT    holds that many connections: count
  heldanswers             sends a line on each held connection, waits for all echoes: count
  fullbacklog NAME [host] [port]     a listening socket whose queue is full: port
  unixfull NAME PATH      the same, of the unix kind
  release NAME            makes room in such a queue; then "accept" gives those who have waited
  answering NAME HOST PORT accept|garbage    (thread) takes every connection, keeps it open
  answered NAME           how many connections that has taken
  dns NAME                a name server on 127.0.0.1, which says nothing yet
  dnsasked NAME           waits for a question
  dnsanswer NAME ADDRESS  (thread) from now on answers every question with that
  waiting NAME            1 when someone waits to be accepted, else 0
  forget                  closes everything
"""
import hashlib
import os
import resource
import select
import socket
import struct
import sys
import threading
import time

DEADLINE = 30.0
named = {}
held = []
works = {}
fillers = {}
strangers = {}
answered = {}


def keep(name, sock):
    sock.settimeout(DEADLINE)
    named[name] = sock


def connected(host, port):
    sock = socket.create_connection((host, int(port)), DEADLINE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def abort(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def in_thread(name, work):
    box = {}

    def run():
        try:
            box["answer"] = work()
        except OSError as error:
            box["answer"] = "failed %s" % error
    thread = threading.Thread(target=run, daemon=True)
    works[name] = (thread, box)
    thread.start()


class Commands:
    def listen(self, name, host="127.0.0.1", backlog="50", rcvbuf="0"):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if int(rcvbuf):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(rcvbuf))
        sock.bind((host, 0))
        sock.listen(int(backlog))
        keep(name, sock)
        return sock.getsockname()[1]

    def unix(self, name, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        sock.listen(50)
        keep(name, sock)

    def accept(self, name, listener):
        sock, sender = named[listener].accept()
        while sender in strangers.get(listener, ()):
            # A filler of the queue that was late.
            sock.close()
            sock, sender = named[listener].accept()
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep(name, sock)

    def connect(self, name, host, port, rcvbuf="0"):
        if int(rcvbuf):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(rcvbuf))
            sock.settimeout(DEADLINE)
            sock.connect((host, int(port)))
        else:
            sock = connected(host, port)
        keep(name, sock)

    def send(self, name, text):
        named[name].sendall(bytes.fromhex(text))

    def drip(self, name, text):
        for byte in bytes.fromhex(text):
            named[name].sendall(bytes([byte]))
            time.sleep(0.001)

    def after(self, milliseconds, command, *words):
        def work():
            time.sleep(int(milliseconds) / 1000)
            return getattr(self, command)(*words)
        in_thread("after", work)

    def recv(self, name, count):
        data = b""
        while len(data) < int(count):
            piece = named[name].recv(int(count) - len(data))
            if not piece:
                return data.hex() + " eof"
            data += piece
        return data.hex()

    def recvall(self, name):
        data = b""
        while True:
            piece = named[name].recv(65536)
            if not piece:
                return data.hex()
            data += piece

    def shutdown(self, name):
        named[name].shutdown(socket.SHUT_WR)

    def close(self, name):
        named.pop(name).close()

    def reset(self, name):
        abort(named.pop(name))

    def urgent(self, name, text):
        named[name].send(bytes.fromhex(text), socket.MSG_OOB)

    def flood(self, name, seconds):
        sock = named[name]

        def work():
            block = b"x" * 65536
            count = 0
            end = time.monotonic() + float(seconds)
            while time.monotonic() < end:
                _, writable, _ = select.select([], [sock], [], 0.05)
                if writable:
                    count += sock.send(block, socket.MSG_DONTWAIT)
            return count
        in_thread(name, work)

    def slowly(self, name, count, chunk, milliseconds):
        sock = named[name]

        def work():
            digest = hashlib.md5()
            got = 0
            while got < int(count):
                want = got + min(int(chunk), int(count) - got)
                while got < want:
                    piece = sock.recv(want - got)
                    if not piece:
                        return "%d eof" % got
                    got += len(piece)
                    digest.update(piece)
                time.sleep(int(milliseconds) / 1000)
            return "%d %s" % (got, digest.hexdigest())
        in_thread(name, work)

    def join(self, name):
        thread, box = works.pop(name)
        thread.join(DEADLINE * 2)
        return box.get("answer", "unfinished")

    def connects(self, host, port, count, what):
        for _ in range(int(count)):
            sock = connected(host, port)
            if what == "reset":
                abort(sock)
            elif what == "halfclose":
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):
                    pass
                sock.close()
            elif what == "garbage":
                sock.sendall(os.urandom(1000))
                abort(sock)
            else:
                sock.close()
        return count

    def hold(self, host, port, count):
        for _ in range(int(count)):
            held.append(connected(host, port))
        return len(held)

    def heldanswers(self):
        for number, sock in enumerate(held):
            sock.sendall(b"%d\n" % number)
        right = 0
        for number, sock in enumerate(held):
            data = b""
            while not data.endswith(b"\n"):
                piece = sock.recv(100)
                if not piece:
                    break
                data += piece
            right += data == b"%d\n" % number
        return right

    def fullbacklog(self, name, host="127.0.0.1", port="0"):
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        self.fill(name, listener, TimeoutError)
        return listener.getsockname()[1]

    def unixfull(self, name, path):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        self.fill(name, listener, BlockingIOError)

    def fill(self, name, listener, refusal):
        listener.listen(0)
        keep(name, listener)
        fillers[name] = []
        for _ in range(20):
            sock = socket.socket(listener.family)
            fillers[name].append(sock)
            sock.settimeout(0.05 if listener.family != socket.AF_UNIX else 0)
            try:
                sock.connect(listener.getsockname())
            except refusal:
                return
        raise OSError("the queue does not fill")

    def release(self, name):
        # Their connections come out of the queue as well: those are not of interest.
        mine = fillers.pop(name)
        sock = named[name]
        connected = 0
        strangers[name] = set()
        for filler in mine:
            if filler.family != socket.AF_UNIX:
                strangers[name].add(filler.getsockname())
            try:
                filler.getpeername()
                connected += 1
            except OSError:
                pass
        for _ in range(connected):
            sock.accept()[0].close()
        for filler in mine:
            filler.close()

    def answering(self, name, host, port, how):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, int(port)))
        sock.listen(1000)
        named[name] = sock
        answered[name] = []

        def work():
            while True:
                peer, _ = sock.accept()
                answered[name].append(peer)
                if how == "garbage":
                    peer.sendall(b"220 this is no TLS\r\n")
        in_thread(name, work)

    def answered(self, name):
        return len(answered[name])

    def dns(self, name):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 53))
        keep(name, sock)

    def dnsasked(self, name):
        answered[name] = [named[name].recvfrom(512)]

    def dnsanswer(self, name, address):
        def work():
            while True:
                for query, sender in answered[name]:
                    # Name and type of the one question; of addresses there is one, of type A.
                    end = query.index(b"\0", 12) + 5
                    found = query[end - 4:end - 2] == b"\0\1"
                    reply = query[:2] + b"\x81\x80\0\1" + struct.pack("!HHH", found, 0, 0) + query[12:end]
                    if found:
                        reply += b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address)
                    named[name].sendto(reply, sender)
                answered[name] = [named[name].recvfrom(512)]
        in_thread(name, work)

    def waiting(self, name):
        # Whether someone waits to be accepted right now.
        return int(bool(select.select([named[name]], [], [], 0)[0]))

    def forget(self):
        peers = [peer for peer in sum(answered.values(), []) if isinstance(peer, socket.socket)]
        for name in answered:
            try:
                # Ends the thread that accepts, which would keep the address in use.
                named[name].shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for sock in list(named.values()) + held + sum(fillers.values(), []) + peers:
            sock.close()
        answered.clear()
        strangers.clear()
        fillers.clear()
        named.clear()
        held.clear()
        works.clear()


def main(commands):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for line in sys.stdin:
        words = line.split()
        try:
            answer = getattr(commands, words[0])(*words[1:])
            print("ok" if answer is None else "ok %s" % answer, flush=True)
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            print("error %s: %s" % (type(error).__name__, str(error).replace("\n", " ")), flush=True)


if __name__ == "__main__":
    main(Commands())
