#!/usr/bin/env python3
"""Reads a bank with this program and with others, and says how much CPU each takes. Run by hand:

    tests/bench/peers.py BINARY DIR

DIR is what `sandbox --data` takes. Each reads accounts, balances, beneficiaries and transactions on pages of 100 from a
sandbox, once, and stores every record by its id: this program in its state, dlt in DuckDB, and a loop of curl, jq and
sqlite3 in SQLite. Airbyte's CDK only prints what it reads. Needs curl, jq and sqlite3, and from PyPI "dlt[duckdb]" and
airbyte-cdk. CPU is that of the program and its children; the sandbox's does not count.
"""
import json, os, resource, subprocess, sys, tempfile

binary, data = sys.argv[1:3]

LOOP = """
set -euo pipefail
sqlite3 bank.db 'CREATE TABLE record (stream TEXT, id TEXT, json TEXT, PRIMARY KEY (stream, id))'
store() { jq -r --arg stream "$1" '"INSERT OR REPLACE INTO record VALUES (" + ([$stream, '"$2"', tojson]
    | map("'"'"'" + gsub("'"'"'"; "'"''"'") + "'"'"'") | join(",")) + ");"' | sqlite3 bank.db; }
for stream in accounts beneficiaries transactions; do
    page=1
    while curl -sf -H "Authorization: Bearer sandbox" "$1/$stream?page=$page&pageSize=100" >page.json; do
        [ "$(jq length page.json)" -gt 0 ] || break
        jq -c '.[]' page.json | store $stream .id
        page=$((page + 1))
    done
done
sqlite3 bank.db "SELECT id FROM record WHERE stream = 'accounts'" | while read -r id; do
    curl -sf -H "Authorization: Bearer sandbox" "$1/accounts/$id/balances" | store balances .accountID
done
sqlite3 bank.db "SELECT count(*) FROM record"
"""

DLT = """
import sys, dlt
from dlt.sources.rest_api import rest_api_source
pages = {"type": "page_number", "base_page": 1, "page_param": "page", "total_path": None, "stop_after_empty_page": True}
listed = lambda name: {"name": name, "primary_key": "id", "write_disposition": "merge",
                       "endpoint": {"path": name, "params": {"pageSize": 100}, "paginator": pages}}
balances = {"name": "balances", "primary_key": "accountID", "write_disposition": "merge", "endpoint": {
    "path": "accounts/{account}/balances", "paginator": "single_page", "data_selector": "$",
    "params": {"account": {"type": "resolve", "resource": "accounts", "field": "id"}}}}
source = rest_api_source({"client": {"base_url": sys.argv[1], "auth": {"type": "bearer", "token": "sandbox"}},
                          "resources": [listed("accounts"), listed("beneficiaries"), listed("transactions"), balances]})
pipeline = dlt.pipeline("bank", destination="duckdb", dataset_name="records", pipelines_dir=".")
pipeline.run(source)
counts = pipeline.last_trace.last_normalize_info.row_counts
print(sum(counts[name] for name in ("accounts", "beneficiaries", "transactions", "balances")))
"""

AIRBYTE = """
import json, logging, sys
from airbyte_cdk.models import ConfiguredAirbyteCatalog, ConfiguredAirbyteStream, DestinationSyncMode, SyncMode, Type
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
requester = {"type": "HttpRequester", "url_base": sys.argv[1], "http_method": "GET",
             "authenticator": {"type": "BearerAuthenticator", "api_token": "sandbox"}}
schema = {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {}}}
def stream(name, path, paginator, router=None):
    retriever = {"type": "SimpleRetriever", "requester": {**requester, "path": path}, "paginator": paginator,
                 "record_selector": {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": []}}}
    if router:
        retriever["partition_router"] = router
    return {"type": "DeclarativeStream", "name": name, "primary_key": ["id"], "retriever": retriever, "schema_loader": schema}
pages = {"type": "DefaultPaginator",
         "pagination_strategy": {"type": "PageIncrement", "page_size": 100, "start_from_page": 1, "inject_on_first_request": True},
         "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "page"},
         "page_size_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "pageSize"}}
listed = {name: stream(name, "/" + name, pages) for name in ("accounts", "beneficiaries", "transactions")}
router = {"type": "SubstreamPartitionRouter", "parent_stream_configs": [
    {"type": "ParentStreamConfig", "stream": listed["accounts"], "parent_key": "id", "partition_field": "account"}]}
balances = stream("balances", "/accounts/{{ stream_partition.account }}/balances", {"type": "NoPagination"}, router)
manifest = {"version": "6.0.0", "type": "DeclarativeSource", "streams": [*listed.values(), balances],
            "check": {"type": "CheckStream", "stream_names": ["accounts"]},
            "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}}}
source = ConcurrentDeclarativeSource(config={}, catalog=None, state=[], source_config=manifest)
logger = logging.getLogger("airbyte")
logger.setLevel(logging.ERROR)
catalog = ConfiguredAirbyteCatalog(streams=[
    ConfiguredAirbyteStream(stream=one, sync_mode=SyncMode.full_refresh, destination_sync_mode=DestinationSyncMode.append)
    for one in source.discover(logger, {}).streams])
records = 0
with open("out", "w") as out:
    for message in source.read(logger, {}, catalog, []):
        if message.type == Type.RECORD:
            records += 1
            out.write(json.dumps(message.record.data) + "\\n")
print(records)
"""


def measure(what, command, place, count=None):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        print(f"{what}: failed: {done.stderr.strip().splitlines()[-1:]}")
        return
    records = count() if count else done.stdout.split()[-1]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what}: {cpu:.1f} s of CPU, {records} records")


with tempfile.TemporaryDirectory() as place:
    sandbox = subprocess.Popen([binary, "sandbox", "--listen", "127.0.0.1:0", "--data", data],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = sandbox.stdout.readline().strip()
        config = os.path.join(place, "generic.json")
        with open(config, "w") as file:
            json.dump({"name": "bench", "endpoint": url, "apiKey": "sandbox", "listen": "127.0.0.1:0",
                       "listenKey": "0" * 32}, file)
        os.chmod(config, 0o600)

        def stored():
            status = subprocess.check_output([binary, "status", "--json", "--config", config])
            return sum(stream["records"] for stream in json.loads(status)["streams"])

        measure("generic-connector", [binary, "poll", "--config", config], place, stored)
        measure("dlt", [sys.executable, "-c", DLT, url], place)
        measure("Airbyte CDK", [sys.executable, "-c", AIRBYTE, url], place)
        measure("curl, jq, sqlite3", ["bash", "-c", LOOP, "bash", url], place)
    finally:
        sandbox.terminate()
