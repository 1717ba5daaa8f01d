-- wrk's own figures in one line, in SI units.
function done(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  io.write(string.format('{"requests": %d, "seconds": %.6f, "p99": %.6f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(99) / 1e6, failed))
end
