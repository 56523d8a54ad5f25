-- What wrk sends: PUT of objects that are all new and all different, or GET of those that are there.
-- Arguments: METHOD PATH NAMES BYTES SEED [HEADER: VALUE]…   PATH gets a number appended: for GET below NAMES.

local method, path, names, bytes, seed, turn = "GET", "/", 1, 0, 0, 0
local filler = ""

function init(args)
  method, path, names, bytes, seed = args[1], args[2], tonumber(args[3]), tonumber(args[4]), args[5]
  for i = 6, #args do
    local name, value = args[i]:match("^([^:]+): (.*)$")
    wrk.headers[name] = value
  end
  -- Not compressible, and a stamp in front of it makes each body another.
  local pieces = {}
  math.randomseed(tonumber(seed))
  for i = 1, math.max(0, bytes - 32) do pieces[i] = string.char(math.random(0, 255)) end
  filler = table.concat(pieces)
end

function request()
  turn = turn + 1
  if method == "GET" then return wrk.format("GET", path .. (turn % names)) end
  local body = ""  -- not nil: an empty object has a length too
  if bytes > 0 then body = string.format("%-32s", seed .. "-" .. turn) .. filler end
  return wrk.format("PUT", path .. seed .. "-" .. turn, nil, body)
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"seconds":%f,"errors":%d,"p999Us":%f}',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(99.9)))
end
