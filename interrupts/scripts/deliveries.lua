--[[
deliveries: what is known of some deliveries of one endpoint in one partition.

KEYS    waiting failed bodies tries results stats
ARGV    id...
RETURN  found...
INCLUDE lane

found   of each what its tries have come to ('' if there was none), and the event's name as it is kept in front of its
        body ('' if that is not kept)
]]
local keys, reply = lane_at(1), {}
for number = 1, keys and #ARGV or 0 do
  local id = ARGV[number]
  reply[#reply + 1] = redis.call('HGET', keys.tries, id) or ''
  reply[#reply + 1] = string.match(redis.call('HGET', keys.bodies, id) or '', '^[^\n]*')
end
return reply
