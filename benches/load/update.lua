-- Load of `cargo xtask bench`: writes one ConfigMap of about 2 KB over and over, each time with another content.
local headers = { Authorization = "Bearer " .. os.getenv("TOKEN"), ["Content-Type"] = "application/json", Accept = "application/json" }
local text, n = string.rep("y", 1900), 0

function request()
  n = n + 1
  local body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"changing"},"data":{"a":"' .. text .. string.format("%08d", n) .. '"}}'
  return wrk.format("PUT", "/api/v1/namespaces/bench/configmaps/changing", headers, body)
end

dofile(os.getenv("SUMMARY"))
