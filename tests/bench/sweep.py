#!/usr/bin/env python3
"""Counts the requests of an import, of a poll that finds nothing new, and of a sweep. Run by hand:

    tests/bench/sweep.py BINARY DIR

DIR is what `sandbox --data` takes; records.py makes one of any size. A request by number names a page after the first:
a database counts through everything before it. A request by date has a filter.
"""
import collections, http.client, http.server, json, os, subprocess, sys, tempfile, threading, time, urllib.parse

binary, data = sys.argv[1:3]
counts = collections.Counter()


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behind = None
    local = threading.local()

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        counts["requests"] += 1
        page = int(query.get("page", ["1"])[0])
        counts["by number"] += page > 1
        counts["deepest page"] = max(counts["deepest page"], page)
        counts["by date"] += any(name.endswith("AtFrom") for name in query)
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(self.behind, timeout=60)
        headers = {name: self.headers[name] for name in ("Authorization", "Accept") if name in self.headers}
        self.local.connection.request("GET", self.path, headers=headers)
        answer = self.local.connection.getresponse()
        body = answer.read()
        counts["records"] += body.count(b'"createdAt"')
        self.send_response(answer.status)
        for name in ("Content-Type", "Date"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_response(self, status):
        self.send_response_only(status)

    def log_message(self, *_):
        pass


with tempfile.TemporaryDirectory() as place:
    sandbox = subprocess.Popen([binary, "sandbox", "--listen", "127.0.0.1:0", "--data", data],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        Proxy.behind = sandbox.stdout.readline().strip().removeprefix("http://")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def configured(sweep_period):
            config = os.path.join(place, f"{sweep_period}.json")
            with open(config, "w") as file:
                json.dump({"name": "bench", "endpoint": f"http://127.0.0.1:{server.server_port}", "apiKey": "sandbox",
                           "stateDir": os.path.join(place, "state"), "sweepPeriod": sweep_period}, file)
            os.chmod(config, 0o600)
            return config

        def poll(config, *more):
            subprocess.run([binary, "poll", "--config", config, *more], stderr=subprocess.DEVNULL, check=True)

        def sweep_when_due():
            config = configured("1ms")
            while True:
                # Each poll is followed by a slice.
                poll(config)
                status = json.loads(subprocess.check_output([binary, "status", "--json", "--config", config]))
                if status["sweep"]["number"] >= 2 and status["sweep"]["endedAt"]:
                    return

        config = configured("24h")
        rows = (("import", lambda: poll(config)), ("nothing new", lambda: poll(config)),
                ("sweep that is asked for", lambda: poll(config, "--sweep")), ("sweep that is due", sweep_when_due))
        for what, run in rows:
            counts.clear()
            start = time.perf_counter()
            run()
            print(f"{what}: {time.perf_counter() - start:.1f} s, {counts['requests']} requests, {counts['by number']} by "
                  f"number (the deepest page is {counts['deepest page']}), {counts['by date']} by date, "
                  f"{counts['records']} records answered")
    finally:
        sandbox.terminate()
