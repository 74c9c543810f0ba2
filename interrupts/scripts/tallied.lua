--[[
tallied: what some users' counts hold, and up to where the logs are counted when they hold that.

KEYS    head: counted
        user: counts
RETURN  head: now marks
        user: fields

marks   the source partitions and up to where each is counted, in turn
fields  of the counts and their values, in turn; an error if that is no hash
]]
local time = redis.call('TIME')
local reply = {time[1] * 1000 + math.floor(time[2] / 1000)}
for k = 1, #KEYS do
  reply[k + 1] = redis.pcall('HGETALL', KEYS[k])
end
return reply
