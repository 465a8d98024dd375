#!/usr/bin/env python3
"""Writes a bank of many transactions for `sandbox --data`, with ids in random order, as services give them. Run by hand:

    tests/bench/records.py TRANSACTIONS DIR

It has 100 accounts, and one transaction every 20 seconds. The same number gives the same bank. A million has 270 MB.
"""
import json, os, random, sys, time

transactions, directory = int(sys.argv[1]), sys.argv[2]
ACCOUNTS = 100
START = 1_577_836_800  # 2020-01-01T00:00:00Z
random = random.Random(transactions)
os.makedirs(directory, exist_ok=True)


def date(number):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START + 20 * number))


def write(stream, records):
    with open(os.path.join(directory, f"{stream}.ndjson"), "w") as file:
        for record in records:
            file.write(json.dumps(record, separators=(",", ":")) + "\n")


def transaction(number):
    return {"id": f"tx-{random.getrandbits(64):016x}", "createdAt": date(number), "updatedAt": date(number),
            "currency": "EUR/2", "scheme": "SEPA_CREDIT", "type": "PAYIN", "status": "SUCCEEDED",
            "amount": str(random.randrange(1, 1_000_000)), "destinationAccountID": f"acc-{number % ACCOUNTS}",
            "metadata": {"order": f"{random.getrandbits(32):08x}", "channel": "web"}}


names = range(ACCOUNTS)
write("accounts", ({"id": f"acc-{n}", "accountName": f"Account {n}", "createdAt": date(0)} for n in names))
write("balances", ({"id": f"bal-{n}", "accountID": f"acc-{n}", "at": date(0),
                    "balances": [{"amount": "100", "currency": "EUR/2"}]} for n in names))
write("transactions", (transaction(number) for number in range(transactions)))
