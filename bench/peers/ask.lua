-- wrk -s ask.lua URL                               the same address again and again
-- wrk -s ask.lua URL -- keys COUNT PATTERN         one of COUNT addresses at random (each %d in PATTERN is its number)
-- wrk -s ask.lua URL -- mixed FIRST PATTERN        nine times URL, once an address that nobody had (FIRST and up)

local made, count, number, pattern, ours = {}, 0, 0, "", ""

local function any() return made[math.random(count)] end

local function mostly_ours()
  if math.random(10) > 1 then return ours end
  number = number + 1
  return wrk.format(nil, pattern:format(number))
end

function init(args)
  if not args[1] then return end
  math.randomseed(1)
  pattern = args[3]
  if args[1] == "mixed" then
    number, ours, request = tonumber(args[2]), wrk.format(), mostly_ours
    return
  end
  count = tonumber(args[2])
  for each = 1, count do made[each] = wrk.format(nil, pattern:format(each)) end
  request = any
end

function done(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  io.write(string.format('{"requests": %d, "seconds": %.6f, "p50": %.6f, "p99": %.6f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, failed))
end
