-- One line for the program that started wrk.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("irori-bench requests=%d duration_us=%d bytes=%d p50_us=%d p99_us=%d refused=%d broken=%d\n",
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99), e.status,
    e.connect + e.read + e.write + e.timeout))
end
