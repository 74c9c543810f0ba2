--[[
claim: one text of several that want to be the one for some time: the first is it, and all learn which.

KEYS    place
ARGV    name text instead_of lasts_ms
RETURN  text

place       a hash: by name the text, and in front of it until when it lasts, and a space
instead_of  if this one was the first, it is to be replaced; '': none is
One that lasts more than a second longer than the new one is replaced, too.
]]
local time = redis.call('TIME')
local until_ms = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[4]
local there = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local its_end, text = string.match(there, '^(%d+) (.*)$')
if its_end and text ~= ARGV[3] and its_end + 0 > until_ms - ARGV[4] and its_end + 0 <= until_ms + 1000 then
  return text
end
redis.call('HSET', KEYS[1], ARGV[1], until_ms .. ' ' .. ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('PEXPIREAT', KEYS[1], until_ms)
end
return ARGV[2]
