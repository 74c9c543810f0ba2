--[[
hooks: what is registered, or what has changed of it since one has last looked.

KEYS    hooks off news meta
ARGV    known
RETURN  rev all changed...

known    the number of the last change that is known; '': none is
rev      that of the last one that there is
all      1: everything is told, and what is not is not there
changed  id, what it is (nil if it is not there any more) and why it is off ('' if it is not), in turn
]]
local meta = redis.call('HMGET', KEYS[4], 'rev', 'forgotten')
local rev, forgotten, known = tonumber(meta[1]) or 0, tonumber(meta[2]) or 0, tonumber(ARGV[1])
local all = not known or known < forgotten or known > rev
local reply = {rev, all and 1 or 0}
local ids = all and redis.call('HKEYS', KEYS[1])
  or (rev > known and redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. known, '+inf')) or {}
for _, id in ipairs(ids) do
  reply[#reply + 1] = id
  reply[#reply + 1] = redis.call('HGET', KEYS[1], id)
  reply[#reply + 1] = redis.call('HGET', KEYS[2], id) or ''
end
return reply
