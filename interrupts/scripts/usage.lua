--[[
usage: what is stored about the calls of one user, and the time.

KEYS    limits counts
ARGV    user
RETURN  now own flat...

own     the limits that were set for the user, or nil
flat    the fields of the counts and their values, in turn (see `weigh`)
]]
local time = redis.call('TIME')
local reply = redis.call('HGETALL', KEYS[2])
table.insert(reply, 1, redis.call('HGET', KEYS[1], ARGV[1]))
table.insert(reply, 1, time[1] * 1000 + math.floor(time[2] / 1000))
return reply
