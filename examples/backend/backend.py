"""A complete small VoIP backend: it takes SIP-like calls over HTTP, has relay
ring the callee, and hears by webhooks what becomes of it.

    URL=http://127.0.0.1:8080 KEY=rk_… python3 examples/backend/backend.py
    curl -N 127.0.0.1:9000/invite -d '{"call_id": "sip-1", "from": "u1", "to": "demo-user"}'

It needs Python 3.9 or newer and no package.
"""

import base64
import hashlib
import hmac
import json
import os
import queue
import select
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RELAY, KEY = os.environ.get("URL"), os.environ.get("KEY")

# The SIP answers to calls that nobody answered.
FINALS = {
    "rejected": "603 Decline", "busy": "486 Busy Here", "missed": "480 Temporarily Unavailable",
    "unreachable": "480 Temporarily Unavailable", "canceled": "487 Request Terminated",
    "failed": "500 Server Internal Error", "completed": "200 OK",
}
waiting = {}  # who waits for a call's events, by our own id of it, which relay keeps as ref
calls = {}  # relay's id of each call
secret = b""


def ask(method, path, body=None, **headers):
    """Asks relay."""
    headers["Authorization"] = "Bearer " + KEY
    data = None
    if body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    try:
        with urllib.request.urlopen(urllib.request.Request(RELAY + path, data, headers, method=method)) as answer:
            text = answer.read()
    except urllib.error.HTTPError as e:
        raise RuntimeError(f"{method} {path}: {e.code} {e.read().decode()}") from None
    return json.loads(text) if text else None


def signed(headers, body):
    """Checks a webhook's signature and age (Standard Webhooks)."""
    at = headers.get("webhook-timestamp", "")
    if not at.isdigit() or abs(time.time() - int(at)) > 300:
        return False
    content = f"{headers.get('webhook-id')}.{at}.".encode() + body
    want = "v1," + base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
    # Several, while the secret is changed.
    return any(hmac.compare_digest(one.encode(), want.encode()) for one in headers.get("webhook-signature", "").split())


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        route = {"/invite": self.invite, "/bye": self.bye, "/events": self.hear}.get(self.path)
        if route is None:
            return self.answer(404)
        try:
            route(body)
        except (ValueError, KeyError) as e:
            self.answer(400, f"{e}\n")

    def answer(self, status, text=""):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def say(self, line):
        self.wfile.write(f"SIP/2.0 {line}\n".encode())
        self.wfile.flush()

    def left(self):
        """Whether the caller has hung up."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def invite(self, body):
        """Answers as a SIP server would: provisional answers as they come, then
        the final one. A caller that hangs up before it cancels the call."""
        given = json.loads(body)
        call_id, caller, callee = given["call_id"], given["from"], given["to"]
        # Before the call exists: its events may come before the answer.
        told = waiting[call_id] = queue.Queue()
        self.send_response(200)
        self.end_headers()
        try:
            self.say("100 Trying")
            # The same Idempotency-Key makes the same call: an INVITE may come twice.
            call = ask("POST", "/v1/calls", {
                "ref": call_id, "caller": {"user_id": caller}, "callee": {"user_id": callee}, "media": "voice",
            }, **{"Idempotency-Key": call_id})
            calls[call_id] = call["id"]
            while call["status"] != "ended":
                try:
                    kind, call = told.get(timeout=0.1)
                except queue.Empty:
                    if self.left():
                        ask("POST", f"/v1/calls/{call['id']}/cancel")
                        return
                    continue
                if kind == "call.ringing":
                    self.say("180 Ringing")
                elif kind == "call.answered":
                    self.say("200 OK")
                    return
            self.say(FINALS[call["end_reason"]])
        except RuntimeError as e:
            print(e, file=sys.stderr)
            self.say("500 Server Internal Error")
        finally:
            del waiting[call_id]

    def bye(self, body):
        """Ends a call."""
        call = calls.pop(json.loads(body)["call_id"], None)
        if call is None:
            return self.answer(404, "SIP/2.0 481 Call/Transaction Does Not Exist\n")
        ask("POST", f"/v1/calls/{call}/end")
        self.answer(200, "SIP/2.0 200 OK\n")

    def hear(self, body):
        """Takes a webhook. It answers 204 at once, whether or not the event is
        news to it: relay sends an event again until it is taken."""
        if not signed(self.headers, body):
            return self.answer(401, "the signature is not good\n")
        event = json.loads(body)["data"]
        told = waiting.get((event.get("call") or {}).get("ref"))
        if told:
            told.put((event["type"], event["call"]))
        self.answer(204)

    def log_message(self, *_):
        pass


def main():
    global secret
    if not RELAY or not KEY:
        sys.exit("set URL and KEY, as relay dev prints them")
    host, port = os.environ.get("ADDR", "127.0.0.1:9000").split(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    me = f"http://{host}:{server.server_port}"
    hook = ask("POST", "/v1/webhooks", {
        "url": me + "/events", "types": ["call.ringing", "call.answered", "call.ended"], "description": "the example backend",
    })
    secret = base64.b64decode(hook["secret"].removeprefix("whsec_"))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print("listening on", me, flush=True)
    server.serve_forever()
    ask("DELETE", "/v1/webhooks/" + hook["id"])


main()
