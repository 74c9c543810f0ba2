--[[
floor: the least that one create needs, as a script of its own: the server's time, the next sequence number, the
interrupt's key with its head and its event, an entry in the log, the deadline. It compares nothing but the key's
absence, counts with INCR, and carries one item: no lean script that keeps the same data does less.

KEYS    log deadlines sequence interrupt
ARGV    ttl_ms event
RETURN  the stream id; or what is there already
]]
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local sequence = call('INCR', KEYS[3])
local stream_id, deadline, event = now .. '-' .. sequence, now + ARGV[1], ARGV[2]
local packed = '1p' .. deadline .. '\n' .. stream_id .. ' ' .. event .. '\n'
if not call('SET', KEYS[4], packed, 'NX') then
  return call('GET', KEYS[4])
end
call('XADD', KEYS[1], stream_id, 's', sequence, 'e', event)
call('ZADD', KEYS[2], deadline, string.sub(KEYS[4], -32))
return stream_id
