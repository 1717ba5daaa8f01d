"""What Redis does in one step: the scripts by which copies, epochs and news for edges change together.

    artifactapi:edges:
      stamp     <number of the last news>               an hour after the last poll; only where an edge asks
      news      list: "<repository>[ <key>]"            as long; the last one has the stamp's number, the one before
                                                        it that number - 1, and so on
      told      hash: repository -> epoch               as long; what the news have told, so that an epoch raised by
                                                        a node of a version without edges is found out
      polls     hash: name -> "<applied> <given> <end>" an hour after the lease's end: the news that the edge said it
                                                        has applied, the last it was given, its lease's end
      report:<id>  counting | counted                   20 s | an hour: what became of a report of hits

Every script has the first four as its first KEYS; times are Redis's own, in microseconds. A stamp that begins anew is
the time, so numbers never come twice, also where Redis has lost all it knew.
"""

from __future__ import annotations

PREFIX = "artifactapi:"
STAMP = f"{PREFIX}edges:stamp"
REPORT = f"{PREFIX}edges:report:"
EDGES = (STAMP, f"{PREFIX}edges:news", f"{PREFIX}edges:told", f"{PREFIX}edges:polls")

# Both sides of every comparison are integers well under 2^53, where Lua's numbers are exact; told as text they would
# lose digits without whole().
_NEWS = """
local STAMP, NEWS, TOLD, POLLS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local LASTING, MOST = 3600, 50000

local function whole(number) return string.format('%.0f', number) end

local function clock()
    local time = redis.call('TIME')
    return time[1] * 1000000 + time[2]
end

local function polls()
    local found, flat = {}, redis.call('HGETALL', POLLS)
    for i = 1, #flat, 2 do
        local applied, given, ends = string.match(flat[i + 1], '^(%d+) (%d+) (%d+)$')
        found[flat[i]] = {applied = tonumber(applied), given = tonumber(given), ends = tonumber(ends)}
    end
    return found
end

-- Numbers above all that anyone was given; who was given any of those must drop everything.
local function anew(known, now, cursor)
    local number = math.max(now, cursor + 1)
    for _, edge in pairs(known) do number = math.max(number, edge.given + 1) end
    redis.call('DEL', NEWS, TOLD)
    redis.call('SET', STAMP, whole(number), 'EX', LASTING)
    return number
end

local function tell(line)
    if redis.call('EXISTS', STAMP) == 0 then return end
    redis.call('INCR', STAMP)
    redis.call('RPUSH', NEWS, line)
    redis.call('LTRIM', NEWS, -MOST, -1)
    redis.call('EXPIRE', NEWS, LASTING)
end

-- The repository's epoch, now at least `epoch`.
local function raise(key, name, epoch)
    local known, raised = redis.call('GET', key), false
    if tonumber(known or -1) < tonumber(epoch) then
        redis.call('SET', key, epoch)
        known, raised = epoch, true
    end
    if redis.call('EXISTS', STAMP) == 1 then
        local told = redis.call('HGET', TOLD, name)
        if raised or (told and told ~= known) then tell(name) end
        if told ~= known then
            redis.call('HSET', TOLD, name, known)
            redis.call('EXPIRE', TOLD, LASTING)
        end
    end
    return tonumber(known)
end
"""

# KEYS: epoch, copy, negative. ARGV: epoch, fence, the copy, its seconds, the repository, its news.
REMEMBER = (
    _NEWS
    + """
local epoch, fence = tonumber(ARGV[1]), tonumber(ARGV[2])
if raise(KEYS[5], ARGV[5], ARGV[1]) > epoch then return 0 end
redis.call('UNLINK', KEYS[7])
local there = redis.call('GET', KEYS[6])
if there == 'forgotten' then return 0 end
local e, f = string.match(there or '', '^(%d+) (%d+) ')
e, f = tonumber(e or -1), tonumber(f or -1)
if e > epoch or (e == epoch and f > fence) then return 0 end
local digest = '^%d+ %d+ %[[^,]*,("[^"]*")'
if e == epoch and string.match(there, digest) ~= string.match(ARGV[3], digest) then tell(ARGV[6]) end
redis.call('SET', KEYS[6], ARGV[3], 'EX', ARGV[4])
return 1
"""
)

# KEYS: copy, negative. ARGV: seconds without a copy, the news.
FORGET = (
    _NEWS
    + """
redis.call('SET', KEYS[5], 'forgotten', 'EX', ARGV[1])
redis.call('UNLINK', KEYS[6])
tell(ARGV[2])
"""
)

# KEYS: epochs. ARGV: for each its repository and its number.
RAISE = (
    _NEWS
    + """
for i = 5, #KEYS do raise(KEYS[i], ARGV[2 * i - 9], ARGV[2 * i - 8]) end
"""
)

# ARGV: name, cursor, most, the lease's microseconds, how many edges there may be. Returns the cursor, whether it goes
# on from there, the news; nothing where so many others have a lease, for who has one must not be forgotten.
POLL = (
    _NEWS
    + """
local DAY = 86400 * 1000000
local name, cursor, now, known = ARGV[1], tonumber(ARGV[2]), clock(), polls()
local last, given = tonumber(redis.call('GET', STAMP)), known[name] and known[name].given

if not known[name] then
    local count, first = 0, nil
    for other, edge in pairs(known) do
        count = count + 1
        if not first or edge.ends < known[first].ends then first = other end
    end
    if count >= tonumber(ARGV[5]) then
        if known[first].ends > now then return false end
        redis.call('HDEL', POLLS, first)
    end
end

-- No Redis gave that, whose clock was right within a day: it must not become everybody's number.
if cursor > math.max(last or 0, now + DAY) then cursor = 0 end
if not last or cursor > last or (given and cursor > given) then last, given = anew(known, now, cursor), nil end
local oldest = last - redis.call('LLEN', NEWS) + 1
local follows = given and oldest <= cursor + 1
local found, upto = {}, last
if follows then
    local first = cursor + 1 - oldest
    found = redis.call('LRANGE', NEWS, whole(first), whole(first + ARGV[3] - 1))
    upto = cursor + #found
end
local applied = follows and cursor or 0
given = math.max(upto, given or 0)
redis.call('HSET', POLLS, name, whole(applied) .. ' ' .. whole(given) .. ' ' .. whole(now + ARGV[4]))
for other, edge in pairs(known) do
    if edge.ends + LASTING * 1000000 < now then redis.call('HDEL', POLLS, other) end
end
for _, key in ipairs({STAMP, NEWS, TOLD}) do redis.call('EXPIRE', key, LASTING) end
return {whole(upto), follows and 1 or 0, found}
"""
)

# ARGV: repositories. Returns the last number. Where the stamp is lost and an edge may still serve, a new one begins.
PURGE = (
    _NEWS
    + """
if redis.call('EXISTS', STAMP) == 0 then
    local known, now = polls(), clock()
    for _, edge in pairs(known) do
        if edge.ends > now then anew(known, now, 0) break end
    end
end
for _, line in ipairs(ARGV) do tell(line) end
return redis.call('GET', STAMP) or '0'
"""
)

# ARGV: a number. Returns how many edges may still serve what the news up to it ended.
UNSETTLED = (
    _NEWS
    + """
local count, now = 0, clock()
for _, edge in pairs(polls()) do
    if edge.ends > now and edge.applied < tonumber(ARGV[1]) then count = count + 1 end
end
return count
"""
)
