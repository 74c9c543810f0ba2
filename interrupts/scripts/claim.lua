--[[
claim: one text of several that want to be the one, for some time: the first is it, and all learn which.

KEYS    place
ARGV    text instead_of lasts_ms
RETURN  text

instead_of  if this one was the first, it is to be replaced; '': none is
One that lasts more than a second longer than the new one is replaced, too.
]]
local there = redis.call('GET', KEYS[1])
if there and there ~= ARGV[2] and redis.call('PTTL', KEYS[1]) <= ARGV[3] + 1000 then
  return there
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return ARGV[1]
