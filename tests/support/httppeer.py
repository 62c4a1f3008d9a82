"""Python's own HTTP client, and requests, as peers of the suite httpclients.

    python3 httppeer.py httpclient|requests URL ?CAFILE?

The server has /text, /stream, /echo (the body of a POST), /big (3,000,000 times x), /redirect (to /text)
and /status/204. Prints a line for each thing that was tried, and ends with 0 when all went well.
"""

import http.client
import io
import sys
import urllib.parse


def check(what, found, expected):
    print(what, "ok" if found == expected else f"{found!r} in place of {expected!r}")


def httpclient(url, cafile):
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        import ssl
        context = ssl.create_default_context(cafile=cafile)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=20, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    connection.connect()
    socket = connection.sock

    def ask(method, path, body=None, headers={}, **more):
        connection.request(method, path, body, headers, **more)
        response = connection.getresponse()
        return response.status, response.read()

    check("get", ask("GET", "/text"), (200, b"text"))
    check("stream", ask("GET", "/stream"), (200, b"abc"))
    check("post", ask("POST", "/echo", b"hello"), (200, b"hello"))
    pieces = (b"piece%d," % i for i in range(1000))
    expected = b"".join(b"piece%d," % i for i in range(1000))
    check("chunks", ask("POST", "/echo", pieces, {"Transfer-Encoding": "chunked"}, encode_chunked=True),
          (200, expected))
    check("file", ask("POST", "/echo", io.BytesIO(b"y" * 900_000)), (200, b"y" * 900_000))
    check("head", ask("HEAD", "/text"), (200, b""))
    check("204", ask("GET", "/status/204"), (204, b""))
    check("big", ask("GET", "/big"), (200, b"x" * 3_000_000))
    check("404", ask("GET", "/missing")[0], 404)
    check("one connection", connection.sock is socket, True)
    check("close", ask("GET", "/text", headers={"Connection": "close"}), (200, b"text"))
    check("closed", connection.sock, None)


def with_requests(url, cafile):
    import requests
    session = requests.Session()
    session.verify = cafile or True
    session.trust_env = False
    check("get", session.get(f"{url}/text").text, "text")
    check("stream", session.get(f"{url}/stream").text, "abc")
    check("query", session.get(f"{url}/query", params={"a": "b c", "d": "ä"}).text, "a=b+c&d=%C3%A4")
    check("form", session.post(f"{url}/form", data={"a": "b c", "d": "ä"}).text, "a {b c} d ä")
    check("upload", session.post(f"{url}/upload", files={"f": ("n.bin", b"\0\1\2" * 1000, "a/b")},
                                 data={"k": "v"}).text, "k v f n.bin 3000 a/b")
    check("chunks", session.post(f"{url}/echo", data=(b"%d" % i for i in range(100))).content,
          b"".join(b"%d" % i for i in range(100)))
    response = session.get(f"{url}/redirect")
    check("redirect", (response.text, len(response.history)), ("text", 1))
    check("json", session.get(f"{url}/json").json(), {"a": [1, "ä"]})
    check("gzip", (session.get(f"{url}/long").text, session.get(f"{url}/long").headers.get("content-encoding")),
          ("z" * 10_000, "gzip"))
    check("cookie", (session.get(f"{url}/cookie").text, session.get(f"{url}/cookie").text),
          ("none", "name=value"))
    with session.get(f"{url}/big", stream=True) as response:
        check("big", sum(len(piece) for piece in response.iter_content(10_000)), 3_000_000)


if __name__ == "__main__":
    kind, url, *cafile = sys.argv[1:]
    {"httpclient": httpclient, "requests": with_requests}[kind](url, cafile[0] if cafile else None)
