--[[
waiting: what is there of some lanes, by id.

KEYS    lane: waiting failed bodies tries results stats
ARGV
RETURN  found...
INCLUDE lane

found   of each lane: how many wait, and the id of each and from when on it may be sent; how many were given up, and
        their ids; how many of both have been tried, and their ids; how many results are kept, and these
]]
local LANE, reply = 6, {}
local function put(list, count)
  reply[#reply + 1] = count
  for _, one in ipairs(list) do
    reply[#reply + 1] = one
  end
end
for lane = 1, #KEYS / LANE do
  local keys = lane_at(LANE * (lane - 1) + 1)
  local waiting = keys and redis.call('ZRANGE', keys.waiting, 0, -1, 'WITHSCORES') or {}
  local failed = keys and redis.call('ZRANGE', keys.failed, 0, -1) or {}
  local tried = keys and redis.call('HKEYS', keys.tries) or {}
  local results = keys and redis.call('LRANGE', keys.results, 0, -1) or {}
  put(waiting, #waiting / 2)
  put(failed, #failed)
  put(tried, #tried)
  put(results, #results)
end
return reply
