--[[
attend: a process says that it is there, and learns who else is.

KEYS    workers
ARGV    worker lease_ms
RETURN  there...

lease_ms  for how long it counts from now; 0: it leaves; '': it only looks
there     the workers whose lease has not run out, in the order of their names
]]
local LEASE_MS_MAX = 60000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] ~= '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
  -- A lease from before the clock was set back would count for ever.
  redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + 2 * LEASE_MS_MAX), '+inf')
  if ARGV[2] == '0' then
    redis.call('ZREM', KEYS[1], ARGV[1])
  else
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
  end
end
local workers = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')
table.sort(workers)
return workers
