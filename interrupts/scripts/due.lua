--[[
due: which interrupts of a partition are past their deadline, the longest overdue first.

KEYS    partition: log deadlines
ARGV    head: skip limit
RETURN  now id...
INCLUDE clock
]]
local now = clock(KEYS[1])
local reply = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now), 'LIMIT', ARGV[1], ARGV[2])
table.insert(reply, 1, now)
return reply
