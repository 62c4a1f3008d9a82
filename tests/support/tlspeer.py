#!/usr/bin/env python3
"""peer.py, grown by TLS: Python's ssl module at the other end of a connection.

Every command of peer.py works on a socket that speaks TLS as well ("send", "recv", "slowly", ...);
"shutdown" and "close" say goodbye as TLS does. The ciphertext passes through memory, so a test can
also hold it back, hand it over byte by byte, or spoil it. Besides, there are

  context NAME server|client [KEY=VALUE ...]
      cert= key= ca= verify=none|optional|required min=1.0..1.3 max= ciphers= alpn=a,b
      sni=NAME:CONTEXT,... tickets=N seclevel0=1
  tlsaccept NAME LISTENER CONTEXT     (thread) takes the next connection and shakes hands
  tlsslow NAME LISTENER CONTEXT MS    (thread) the same, sending byte by byte with pauses
  tlshalf NAME LISTENER CONTEXT COUNT (thread) sends that many bytes of its part, then is silent
  rude NAME LISTENER close|fin|reset|stay [HEX]     (thread) takes the next connection, waits for
      its first bytes, sends these bytes, and ends it that way
  tlsconnect NAME HOST PORT CONTEXT [SERVERNAME] [RESUME]   connects and shakes hands, answers like
      "info"; RESUME names a socket whose session is taken up
  slowconnect NAME HOST PORT CONTEXT MS     (thread) the same, sending byte by byte with pauses
  unixconnect NAME PATH                                     a plain connection to a unix socket
  tlsclient NAME CONTEXT [SERVERNAME]    shakes hands on a socket that is connected
  tlsserver NAME CONTEXT                 the same as the server
  info NAME         version cipher resumed sni alpn subject, each in braces
  notify NAME       close_notify, and nothing else
  fin NAME          ends our direction without a close_notify
  cut NAME          closes without a close_notify
  withhold NAME     from now on ciphertext is kept: letgo sends some of it
  letgo NAME [COUNT]       sends COUNT bytes of what is kept (all): how many are left
  dripall NAME             sends what is kept byte by byte
  spoil NAME               changes the last byte that is kept
  alert NAME               a fatal alert: what this end says to a record that is none
  raw NAME HEX             bytes as they are, past TLS
  flight HOST PORT CONTEXT [SERVERNAME]      what a client sends in a whole handshake and a first
      line of data, as lengths of its parts; kept for cuts
  cuts HOST PORT FROM TO   for each length: connects, sends that many bytes of a client's flight
      (whose first part is the hello), closes: how many
  many HOST PORT COUNT CONTEXT     that many handshakes side by side, each sends a line and waits
      for its echo: how many were right
  echoes HOST CONTEXT      a server that sends back what comes, to any number of clients: port
  relay NAME plain|tls PORT [CONTEXT] plain|tls [CONTEXT]   a listening port whose connections are
      passed on to PORT: the first word is what is spoken towards PORT, the second towards the one
      who connects
  quiet             returns when no relay has anything left to pass on
"""
import asyncio
import fcntl
import os
import select
import socket
import ssl
import sys
import termios
import threading
import time
import warnings

import peer
from peer import works, keep, connected, abort, in_thread, DEADLINE

# The tests ask for old protocol versions on purpose
warnings.simplefilter("ignore", DeprecationWarning)


class Named(dict):
    """Sockets by name. Who asks for one that is still in its handshake waits for its end."""

    def __init__(self):
        super().__init__()
        self.coming = {}

    def expect(self, name):
        self.pop(name, None)
        self.coming[name] = threading.Event()
        return self.coming[name]

    def arrived(self, name, event, sock):
        """The socket is there; not if another one is expected under its name by now."""
        if self.coming.get(name) is event:
            if sock is not None:
                self[name] = sock
            del self.coming[name]
        event.set()

    def __missing__(self, name):
        event = self.coming.get(name)
        if event is None:
            raise KeyError(name)
        event.wait(DEADLINE)
        return self[name] if name in self else None


named = peer.named = Named()
contexts = {}
VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1,
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def subject(certificate):
    """The common name of a certificate in the form that getpeercert has, or nothing."""
    for part in (certificate or {}).get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return value
    return ""


class TlsSocket:
    """A socket with TLS in memory: what the callers of peer.py need of a socket, and more."""

    def __init__(self, sock, context, server, servername=None, session=None):
        self.sock = sock
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.rest = b""
        self.aborting = False
        self.kept = None
        self.sni = None
        context.seen = self
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server,
                                    server_hostname=servername, session=session)
        self.family = sock.family

    def drive(self, operation):
        """Does an operation of the TLS object, moving ciphertext as long as it wants some."""
        while True:
            try:
                answer = operation()
                self.flush()
                return answer
            except ssl.SSLWantReadError:
                self.flush()
                piece = self.sock.recv(65536)
                if piece:
                    self.incoming.write(piece)
                else:
                    self.incoming.write_eof()
            except ssl.SSLError:
                try:
                    self.flush()
                except OSError:
                    pass
                raise

    def flush(self):
        piece = self.rest + self.outgoing.read()
        self.rest = b""
        if not piece:
            return
        if self.kept is None:
            self.sock.sendall(piece)
        else:
            self.kept += piece

    def handshake(self):
        self.drive(self.tls.do_handshake)

    def info(self):
        return " ".join("{%s}" % word for word in (
            self.tls.version(), self.tls.cipher()[0], int(self.tls.session_reused),
            self.sni or "", self.tls.selected_alpn_protocol() or "",
            subject(self.tls.getpeercert())))

    def sendall(self, data):
        view = memoryview(data)
        while view:
            count = self.drive(lambda: self.tls.write(view))
            view = view[count:]

    def send(self, data, flags=0):
        """Without waiting: a record at most. What the socket does not take of it goes first the
        next time."""
        count = 0
        if not self.rest:
            count = self.tls.write(data[:16384])
            self.rest = self.outgoing.read()
        self.sock.setblocking(False)
        try:
            self.rest = self.rest[self.sock.send(self.rest):]
        except BlockingIOError:
            pass
        self.sock.settimeout(DEADLINE)
        return count

    def recv(self, count):
        try:
            return self.drive(lambda: self.tls.read(count))
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLEOFError:
            raise OSError("end of file without close_notify") from None

    def notify(self):
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        self.flush()

    def shutdown(self, how):
        self.notify()
        self.sock.shutdown(how)

    def close(self):
        try:
            if not self.aborting:
                self.notify()
        except OSError:
            pass
        self.sock.close()

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def setsockopt(self, level, option, value):
        # What abort does before it closes
        self.aborting = self.aborting or option == socket.SO_LINGER
        self.sock.setsockopt(level, option, value)

    def fileno(self):
        return self.sock.fileno()


class Instead:
    """A socket with some methods replaced."""

    def __init__(self, sock, **methods):
        self.sock = sock
        self.__dict__.update(methods)

    def __getattr__(self, name):
        return getattr(self.sock, name)


def slowed(sock, milliseconds):
    """The socket, sending byte by byte with pauses."""
    def sendall(data):
        for byte in bytes(data):
            sock.sendall(bytes([byte]))
            time.sleep(float(milliseconds) / 1000)
    return Instead(sock, sendall=sendall)


def sni_callback(by_name):
    def callback(tls, name, context):
        if context.seen is not None:
            context.seen.sni = name
        if name in by_name:
            tls.context = contexts[by_name[name]]
    return callback


class Flow:
    """One direction's end of a relayed connection: a socket, with TLS or without."""

    def __init__(self, sock, context, server):
        self.sock = sock
        self.out = b""          # bytes for the socket
        self.early = b""        # bytes to be encrypted once the handshake is over
        self.tls = None
        self.ready = True
        self.ended = False      # nothing more comes from here
        self.closing = False    # nothing more goes there
        self.shut = False
        if context is not None:
            self.incoming = ssl.MemoryBIO()
            self.outgoing = ssl.MemoryBIO()
            self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server)
            self.ready = False
            self.advance()

    def advance(self):
        """Goes on with the handshake."""
        if not self.ready:
            try:
                self.tls.do_handshake()
                self.ready = True
            except ssl.SSLWantReadError:
                pass
            self.out += self.outgoing.read()
            if self.ready:
                self.put(self.early)
                if self.closing:
                    self.finish()

    def receive(self):
        """Bytes that have come, decrypted."""
        try:
            piece = self.sock.recv(262144)
        except BlockingIOError:
            return b""
        if self.tls is None:
            if not piece:
                self.ended = True
            return piece
        if piece:
            self.incoming.write(piece)
        else:
            self.incoming.write_eof()
        self.advance()
        return self.plain()

    def plain(self):
        data = b""
        while self.ready and not self.ended:
            try:
                piece = self.tls.read(262144)
                data += piece
                self.ended = not piece
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                self.ended = True
        self.out += self.outgoing.read()
        return data

    def put(self, data):
        if self.tls is None:
            self.out += data
        elif not self.ready:
            self.early += data
        elif data:
            self.tls.write(data)
            self.out += self.outgoing.read()

    def finish(self):
        """No more bytes will be put."""
        self.closing = True
        if self.tls is not None and self.ready:
            try:
                self.tls.unwrap()
            except ssl.SSLError:
                pass
            self.out += self.outgoing.read()

    def transmit(self):
        if self.out:
            try:
                count = self.sock.send(self.out)
                self.out = self.out[count:]
            except BlockingIOError:
                pass
        if self.closing and self.ready and not self.out and not self.shut:
            self.shut = True
            self.sock.shutdown(socket.SHUT_WR)


def unsent(sock):
    """How many bytes of a socket the other end has not got yet."""
    try:
        return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


class Relays(threading.Thread):
    """Passes bytes on between pairs of sockets, with little in between: about one record or one
    receive each way, so a reader that stops is felt by the writer."""

    def __init__(self):
        super().__init__(daemon=True)
        self.lock = threading.Lock()
        self.listeners = {}     # descriptor -> (socket, port, context there, context here)
        self.links = []
        self.waiters = []
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        self.start()

    def wake(self):
        os.write(self.wake_write, b".")

    def add(self, listener, port, there, here):
        with self.lock:
            self.listeners[listener.fileno()] = (listener, port, there, here)
        self.wake()

    def quiet(self):
        done = threading.Event()
        with self.lock:
            self.waiters.append(done)
        self.wake()
        done.wait(DEADLINE)

    def clear(self):
        with self.lock:
            for link in self.links:
                for end in link:
                    end.sock.close()
            for listener, *_ in self.listeners.values():
                listener.close()
            self.links.clear()
            self.listeners.clear()
        self.wake()

    def under_way(self):
        """How many bytes have not arrived in a socket at the other end; for some there may be no
        room."""
        with self.lock:
            return sum(unsent(end.sock) for link in self.links for end in link)

    def run(self):
        calm = waiting = 0
        while True:
            poll = select.poll()
            with self.lock:
                poll.register(self.wake_read, select.POLLIN)
                for number in self.listeners:
                    poll.register(number, select.POLLIN)
                for link in self.links:
                    for end, other in (link, link[::-1]):
                        wanted = 0
                        if not end.ended and not other.out and (other.ready or not end.ready):
                            wanted |= select.POLLIN
                        if end.out or (end.closing and end.ready and not end.shut):
                            wanted |= select.POLLOUT
                        if not (end.ended and end.shut):
                            poll.register(end.sock, wanted)
            ready = dict(poll.poll(0))
            if not ready and self.waiters:
                # On a busy machine bytes are under way for a moment even between two processes
                ready = dict(poll.poll(1))
                if not ready:
                    before, waiting = waiting, self.under_way()
                    calm = calm + 1 if waiting == before else 0
                    if calm < (3 if waiting == 0 else 20):
                        continue
                    with self.lock:
                        for done in self.waiters:
                            done.set()
                        self.waiters.clear()
            elif not ready:
                ready = dict(poll.poll())
            calm = 0
            if self.wake_read in ready:
                try:
                    os.read(self.wake_read, 4096)
                except BlockingIOError:
                    pass
            with self.lock:
                self.work(ready)

    def work(self, ready):
        # What is accepted below may have the number of a socket that was closed meanwhile
        links = list(self.links)
        for number in list(self.listeners):
            if number in ready:
                listener, port, there, here = self.listeners[number]
                sock, _ = listener.accept()
                try:
                    target = connected("127.0.0.1", port)
                except OSError:
                    abort(sock)
                    continue
                for side in (sock, target):
                    side.setblocking(False)
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.links.append((Flow(sock, here, True), Flow(target, there, False)))
        for link in links:
            over = False
            for end, other in (link, link[::-1]):
                events = ready.get(end.sock.fileno(), 0)
                try:
                    if events & ~select.POLLOUT and not end.ended and not other.out:
                        other.put(end.receive())
                        if end.ended:
                            other.finish()
                    elif events & (select.POLLERR | select.POLLHUP):
                        if not end.ended:
                            raise ConnectionResetError
                        # Nobody takes the alert for a session that was cut: what came before is
                        # still passed on.
                        end.out, end.shut = b"", True
                    end.transmit()
                    other.transmit()
                except OSError:
                    abort(end.sock)
                    abort(other.sock)
                    over = True
                    break
            if over or all(end.ended and end.shut for end in link):
                self.links.remove(link)
                for end in link:
                    end.sock.close()


class TlsCommands(peer.Commands):
    relays = None
    recorded = b""

    def context(self, name, role, *settings):
        values = dict(word.split("=", 1) for word in settings)
        server = role == "server"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL,
                               "required": ssl.CERT_REQUIRED}[values.get("verify", "none")]
        if "ca" in values:
            context.load_verify_locations(values["ca"])
        if "cert" in values:
            context.load_cert_chain(values["cert"], values.get("key"))
        if "seclevel0" in values:
            context.set_ciphers("ALL:@SECLEVEL=0")
        if "ciphers" in values:
            context.set_ciphers(values["ciphers"])
        if "min" in values:
            context.minimum_version = VERSIONS[values["min"]]
        if "max" in values:
            context.maximum_version = VERSIONS[values["max"]]
        if "alpn" in values:
            context.set_alpn_protocols(values["alpn"].split(","))
        if "tickets" in values:
            context.num_tickets = int(values["tickets"])
        context.seen = None
        if server:
            names = dict(pair.split(":") for pair in values.get("sni", "").split(",") if pair)
            context.sni_callback = sni_callback(names)
        contexts[name] = context

    def start(self, name, sock, context, server, servername=None, session=None):
        tls = TlsSocket(sock, contexts[context], server, servername, session)
        named[name] = tls
        tls.handshake()
        return tls.info()

    def accepting(self, name, listener, context, dress):
        """Takes the next connection and shakes hands, in a thread."""
        event = named.expect(name)
        listener, context = named[listener], contexts[context]

        def work():
            tls = None
            try:
                sock, _ = listener.accept()
                sock.settimeout(DEADLINE)
                if sock.family != socket.AF_UNIX:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                tls = TlsSocket(dress(sock), context, True)
                tls.handshake()
                return tls.info()
            finally:
                named.arrived(name, event, tls)
        in_thread(name, work)

    def tlsaccept(self, name, listener, context):
        self.accepting(name, listener, context, lambda sock: sock)

    def tlsslow(self, name, listener, context, milliseconds):
        self.accepting(name, listener, context, lambda sock: slowed(sock, milliseconds))

    def tlshalf(self, name, listener, context, count):
        def work():
            sock, _ = named[listener].accept()
            sock.settimeout(DEADLINE)
            tls = TlsSocket(sock, contexts[context], True)
            tls.kept = b""
            named[name] = tls
            tls.incoming.write(sock.recv(65536))
            try:
                tls.tls.do_handshake()
            except ssl.SSLWantReadError:
                tls.flush()
            sock.sendall(tls.kept[:int(count)])
            return len(tls.kept)
        in_thread(name, work)

    def rude(self, name, listener, how, text=""):
        def work():
            sock, _ = named[listener].accept()
            sock.settimeout(DEADLINE)
            named[name] = sock
            sock.recv(65536)
            sock.sendall(bytes.fromhex(text))
            if how == "close":
                sock.close()
            elif how == "fin":
                sock.shutdown(socket.SHUT_WR)
            elif how == "reset":
                abort(sock)
        in_thread(name, work)

    def tlsconnect(self, name, host, port, context, servername=None, resume=None):
        session = named[resume].tls.session if resume else None
        sock = connected(host, port)
        sock.settimeout(DEADLINE)
        return self.start(name, sock, context, False, servername, session)

    def slowconnect(self, name, host, port, context, milliseconds):
        def work():
            sock = connected(host, port)
            sock.settimeout(DEADLINE)
            return self.start(name, slowed(sock, milliseconds), context, False)
        in_thread(name, work)

    def unixconnect(self, name, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(DEADLINE)
        sock.connect(path)
        keep(name, sock)

    def tlsclient(self, name, context, servername=None):
        return self.start(name, named[name], context, False, servername)

    def tlsserver(self, name, context):
        return self.start(name, named[name], context, True)

    def info(self, name):
        return named[name].info()

    def notify(self, name):
        named[name].notify()

    def fin(self, name):
        named[name].sock.shutdown(socket.SHUT_WR)

    def cut(self, name):
        named.pop(name).sock.close()

    def withhold(self, name):
        named[name].kept = b""

    def letgo(self, name, count=None):
        peer_ = named[name]
        count = len(peer_.kept) if count is None else int(count)
        peer_.sock.sendall(peer_.kept[:count])
        peer_.kept = peer_.kept[count:]
        return len(peer_.kept)

    def dripall(self, name):
        peer_ = named[name]
        for byte in peer_.kept:
            peer_.sock.sendall(bytes([byte]))
            time.sleep(0.0005)
        peer_.kept = None

    def spoil(self, name):
        peer_ = named[name]
        peer_.kept = peer_.kept[:-1] + bytes([peer_.kept[-1] ^ 1])

    def alert(self, name):
        peer_ = named[name]
        peer_.incoming.write(b"\x17\x03\x03\x00\x20" + bytes(32))
        try:
            peer_.tls.read(1)
        except ssl.SSLError:
            pass
        peer_.flush()

    def raw(self, name, text):
        sock = named[name]
        getattr(sock, "sock", sock).sendall(bytes.fromhex(text))

    def flight(self, host, port, context, servername=None):
        sock = connected(host, port)
        sock.settimeout(DEADLINE)
        tls = TlsSocket(sock, contexts[context], False, servername)
        parts = []
        send = sock.sendall

        def record(data):
            parts.append(bytes(data))
            send(data)
        tls.sock = Instead(sock, sendall=record)
        tls.handshake()
        tls.sendall(b"hello\n")
        sock.close()
        TlsCommands.recorded = b"".join(parts)
        return " ".join(str(len(part)) for part in parts)

    def cuts(self, host, port, first, last):
        def work():
            count = 0
            for length in range(int(first), int(last)):
                sock = connected(host, port)
                sock.sendall(self.recorded[:length])
                if length % 2:
                    abort(sock)
                else:
                    sock.close()
                count += 1
            return count
        in_thread("cuts", work)

    def many(self, host, port, count, context):
        async def one(number, start):
            await start.wait()
            reader, writer = await asyncio.open_connection(
                host, int(port), ssl=contexts[context], server_hostname="localhost",
                ssl_handshake_timeout=DEADLINE * 2)
            line = b"%d\n" % number
            writer.write(line)
            right = await reader.readline() == line
            writer.close()
            return right

        async def every():
            start = asyncio.Event()
            tasks = [asyncio.ensure_future(one(number, start)) for number in range(int(count))]
            start.set()
            answers = await asyncio.wait_for(
                asyncio.gather(*tasks, return_exceptions=True), DEADLINE * 2)
            failures = [answer for answer in answers if answer is not True]
            return "%d %s" % (answers.count(True), failures[:1] or "")
        in_thread("many", lambda: asyncio.run(every()))

    def echoes(self, host, context):
        listener = socket.socket()
        listener.bind((host, 0))
        listener.listen(200)
        keep("echoes.%d" % listener.getsockname()[1], listener)
        listener.settimeout(None)

        def serve(sock):
            try:
                tls = TlsSocket(sock, contexts[context], True)
                tls.handshake()
                while True:
                    piece = tls.recv(65536)
                    if not piece:
                        break
                    tls.sendall(piece)
                tls.close()
            except OSError:
                sock.close()

        def work():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                sock.settimeout(DEADLINE)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=serve, args=(sock,), daemon=True).start()
        threading.Thread(target=work, daemon=True).start()
        return listener.getsockname()[1]

    def relay(self, name, there, port, *words):
        words = list(words)
        there = contexts[words.pop(0)] if there == "tls" else None
        here = contexts[words.pop(1)] if words[0] == "tls" else None
        if TlsCommands.relays is None:
            TlsCommands.relays = Relays()
        answer = self.listen(name)
        self.relays.add(named.pop(name), int(port), there, here)
        return answer

    def quiet(self):
        if self.relays is not None:
            self.relays.quiet()

    def forget(self):
        if self.relays is not None:
            self.relays.clear()
        for sock in named.values():
            # No goodbye to peers that are gone already
            getattr(sock, "sock", sock).close()
        named.clear()
        super().forget()


if __name__ == "__main__":
    peer.main(TlsCommands())
