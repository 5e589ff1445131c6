-- Load of `cargo xtask bench`: creates ConfigMaps of about 1 KB, or pods, each under a name of its own.
-- From the environment: TOKEN; RUN (part of every name); KIND (configmaps or pods); LIMIT (stop after so many were created; 0: never).
local token, run = os.getenv("TOKEN"), os.getenv("RUN")
local kind, limit = os.getenv("KIND"), tonumber(os.getenv("LIMIT"))
local path = "/api/v1/namespaces/bench/" .. kind
local headers = { Authorization = "Bearer " .. token, ["Content-Type"] = "application/json", Accept = "application/json" }
local text = string.rep("x", 900)

local variables = {}
for i = 0, 9 do variables[#variables + 1] = '{"name":"E' .. i .. '","value":"' .. string.rep("v", 20) .. '"}' end
local container = '{"name":"c","image":"registry.example/app:1","env":[' .. table.concat(variables, ",")
  .. '],"resources":{"requests":{"cpu":"10m","memory":"16Mi"}}}'

local bodies = {
  configmaps = function(n)
    return '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"' .. run .. "-" .. n .. '"},"data":{"a":"' .. text .. '"}}'
  end,
  pods = function(n)
    return '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"' .. run .. "-" .. n .. '","labels":{"app":"a' .. n % 50
      .. '"}},"spec":{"automountServiceAccountToken":false,"containers":[' .. container .. "]}}"
  end,
}

local sent, created = 0, 0
function request()
  sent = sent + 1
  -- The first request that wrk asks for is never sent; beyond the limit something harmless keeps the connections busy.
  if limit > 0 and sent > limit + 1 then return wrk.format("GET", "/version", headers) end
  return wrk.format("POST", path, headers, bodies[kind](sent))
end

function response(status)
  if status == 201 then created = created + 1 end
  if limit > 0 and created >= limit then wrk.thread:stop() end
end

dofile(os.getenv("SUMMARY"))
