--[[
stored: what the keys of some interrupts hold, their deadlines, and the newest event at which that is so.

KEYS    head: log deadlines
        item: interrupt
ARGV    item: id
RETURN  last_id
        item: text deadline

text, deadline  nil where there is none; an error where the key is of another type
]]
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local reply = {last and last[1] or '0-0'}
for i = 1, #ARGV do
  reply[2 * i] = redis.pcall('GET', KEYS[2 + i])
  reply[2 * i + 1] = redis.pcall('ZSCORE', KEYS[2], ARGV[i])
end
return reply
