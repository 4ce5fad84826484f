-- Waits to be told. The service says how it is (PUT /v1/agent/check/pass/ID, warn or fail) at least
-- once in `ttl`; when it has been silent for longer, it is critical. The host keeps the time, so
-- there is nothing to run here.
return {
  kind = "check",
  summary = "the service itself reports, in time",
  options = { ttl = { "duration", main = true, min = "100ms", about = "critical when nothing is told for so long" } },
  passive = true,
}
