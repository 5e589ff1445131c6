-- Load of `cargo xtask bench`: reads the path in TARGET, in the format that ACCEPT names.
local headers = { Authorization = "Bearer " .. os.getenv("TOKEN"), Accept = os.getenv("ACCEPT") }
local target = os.getenv("TARGET")

function request() return wrk.format("GET", target, headers) end

dofile(os.getenv("SUMMARY"))
