#!/bin/sh
# What the container `worker` runs: everything that `penstock up` starts, and in front of it an Envoy that lets the
# container's network in. Ends, and is started again by its restart policy, when either of them has ended.
set -eu
envoy --config-path /etc/penstock/edge.yaml --disable-hot-restart --concurrency 2 --log-level warning &
edge=$!

stop() {
  trap - TERM INT
  penstock down || true
  kill "$edge" 2>/dev/null || true
  wait "$edge" || true
  exit "$1"
}
trap 'stop 0' TERM INT

penstock up || stop 1
while kill -0 "$edge" 2>/dev/null && kill -0 "$(cat "$PENSTOCK_HOME/supervisor/supervisord.pid")" 2>/dev/null; do
  sleep 5 &
  wait $! # not `sleep` alone: a signal would have to wait for it
done
stop 1
