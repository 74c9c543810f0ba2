--[[
lane: what the scripts about deliveries have in common. A lane is what one endpoint has in one partition, in keys that
begin alike: what waits to be sent (by the time from which it may be), what was given up (by when), the body of each
of these, what its tries so far have come to, the last results, and counts.
]]
local LANE_TYPES = {'zset', 'zset', 'hash', 'hash', 'list', 'hash'}

-- A lane's keys, of which the first is KEYS[at]; nil if one of them is not what was written there by us.
local function lane_at(at)
  for number = 1, #LANE_TYPES do
    local there = redis.call('TYPE', KEYS[at + number - 1]).ok
    if there ~= 'none' and there ~= LANE_TYPES[number] then
      return nil
    end
  end
  local keys = {}
  keys.waiting, keys.failed, keys.bodies = KEYS[at], KEYS[at + 1], KEYS[at + 2]
  keys.tries, keys.results, keys.stats = KEYS[at + 3], KEYS[at + 4], KEYS[at + 5]
  return keys
end

local function lane_forget(keys, id)
  local bytes = redis.call('HSTRLEN', keys.bodies, id)
  if bytes > 0 then
    redis.call('HINCRBY', keys.stats, 'bytes', -bytes)
    redis.call('HDEL', keys.bodies, id)
  end
  redis.call('HDEL', keys.tries, id)
end

local function lane_keep(keys, id, body)
  local before = redis.call('HSTRLEN', keys.bodies, id)
  redis.call('HSET', keys.bodies, id, body)
  redis.call('HINCRBY', keys.stats, 'bytes', #body - before)
end

-- Gives a delivery up for now. Beyond so many the oldest ones are forgotten, and that is counted. Its body is kept as
-- long as there is room for what is to be sent besides; without it, it can be made again from the log.
local function lane_give_up(keys, id, now, tries, most, bytes_max)
  local bytes = redis.call('HSTRLEN', keys.bodies, id)
  if bytes > 0 and tonumber(redis.call('HGET', keys.stats, 'bytes') or '0') > bytes_max / 2 then
    redis.call('HINCRBY', keys.stats, 'bytes', -bytes)
    redis.call('HDEL', keys.bodies, id)
  end
  redis.call('ZREM', keys.waiting, id)
  redis.call('ZADD', keys.failed, now, id)
  redis.call('HSET', keys.tries, id, tries)
  local over = redis.call('ZCARD', keys.failed) - most
  if over <= 0 then
    return 0
  end
  for _, old in ipairs(redis.call('ZRANGE', keys.failed, 0, over - 1)) do
    redis.call('ZREM', keys.failed, old)
    lane_forget(keys, old)
  end
  redis.call('HINCRBY', keys.stats, 'dropped', over)
  return over
end

local function server_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
