--[[
resend: has deliveries that were given up sent again, or forgets them.

KEYS    hooked waiting failed bodies tries results stats
ARGV    head: hook what
        delivery: id body
RETURN  delivery: became
INCLUDE lane

hooked  the endpoints for which something waits in this partition; then the keys of the endpoint's lane
what    again: it is sent from now on, from its first try; drop: it is forgotten
body    what is to be sent; '': what is there
became  1: it was done; 0: it was not given up; 2: it waits already; 3: what was to be sent is not there any more
]]
local now, keys, reply = server_ms(), lane_at(2), {}
if not keys then
  return redis.error_reply('WRONGTYPE what is to be sent to this endpoint is not what was written there')
end
for a = 3, #ARGV, 2 do
  local id, body = ARGV[a], ARGV[a + 1]
  local failed = redis.call('ZSCORE', keys.failed, id)
  local became = 1
  if redis.call('ZSCORE', keys.waiting, id) then
    became = 2
  elseif not failed and body == '' then
    became = 0
  elseif ARGV[2] == 'drop' then
    redis.call('ZREM', keys.failed, id)
    lane_forget(keys, id)
  elseif body == '' and redis.call('HEXISTS', keys.bodies, id) == 0 then
    became = 3
  else
    if body ~= '' then
      lane_keep(keys, id, body)
    end
    redis.call('ZREM', keys.failed, id)
    redis.call('HDEL', keys.tries, id)
    redis.call('ZADD', keys.waiting, now, id)
    redis.call('SADD', KEYS[1], ARGV[1])
  end
  reply[#reply + 1] = became
end
return reply
