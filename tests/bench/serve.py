#!/usr/bin/env python3
"""Measures the listener while a first import runs, with 1,000 idle connections, and page by page. Run by hand:

    tests/bench/serve.py BINARY DIR [CLIENTS]

DIR is what `sandbox --data` takes. Service, connector and this client share the machine, so read ratios.
"""
import http.client, json, os, re, resource, subprocess, sys, tempfile, threading, time

binary, data = sys.argv[1:3]
clients = int(sys.argv[3]) if len(sys.argv) > 3 else 8
KEY = "0123456789abcdef0123456789abcdef"
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))


def memory(process):
    with open(f"/proc/{process.pid}/status") as status:
        found = dict(line.split(":", 1) for line in status)
    return f"{found['VmRSS'].strip()}, highest {found['VmHWM'].strip()}"


def processor_seconds(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connect(address):
    return http.client.HTTPConnection(address, timeout=30)


def ask(connection, method, path):
    connection.request(method, path, headers={"Authorization": f"Bearer {KEY}"})
    answer = connection.getresponse()
    return answer.status, answer.read()


with tempfile.TemporaryDirectory() as place:
    sandbox = subprocess.Popen([binary, "sandbox", "--listen", "127.0.0.1:0", "--data", data],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    endpoint = sandbox.stdout.readline().strip()
    config = os.path.join(place, "generic.json")
    with open(config, "w") as file:
        json.dump({"name": "bench", "endpoint": endpoint, "apiKey": "sandbox", "pollingPeriod": "1h",
                   "listen": "127.0.0.1:0", "listenKey": KEY}, file)
    os.chmod(config, 0o600)
    connector = subprocess.Popen([binary, "run", "--config", config], stderr=subprocess.PIPE, text=True)
    try:
        for line in connector.stderr:
            if found := re.search(r"listening on http://(\S+)", line):
                address = found[1]
                break
        imported = threading.Event()

        def watch():
            for line in connector.stderr:
                if re.search(r"poll 1 \w+:", line):
                    print(line.strip())
                    imported.set()

        threading.Thread(target=watch, daemon=True).start()
        latencies, statuses, lock = [], {}, threading.Lock()

        def load():
            connection, mine, seen = connect(address), [], {}
            page = 0
            while not imported.is_set():
                page = page % 50 + 1
                start = time.perf_counter()
                status, _ = ask(connection, "GET", f"/transactions?page={page}&pageSize=100&sort=updatedAt%3Aasc")
                mine.append(time.perf_counter() - start)
                seen[status] = seen.get(status, 0) + 1
            with lock:
                latencies.extend(mine)
                for status, count in seen.items():
                    statuses[status] = statuses.get(status, 0) + count

        start = time.perf_counter()
        threads = [threading.Thread(target=load) for _ in range(clients)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        elapsed = time.perf_counter() - start
        latencies.sort()
        at = lambda share: f"{1000 * latencies[int(share * (len(latencies) - 1))]:.1f} ms"
        print(f"while the import ran ({elapsed:.1f} s), {clients} clients: {len(latencies) / elapsed:.0f} requests/s, "
              f"p50 {at(0.5)}, p99 {at(0.99)}, worst {at(1)}, statuses {statuses}")
        print(f"memory after the import: {memory(connector)}")

        def pages(beside):
            again = connect(address)
            start, used = time.perf_counter(), processor_seconds(connector)
            for _ in range(2000):
                ask(again, "GET", "/transactions?pageSize=100")
            print(f"one client beside {beside}: {2000 / (time.perf_counter() - start):.0f} pages of 100 a second, "
                  f"{500 * (processor_seconds(connector) - used):.0f} µs of CPU each")

        pages("no others")
        idle = [connect(address) for _ in range(1000)]
        for connection in idle:
            ask(connection, "GET", "/beneficiaries?pageSize=1")
        print(f"memory with 1,000 idle connections: {memory(connector)}")
        pages("them")
        again = connect(address)
        walked, page, body = [], 0, b"-"
        while body != b"[]":
            page += 1
            start = time.perf_counter()
            body = ask(again, "GET", f"/transactions?page={page}&pageSize=100&sort=updatedAt%3Aasc")[1]
            walked.append(1000 * (time.perf_counter() - start))
        tenth = max(1, len(walked) // 10)
        print(f"{page - 1} pages by number: {sum(walked[:tenth]) / tenth:.2f} ms in the first tenth of them, "
              f"{sum(walked[-tenth:]) / tenth:.2f} ms in the last")
    finally:
        connector.terminate()
        sandbox.terminate()
