--[[
settle: what became of reserved creations, as far as their process knows. Without it each would be counted from the log
all the same; with it what is used is exact although nobody folds the log.

KEYS    item: counts reserved counted
ARGV    head: life_ms
        item: interrupt groups own source ms number per_minute
INCLUDE weigh

life_ms     as in `reserve`
counted     up to where the log of each source partition is counted (see `count`)
groups      that the creation counts in, one a line
own         the time that the reservation of this attempt counts at
source      the partition of the interrupt
ms          of its creation in the log; '': this attempt was refused and never will be appended, so its reservation is
            given back, unless it is by now another attempt's
number      the second part of the creation's stream id
per_minute  what this attempt has used of the burst is given back, as far as it is not yet paid off at this many calls
            per minute, unless the reservation is by now another attempt's; '': it is not
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)

local function settle(k, a)
  local counts, reserved = KEYS[k], KEYS[k + 1]
  local interrupt, own, ms, per_minute = ARGV[a + 1], ARGV[a + 3], ARGV[a + 5], ARGV[a + 7]
  local at = redis.call('ZSCORE', reserved, interrupt)
  local is_own = at and at + 0 == own + 0
  if not at or not (is_own or ms ~= '') then
    return
  end
  local mark = ms ~= '' and redis.call('HGET', KEYS[k + 2], ARGV[a + 4])
  if mark and not is_after(ms, ARGV[a + 6], mark) then
    ms = ''
  end
  local changed = {}
  for group in string.gmatch(ARGV[a + 2], '[^\n]+') do
    local values = redis.call('HMGET', counts, '=' .. group, '?' .. group)
    local waiting, calls = parse(values[2]), nil
    add(waiting, now, at + 0, -1)
    if ms ~= '' then
      add(waiting, now, ms + 0, 1)
    end
    if is_own and per_minute ~= '' and values[1] then
      calls = parse(without_refusal(values[1]))
      give_back(calls, now, at - ARGV[1], per_minute + 0)
    end
    changed[#changed + 1] = {group, waiting, calls}
  end
  -- From here on nothing fails: what needs no memory comes first, and a script that has begun to write may go on.
  redis.call('ZREM', reserved, interrupt)
  if ms ~= '' then
    redis.call('ZADD', reserved, ms, interrupt)
  end
  for _, change in ipairs(changed) do
    keep_reserved(counts, change[1], change[2])
    if change[3] then
      redis.call('HSET', counts, '=' .. change[1], text_of(change[3]))
    end
  end
  local forgotten_at = expiry(max(now, (ms ~= '' and ms or at) + 0))
  redis.call('PEXPIREAT', reserved, forgotten_at)
  redis.call('PEXPIREAT', counts, forgotten_at)
end

for item = 1, #KEYS / 3 do
  guarded(settle, 3 * item - 2, 1 + 7 * (item - 1))
end
