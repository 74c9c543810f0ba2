--[[
progress: writes down how far a group of reactions has come, in some partitions. Each time the lease is good for longer.

KEYS    partition: card held parked
ARGV    head: lease_ms parked_max
        partition: lease step at begun changes
        change: what id text
RETURN  partition: news full

KEYS has the keys of all partitions; ARGV has the head, all partitions, then all changes, in the order of their
partitions.

lease    the number of the lease under which this was done
step     which one it is under this lease, from 1 on. It follows the last one that is there, or is that one said again;
         else the server has lost what it had acknowledged, and who has the lease must look at what is there now
at       up to where everything is done, held or parked, as a checkpoint; '': as it is
begun    up to where something may have been begun
what     hold: an event is to be handled by itself, later; done: it need not be any more; park: it is given up for now
text     held: '<attempts> <state> <error>', where w waits, b is being handled, and a is handled alone, as it may have
         been why a process has ended; parked: JSON
news     how often others have changed what is held; nil: the lease or the step is not the one, and nothing was
         written; an error: these keys are not what was written there
full     1 if something was not parked as too much is already: it is held
Said again, it changes nothing.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local partitions, parked_max = #KEYS / 3, tonumber(ARGV[2])
local change_at, reply = 2 + 5 * partitions, {}

for partition = 1, partitions do
  local card, held, parked = KEYS[3 * partition - 2], KEYS[3 * partition - 1], KEYS[3 * partition]
  local a = 2 + 5 * (partition - 1)
  local lease, step, at, begun, changes = ARGV[a + 1], tonumber(ARGV[a + 2]), ARGV[a + 3], ARGV[a + 4],
    tonumber(ARGV[a + 5])
  local there, full = redis.pcall('HMGET', card, 'lease', 'news', 'step'), 0
  for _, key in ipairs(changes > 0 and {held, parked} or {}) do
    local size = redis.pcall('HLEN', key)
    there = type(size) == 'table' and size or there
  end
  if there.err then
    reply[2 * partition - 1], reply[2 * partition] = there, 0
  elseif there[1] ~= lease or not (there[3] and (step == there[3] + 1 or step == there[3] + 0)) then
    reply[2 * partition - 1], reply[2 * partition] = false, 0
  else
    local fields = {'until', string.format('%.0f', now + ARGV[1]), 'begun', begun, 'step', step}
    if at ~= '' then
      fields[7], fields[8] = 'at', at
    end
    redis.call('HSET', card, unpack(fields))
    for number = 1, changes do
      local what, id, text = ARGV[change_at + 3 * number - 2], ARGV[change_at + 3 * number - 1],
        ARGV[change_at + 3 * number]
      if what == 'done' then
        redis.call('HDEL', held, id)
      elseif what == 'hold' then
        redis.call('HSET', held, id, text)
      elseif redis.call('HLEN', parked) < parked_max or redis.call('HEXISTS', parked, id) == 1 then
        redis.call('HSET', parked, id, text)
        redis.call('HDEL', held, id)
      else
        redis.call('HSET', held, id, '0 w there is no room to park it')
        full = 1
      end
    end
    reply[2 * partition - 1], reply[2 * partition] = tonumber(there[2]) or 0, full
  end
  change_at = change_at + 3 * changes
end
return reply
