--[[
sent: writes down what became of deliveries that were sent, or were not.

KEYS    lane: waiting failed bodies tries results stats
ARGV    head: results_max failed_max bytes_max
        lane: outcomes
        outcome: id what until due_ms tries result took_ms
RETURN  outcome: done failing dropped
INCLUDE lane

what     ok: it was delivered; again: it failed, and is sent again in due_ms; fail: it is given up; back: it was not
         sent, and waits for whoever fetches it, from due_ms on
until    when the caller's claim ends: if it is another's by now, all but ok changes nothing
tries    what its tries have come to
result   of an ok: what is kept of it among the last results; '': nothing
took_ms  how long the answer took
done     1: it was written down; 0: somebody else has it, or it was delivered before; 2: the lane's keys are not what
         we have written, and nothing was
failing  for how many milliseconds every try of this lane has failed; 0 if the last one has not
dropped  how many that were given up before were forgotten, for want of room
Said again, it changes nothing.
]]
local HEAD, LANE, OUTCOME = 3, 6, 7
local now, results_max, failed_max, bytes_max = server_ms(), tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local lanes, reply = #KEYS / LANE, {}
local at = HEAD + lanes

local function delivered(keys, id, took_ms)
  if redis.call('ZREM', keys.waiting, id) == 0 and redis.call('ZREM', keys.failed, id) == 0 then
    return 0, 0, 0
  end
  local within = string.format('within:%.0f', 2 ^ math.ceil(math.log(took_ms + 1) / math.log(2)))
  keys.ids[#keys.ids + 1], keys.took_ms = id, keys.took_ms + took_ms
  keys.within[within] = (keys.within[within] or 0) + 1
  keys.less_bytes, keys.well = keys.less_bytes + redis.call('HSTRLEN', keys.bodies, id), true
  return 1, 0, 0
end

local function tell(keys, outcome)
  local id, what, due_ms, tries, result, took_ms = ARGV[outcome + 1], ARGV[outcome + 2], ARGV[outcome + 4],
    ARGV[outcome + 5], ARGV[outcome + 6], ARGV[outcome + 7]
  if not keys then
    return 2, 0, 0
  elseif what == 'ok' then
    local done = delivered(keys, id, tonumber(took_ms))
    if done == 1 and result ~= '' then
      keys.last[#keys.last + 1] = result
    end
    return done, 0, 0
  end
  local waits = redis.call('ZSCORE', keys.waiting, id)
  if not waits or tonumber(waits) ~= tonumber(ARGV[outcome + 3]) then
    return 0, 0, 0
  elseif what == 'back' then
    redis.call('ZADD', keys.waiting, now + due_ms, id)
    return 1, 0, 0
  end
  redis.call('HINCRBY', keys.stats, 'failed_tries', 1)
  redis.call('HSET', keys.stats, 'failed_at', now)
  redis.call(keys.well and 'HSET' or 'HSETNX', keys.stats, 'failing_since', now)
  keys.well = false
  local dropped = 0
  if what == 'again' then
    redis.call('HSET', keys.tries, id, tries)
    redis.call('ZADD', keys.waiting, now + due_ms, id)
  else
    redis.call('HINCRBY', keys.stats, 'given_up', 1)
    dropped = lane_give_up(keys, id, now, tries, failed_max, bytes_max)
  end
  return 1, now - tonumber(redis.call('HGET', keys.stats, 'failing_since')), dropped
end

local function opened(at)
  local keys = lane_at(at)
  if keys then
    keys.ids, keys.within, keys.last, keys.took_ms, keys.less_bytes = {}, {}, {}, 0, 0
  end
  return keys
end

-- What is counted of those that were delivered, once for all of them.
local function closed(keys)
  if not keys or #keys.ids == 0 then
    return
  end
  redis.call('HDEL', keys.bodies, unpack(keys.ids))
  redis.call('HDEL', keys.tries, unpack(keys.ids))
  if keys.less_bytes > 0 then
    redis.call('HINCRBY', keys.stats, 'bytes', -keys.less_bytes)
  end
  redis.call('HINCRBY', keys.stats, 'delivered', #keys.ids)
  redis.call('HINCRBY', keys.stats, 'took_ms', keys.took_ms)
  for within, count in pairs(keys.within) do
    redis.call('HINCRBY', keys.stats, within, count)
  end
  redis.call('HSET', keys.stats, 'delivered_at', now)
  if keys.well then
    redis.call('HDEL', keys.stats, 'failing_since')
  end
  if #keys.last > 0 then
    redis.call('LPUSH', keys.results, unpack(keys.last))
    redis.call('LTRIM', keys.results, 0, results_max - 1)
  end
end

for lane = 1, lanes do
  local keys = opened(LANE * (lane - 1) + 1)
  for _ = 1, tonumber(ARGV[HEAD + lane]) do
    local done, failing, dropped = tell(keys, at)
    reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = done, failing, dropped
    at = at + OUTCOME
  end
  closed(keys)
end
return reply
