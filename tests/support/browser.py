#!/usr/bin/env python3
"""Windows of headless Chromium, driven over chromedriver's WebDriver protocol.

Reads one command a line from standard input, its words in hexadecimal UTF-8, and answers each with
one line, "ok HEX" or "error HEX". Each window is a browser of its own, with a fresh profile.

  open NAME WIDTH HEIGHT [phone]   a window; phone: a touch screen
  go NAME URL                      goes to a page, waits until it is loaded
  js NAME SCRIPT                   what the script returns; lists and objects as JSON
  type NAME SELECTOR TEXT          types into an element; a line feed is the Enter key
  keys NAME TEXT                   types into whatever has the focus; TAB, ESC, ENTER are those keys
  click NAME SELECTOR              clicks an element, as far as one can
  media NAME FEATURE VALUE         such as prefers-color-scheme dark
  shot NAME FILE                   the window as PNG
  log NAME                         what the page has complained about since the last time
  close NAME
"""
import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
    --disable-background-networking --disable-component-update --disable-sync""".split()
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"     # the name that the standard gives it
KEYS = {"TAB": "\ue004", "ENTER": "\ue007", "ESC": "\ue00c", "\n": "\ue007"}


class Driver:
    def __init__(self):
        self.process = subprocess.Popen(
            ["chromedriver", "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            found = re.search(r"successfully on port (\d+)", line)
            if found:
                self.base = "http://127.0.0.1:" + found.group(1)
                break
        else:
            raise OSError("chromedriver does not start")
        # No proxy of the environment stands between us and it.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with self.opener.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise OSError("%s: %s" % (value["error"], value["message"].split("\n")[0])) from None


class Windows:
    def __init__(self):
        self.driver = None
        self.sessions = {}
        self.profiles = {}

    def ask(self, name, method, path, body=None):
        return self.driver.ask(method, "/session/%s/%s" % (self.sessions[name], path), body)

    def open(self, name, width, height, phone=""):
        self.driver = self.driver or Driver()
        profile = tempfile.mkdtemp()
        self.profiles[name] = profile
        options = {"args": FLAGS + ["--user-data-dir=" + profile, "--window-size=%s,%s" % (width, height)]}
        if phone:
            options["mobileEmulation"] = {"deviceMetrics": {
                "width": int(width), "height": int(height), "pixelRatio": 2.0, "touch": True, "mobile": True}}
        wanted = {"acceptInsecureCerts": True, "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        body = {"capabilities": {"alwaysMatch": wanted}}
        self.sessions[name] = self.driver.ask("POST", "/session", body)["sessionId"]

    def go(self, name, url):
        self.ask(name, "POST", "url", {"url": url})

    def js(self, name, script):
        value = self.ask(name, "POST", "execute/sync", {"script": script, "args": []})
        return value if isinstance(value, str) else json.dumps(value)

    def element(self, name, selector):
        return self.ask(name, "POST", "element", {"using": "css selector", "value": selector})[ELEMENT]

    def type(self, name, selector, text):
        text = text.replace("\n", KEYS["\n"])
        self.ask(name, "POST", "element/%s/value" % self.element(name, selector), {"text": text})

    def keys(self, name, text):
        actions = []
        for key in [KEYS[text]] if text in KEYS else text:
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.ask(name, "POST", "actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def click(self, name, selector):
        self.ask(name, "POST", "element/%s/click" % self.element(name, selector), {})

    def media(self, name, feature, value):
        params = {"features": [{"name": feature, "value": value}]}
        self.ask(name, "POST", "goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": params})

    def shot(self, name, file):
        with open(file, "wb") as image:
            image.write(base64.b64decode(self.ask(name, "GET", "screenshot")))

    def log(self, name):
        return "\n".join(entry["message"] for entry in self.ask(name, "POST", "se/log", {"type": "browser"}))

    def close(self, name):
        try:
            self.driver.ask("DELETE", "/session/" + self.sessions.pop(name))
        finally:
            shutil.rmtree(self.profiles.pop(name), ignore_errors=True)

    def quit(self):
        for name in list(self.sessions):
            try:
                self.close(name)
            except OSError:
                pass
        for profile in self.profiles.values():
            shutil.rmtree(profile, ignore_errors=True)
        if self.driver:
            self.driver.process.terminate()
            self.driver.process.wait()


def main():
    windows = Windows()
    try:
        for line in sys.stdin:
            command, *words = [bytes.fromhex(word).decode() for word in line.split()]
            try:
                answer = "ok " + (getattr(windows, command)(*words) or "").encode().hex()
            except (OSError, KeyError, TypeError, AttributeError) as error:
                answer = "error " + repr(error).encode().hex()
            print(answer, flush=True)
    finally:
        windows.quit()


main()
