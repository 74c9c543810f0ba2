--[[
stored: what the keys of some interrupts hold, their deadlines, and the newest event at which that is so.

KEYS    head: log deadlines
        item: interrupt
ARGV    
RETURN  last_id
        item: text deadline

text, deadline  nil where there is none
]]
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local reply = {last and last[1] or '0-0'}
for k = 3, #KEYS do
  reply[#reply + 1] = redis.call('GET', KEYS[k])
  reply[#reply + 1] = redis.call('ZSCORE', KEYS[2], string.sub(KEYS[k], -32))
end
return reply
