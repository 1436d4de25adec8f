#!/usr/bin/env python3
"""The page in a real browser: it is dropped, comes back, goes away for too long, and is told so.

usage: browser.py PROGRAM PICTURE

PROGRAM: the server. PICTURE: where the screenshot goes. The browser is Debian's chromium, headless, spoken to over a pipe.
"""
import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

PATIENCE = 60
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --window-size=820,1400 --remote-debugging-pipe"
).split()


class Browser:
    """One page of a browser."""

    def __init__(self, profile):
        ours, its_out = os.pipe()
        its_in, self.out = os.pipe()
        # It reads its file 3 and writes its file 4.
        for file, number in ((its_in, 13), (its_out, 14)):
            os.dup2(file, number)
            os.close(file)
        command = ["bash", "-c", 'exec "$@" 3<&13 4>&14 13<&- 14>&-', "-", "chromium"]
        self.process = subprocess.Popen(
            [*command, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(13, 14),
            stderr=subprocess.DEVNULL,
        )
        os.close(13)
        os.close(14)
        self.read = os.fdopen(ours, "rb")
        self.rest = b""
        self.count = 0
        self.session = None
        pages = self.call("Target.getTargets")["targetInfos"]
        page = next(page["targetId"] for page in pages if page["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]

    def call(self, method, **params):
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                part = self.read.read1(1 << 16)
                assert part, "the browser is gone"
                self.rest += part
            text, self.rest = self.rest.split(b"\0", 1)
            answer = json.loads(text)
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]

    def value(self, script):
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, script):
        end = time.monotonic() + PATIENCE
        while not self.value(script):
            assert time.monotonic() < end, f"never: {script}; {self.value('JSON.stringify(story)')}"
            time.sleep(0.1)

    def end(self):
        self.session = None
        self.call("Browser.close")
        self.process.wait(PATIENCE)


def contiguous(values):
    return all(after == before + 1 for before, after in zip(values, values[1:]))


def main():
    program, picture = sys.argv[1:]
    server = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
    address = server.stdout.readline().strip()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        # Each stream ends after four events, and the browser comes back by itself, with `Last-Event-ID`.
        browser.call("Page.navigate", url=f"{address}/?most=4")
        browser.until("typeof story == 'object' && story.values.length >= 17")
        values = browser.value("story.values")
        assert contiguous(values), values
        opened = browser.value("story.opened")
        assert opened >= 4, opened
        print(f"dropped and back by itself {opened - 1} times: {len(values)} values, no gap")

        # Away for three seconds.
        browser.value("$('short').click()")
        before = browser.value("story.values.length")
        browser.until("story.notes.includes('back')")
        browser.until(f"story.values.length >= {before + 5}")
        values = browser.value("story.values")
        assert contiguous(values), values
        print(f"away for 3 s: {len(values)} values, no gap")

        # Away for longer than the server remembers.
        browser.value("away(8)")
        browser.until("story.notes.some(note => note.startsWith('away too long'))")
        browser.until("$('who').textContent.includes('watcher since')")
        notes = browser.value("story.notes")
        values = browser.value("story.values")
        gaps = [(a, b) for a, b in zip(values, values[1:]) if b != a + 1]
        assert len(gaps) == 1, gaps
        last, first = gaps[0]
        assert f"away too long: {first - last - 1} after #{last} are forgotten" in notes, notes
        print(f"away for 8 s: told of the gap between #{last} and #{first}, and of no other")

        missed = browser.value("$('tally').textContent")
        assert browser.value("document.querySelectorAll('td.lost').length") > 0, missed
        print(missed)
        shot = browser.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        with open(picture, "wb") as file:
            file.write(base64.b64decode(shot))

        # The server stops although a page watches.
        server.send_signal(signal.SIGINT)
        server.wait(PATIENCE)
        print("the server drained and stopped")
        browser.end()


main()
