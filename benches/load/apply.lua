-- Load of `cargo xtask bench`: server-side apply of ConfigMaps of about 1 KB, each apply with another content; CLIENT tells the threads' names apart.
local headers = { Authorization = "Bearer " .. os.getenv("TOKEN"), ["Content-Type"] = "application/apply-patch+yaml", Accept = "application/json" }
local text, n = string.rep("y", 800), 0

function request()
  n = n + 1
  local name = "applied-" .. (n % 64)
  local body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"' .. name .. '"},"data":{"a":"' .. text .. string.format("%08d", n) .. '"}}'
  return wrk.format("PATCH", "/api/v1/namespaces/bench/configmaps/" .. name .. "?fieldManager=bench", headers, body)
end

dofile(os.getenv("SUMMARY"))
