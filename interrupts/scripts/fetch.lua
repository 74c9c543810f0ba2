--[[
fetch: takes what may be sent now to some endpoints, for a while, and says when there is more.

KEYS    lane: hooked waiting failed bodies tries results stats
ARGV    head: bytes_max
        lane: hook room claim_ms
RETURN  now found...
INCLUDE lane

hooked   the endpoints for which something waits in the lane's partition
bytes_max  after so many bytes of bodies no more is taken
room     at most so many are taken
claim_ms for how long they are the caller's to send
found    for each lane: when something more may be sent ('' if nothing waits, or its keys are not what we have written),
         how many are taken, and of each its id, when the claim ends, what its tries have come to ('' if there was
         none), and its body ('' if that has to be made again from the log)
]]
local HEAD, LANE, ARGS, UNKNOWN_BYTES = 1, 7, 3, 65536
local now, left = server_ms(), tonumber(ARGV[1])
local reply = {now}

local function take(keys, room, claim_ms)
  local ids = redis.call('ZRANGEBYSCORE', keys.waiting, '-inf', now, 'LIMIT', 0, room)
  if #ids == 0 then
    return 0
  end
  local bodies, tries = redis.call('HMGET', keys.bodies, unpack(ids)), redis.call('HMGET', keys.tries, unpack(ids))
  local count, scored = 0, {}
  for number, id in ipairs(ids) do
    local body = bodies[number] or ''
    if left > 0 then
      scored[#scored + 1], scored[#scored + 2] = now + claim_ms, id
      reply[#reply + 1], reply[#reply + 2] = id, now + claim_ms
      reply[#reply + 1], reply[#reply + 2] = tries[number] or '', body
      count, left = count + 1, left - (body == '' and UNKNOWN_BYTES or #body)
    end
  end
  if count > 0 then
    redis.call('ZADD', keys.waiting, unpack(scored))
  end
  return count
end

for lane = 1, #KEYS / LANE do
  local a, k = HEAD + ARGS * (lane - 1), LANE * (lane - 1) + 1
  local room, claim_ms = tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local keys, at = lane_at(k + 1), #reply + 1
  reply[at], reply[at + 1] = '', 0
  if keys then
    reply[at + 1] = room > 0 and left > 0 and take(keys, room, claim_ms) or 0
    local next = redis.call('ZRANGE', keys.waiting, 0, 0, 'WITHSCORES')[2]
    if next then
      reply[at] = string.format('%.0f', next)
    else
      redis.call('SREM', KEYS[k], ARGV[a + 1])
    end
  end
end
return reply
