--[[
deliver: writes down what is to be sent of some events, and that the log is read up to there: in one step.

KEYS    partition: card hooked
        lane: waiting failed bodies tries results stats
ARGV    head: partitions bytes_max failed_max owner lease_ms left_out
        partition: token before at lanes changes
        lane: hook waiting_max
        change: lane what id claim_ms body
RETURN  partition: news
        change: until
INCLUDE lane

KEYS has the keys of all partitions, then those of all lanes, in the order of their partitions; so has ARGV, and behind
them all changes.

card     of the group that reads the log for webhooks
hooked   the endpoints for which something waits in this partition
waiting_max  how many may wait in this lane
bytes_max  of bodies that are kept of a lane: what waits beyond is sent with a body that is made again from the log
left_out how what is kept of a delivery for which there is no room begins; behind it stands the event's name
token    of this call: said again, it changes nothing, and has the same reply
before   up to where the log was read when this was made, as a checkpoint; if that has moved, nothing is written
at       up to where it is read now
what     add: a delivery, unless it waits already; done: an event that was handed over once more is dealt with
lane     of an add: which of its partition's, from 1 on
claim_ms for how long it is the caller's to send; 0: it waits until somebody fetches it
news     how often others have handed over events once more; nil: `before` is not where it stands, and nothing was
         written
until    when the claim ends; 0: it waits, or is claimed by another; -1: there was no room, and it was given up; -2:
         the lane's keys are not what we have written, and it is lost
]]
local HEAD, PARTITION, CHANGE, LANE, LANE_ARGS = 6, 5, 5, 6, 2
local now, partitions = server_ms(), tonumber(ARGV[1])
local bytes_max, failed_max = tonumber(ARGV[2]), tonumber(ARGV[3])
local lane_key_at, lane_at_arg = 2 * partitions + 1, HEAD + PARTITION * partitions
local lanes_in_all = (#KEYS - 2 * partitions) / LANE
local at_change, replied, reply = lane_at_arg + LANE_ARGS * lanes_in_all, partitions, {}

-- A lane, with what is counted of it while deliveries are added.
local function opened(at, most)
  local keys = lane_at(at)
  if keys then
    keys.most = most
    keys.bytes = tonumber(redis.call('HGET', keys.stats, 'bytes') or '0')
    keys.count = redis.call('ZCARD', keys.waiting)
    keys.given_up = redis.call('ZCARD', keys.failed) > 0
    keys.added, keys.more_bytes = 0, 0
  end
  return keys or false
end

local function add(keys, id, claim_ms, body)
  if not keys then
    return -2
  elseif keys.count >= keys.most then
    if redis.call('ZSCORE', keys.waiting, id) then
      return 0
    elseif not redis.call('ZSCORE', keys.failed, id) then
      redis.call('HINCRBY', keys.stats, 'left_out', 1)
      lane_give_up(keys, id, now, ARGV[6] .. string.match(body, '^[^\n]*') .. '}', failed_max, bytes_max)
      keys.given_up = true
    end
    return -1
  elseif redis.call('ZADD', keys.waiting, 'NX', now + claim_ms, id) == 0 then
    return 0 -- whoever has it, or fetches it, sends it
  end
  if keys.given_up and redis.call('ZREM', keys.failed, id) == 1 then
    lane_forget(keys, id)
  end
  if keys.bytes + #body <= bytes_max then
    redis.call('HSET', keys.bodies, id, body)
    keys.bytes, keys.more_bytes = keys.bytes + #body, keys.more_bytes + #body
  end
  keys.count, keys.added = keys.count + 1, keys.added + 1
  return claim_ms > 0 and now + claim_ms or 0
end

local function closed(hooked, hook, keys)
  if keys and keys.added > 0 then
    redis.call('HINCRBY', keys.stats, 'bytes', keys.more_bytes)
    redis.call('SADD', hooked, hook)
  end
end

-- What this very call has claimed before its reply was lost is the caller's, unless the claim has ended since.
local function said_again(keys, id, ends)
  local score = keys and tonumber(redis.call('ZSCORE', keys.waiting, id) or 0)
  if not keys then
    return -2
  elseif score == 0 and redis.call('ZSCORE', keys.failed, id) then
    return -1
  end
  return score == ends and score > now and score or 0
end

for partition = 1, partitions do
  local card, hooked = KEYS[2 * partition - 1], KEYS[2 * partition]
  local a = HEAD + PARTITION * (partition - 1)
  local token, before, at, lanes, changes = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], tonumber(ARGV[a + 4]),
    tonumber(ARGV[a + 5])
  local there = redis.call('HMGET', card, 'at', 'token', 'news', 'token_at')
  local again = there[2] == token
  local written = again or there[1] == before
  reply[partition] = written and (tonumber(there[3]) or 0)
  local keys = {}
  for number = 1, written and lanes or 0 do
    keys[number] = opened(lane_key_at + LANE * (number - 1), tonumber(ARGV[lane_at_arg + LANE_ARGS * number]))
  end
  for number = 1, changes do
    local c = at_change + CHANGE * (number - 1)
    local lane, what, id, claim_ms, ends = tonumber(ARGV[c + 1]), ARGV[c + 2], ARGV[c + 3], tonumber(ARGV[c + 4]), 0
    if written and what == 'done' then
      redis.call('HDEL', card .. ':held', id)
    elseif written and not again then
      ends = add(keys[lane], id, claim_ms, ARGV[c + 5])
    elseif written then
      ends = said_again(keys[lane], id, tonumber(there[4]) + claim_ms)
    end
    replied = replied + 1
    reply[replied] = ends
  end
  for number = 1, #keys do
    closed(hooked, ARGV[lane_at_arg + LANE_ARGS * (number - 1) + 1], keys[number])
  end
  if written and not again then
    -- Last of all: if something before has failed, the place stands where it was, and all of it is done again.
    redis.call('HSET', card, 'at', at, 'token', token, 'token_at', string.format('%.0f', now), 'owner', ARGV[4],
      'until', string.format('%.0f', now + ARGV[5]))
  end
  lane_key_at, lane_at_arg = lane_key_at + LANE * lanes, lane_at_arg + LANE_ARGS * lanes
  at_change = at_change + CHANGE * changes
end
return reply
