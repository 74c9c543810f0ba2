--[[
reserve: lets creations in, or not, and leaves a reservation for each, named after its interrupt, for one or more
partitions. A reservation counts as a call made at the last moment at which it may still be appended, until it is known
when it was (`settle`), or until it is counted from the log (`count`).

KEYS    partition: limits
        item: counts reserved
ARGV    head: partitions life_ms
        partition: items
        item: interrupt asked
RETURN  item: outcome
INCLUDE weigh

KEYS has all partitions, then all items; ARGV has the head, all partitions, then all items; items stand in the order of
their partitions.

limits, counts   as in `take`
reserved   the user's reservations: a sorted set of their names, by the time that they count at
interrupt  the name of the reservation: the interrupt, and the groups if they are not the usual one
life_ms    how long after this an interrupt may be appended
asked      the groups that the creation counts in, a line each: '<limits> <group>'

outcome    verdict, window, used, limit, ms, own limits, as in `take`, and the number of the group that this is about;
           if allowed, then the time that the reservation counts at, which is also the last one to append it at, and
           whether there was one before (1 or 0; 2: of an interrupt that is known to be in the log; nothing was changed)
Asked again under the same name, the reservation is made anew: it never counts twice, nor does it use the burst twice.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
local partitions, life_ms, STALE_MAX = tonumber(ARGV[1]), tonumber(ARGV[2]), 8

local asked_of = {}
local function groups_of(asked)
  local groups = asked_of[asked]
  if not groups then
    groups = {}
    for words, group in string.gmatch(asked, '(%d+ %d+ %d+ %d+) ([^\n]+)') do
      groups[#groups + 1] = {words, fields(group)}
    end
    asked_of[asked] = groups
  end
  return groups
end

local function reserve(counts, reserved, interrupt, asked, limits_there)
  local was = redis.pcall('ZSCORE', reserved, interrupt)
  if type(was) == 'table' and was.err then
    return was
  end
  if was and was + 0 <= now then
    -- It is in the log already, and is found there; or the log was rolled back, and then the append refuses it.
    return {1, 1, 0, 0, 0, '', 1, was + 0, 2}
  end
  local own, held, found = own_limits(limits_there, counts), nil, {}
  for number, group in ipairs(groups_of(asked)) do
    local names, words = group[2], own or group[1]
    local values = redis.pcall('HMGET', counts, names[1], names[2], names[3], names[4])
    if values.err then
      return values
    end
    local verdict = not (was or values[3]) and remembered(values[1], now, 1, words)
    if not verdict then
      values[1], values[3] = without_refusal(values[1]), values[3] or NOTHING
      local allowed = limits(words)
      if was and values[1] then
        local calls = parse(values[1])
        give_back(calls, now, was - life_ms, allowed[1])
        values[1] = text_of(calls)
      end
      local tallies = tallies_at(values, now, allowed[1])
      if was then
        add(tallies[3], now, was + 0, -1)
      end
      verdict = {weigh(tallies, now, allowed, 1)}
      found[number] = {names, tallies}
      if verdict[1] ~= 1 and tallies[3][7] == 0 and not was then
        redis.call('HSET', counts, names[1], refusal(now, verdict, 1, words) .. text_of(tallies[1]))
      end
    end
    verdict[6], verdict[7] = own, number
    local tighter = held and held[1] == 1 and verdict[4] - verdict[3] < held[4] - held[3]
    if not held or (verdict[1] == 1 and tighter) or (verdict[1] ~= 1 and (held[1] == 1 or verdict[5] > held[5])) then
      held = verdict
    end
  end
  if held[1] == 1 then
    local at = max(now + life_ms, was and was + 1 or 0)
    for _, group in ipairs(found) do
      local names, calls, waiting = group[1], group[2][1], group[2][3]
      calls[2] = calls[2] + CALL
      add(waiting, now, at, 1)
      redis.call('HSET', counts, names[1], text_of(calls), names[3], text_of(waiting))
    end
    for _, stale in ipairs(redis.call('ZRANGEBYSCORE', reserved, '-inf', now - DAY_MS, 'LIMIT', 0, STALE_MAX)) do
      redis.call('ZREM', reserved, stale)
    end
    redis.call('ZADD', reserved, at, interrupt)
    redis.call('PEXPIREAT', counts, expiry(at))
    redis.call('PEXPIREAT', reserved, expiry(at))
    held[8], held[9] = at, was and 1 or 0
  end
  held[6] = held[6] or ''
  return held
end

local reply, key_at, arg_at = {}, partitions, 2 + partitions
for partition = 1, partitions do
  local limits_key = KEYS[partition]
  local there = redis.call('EXISTS', limits_key) == 1 and limits_key
  for _ = 1, tonumber(ARGV[2 + partition]) do
    key_at, arg_at = key_at + 2, arg_at + 2
    reply[#reply + 1] = guarded(reserve, KEYS[key_at - 1], KEYS[key_at], ARGV[arg_at - 1], ARGV[arg_at], there)
  end
end
return reply
