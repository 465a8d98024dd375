#!/usr/bin/env python3
"""Measures `status`, the status page and a scrape on a state of a few hundred records, and on one of many. Run by hand:

    tests/bench/status.py BINARY [RECORDS]

RECORDS are 10,000,000 by default; they are written with SQL and need about 200 bytes of disk each. The first run after
that is left out: it finds no page of the file in memory. Needs Python 3.11 or newer, for its SQLite.
"""
import json, os, sqlite3, statistics, subprocess, sys, tempfile, time, urllib.request

binary = sys.argv[1]
records = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
RUNS = 21
VERSIONS = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO version (stream, id, number, timestamp, hash, observed_at, poll, json)
    SELECT 'transactions', printf('many-%09d', i), 1, '2024-01-01T00:00:00.000000000Z', zeroblob(16),
           '2024-01-01T00:00:00Z', 1, '{}' FROM n"""
RECORDS = """
    INSERT INTO old_transaction (id, seq) SELECT id, seq FROM version WHERE id LIKE 'many-%' ORDER BY id"""
LISTED = """
    INSERT INTO listed (stream, place, stamp, seq)
    SELECT 'transactions', seq + 1000000, 1704067200000000000 + seq, seq FROM version WHERE id LIKE 'many-%' ORDER BY seq"""
COUNTS = """
    INSERT INTO counted VALUES ('record', 'transactions', ?1), ('version', 'transactions', ?1)
    ON CONFLICT DO UPDATE SET rows = rows + ?1"""


def status(config):
    start = time.perf_counter()
    shown = subprocess.run([binary, "status", "--json", "--config", config], stdout=subprocess.PIPE, check=True)
    return 1000 * (time.perf_counter() - start), json.loads(shown.stdout)


def fetch(request):
    start = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        size = len(answer.read())
    return 1000 * (time.perf_counter() - start), size


def measure(config, what):
    status(config)
    times, shown = zip(*(status(config) for _ in range(RUNS)))
    stored = sum(stream["records"] for stream in shown[0]["streams"])
    report(f"{what}: {stored} records, status", times)
    connector = subprocess.Popen([binary, "run", "--config", config], stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(connector.stderr.readline, "")
        address = next(line.split("observed on ")[1].strip() for line in lines if "observed on " in line)
        for path, name in [("/", "a page"), ("/metrics", "a scrape")]:
            request = urllib.request.Request(address + path, headers={"Authorization": "Bearer observe"})
            fetch(request)
            times, sizes = zip(*(fetch(request) for _ in range(RUNS)))
            report(f"{what}: {stored} records, {name} of {max(sizes)} bytes", times)
    finally:
        connector.terminate()
        connector.communicate()


def report(what, times):
    print(f"{what}: {statistics.median(times):.1f} ms, {min(times):.1f} to {max(times):.1f}")


with tempfile.TemporaryDirectory() as place:
    sandbox = subprocess.Popen([binary, "sandbox", "--listen", "127.0.0.1:0"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        config = os.path.join(place, "generic.json")
        with open(config, "w") as file:
            json.dump({"name": "bench", "endpoint": sandbox.stdout.readline().strip(), "apiKey": "sandbox",
                       "pollingPeriod": "1h", "listen": "127.0.0.1:0", "listenKey": "listen",
                       "observe": "127.0.0.1:0", "observeKey": "observe"}, file)
        os.chmod(config, 0o600)
        subprocess.run([binary, "poll", "--config", config], stderr=subprocess.DEVNULL, check=True)
    finally:
        sandbox.terminate()
    measure(config, "few")
    path = os.path.join(place, "state", "state.sqlite3")
    state = sqlite3.connect(path)
    state.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; PRAGMA cache_size = -65536;")
    with state:
        state.execute(VERSIONS, (records,))
        state.execute(RECORDS)
        state.execute(LISTED)
        state.execute(COUNTS, (records,))
    state.execute("PRAGMA journal_mode = WAL")
    state.close()
    print(f"the state has {os.path.getsize(path) / 1e6:.0f} MB")
    measure(config, "many")
