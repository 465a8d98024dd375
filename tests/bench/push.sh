#!/usr/bin/env bash
# Delivers what was stored while the targets were down, and says how fast that goes. Run by hand:
#
#   tests/bench/push.sh [TRANSACTIONS [LATENCY]]
#
# TRANSACTIONS (10,000 by default) go to `http` and to `formance`, each a target that answers after LATENCY milliseconds (0 by
# default). Those to `formance` go four times: where no request fails, and where 1, 3 and 10 of 100 do. Target and connector
# share the machine, so read ratios.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PUSH_RECORDS=${1:-10000} PUSH_LATENCY=${2:-0}
cargo test --release --test promises figures:: -- --ignored --nocapture --test-threads 1
