--[[
snapshot: what some keys of a view hold, and the checkpoint at which they hold that.

KEYS    head: card
        view: key
ARGV    head: generation above members
RETURN  checkpoint
        view: held

above, members  of a sorted set only members with a score above this, and at most so many
checkpoint      nil if the generation is gone
held            members and scores in turn, fields and values in turn, or the type of a key that is neither; '' for
                no key
]]
local reply = {redis.call('HGET', KEYS[1], ARGV[1] .. ':at')}
for k = 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[k]).ok
  if kind == 'zset' then
    reply[k] = redis.call('ZRANGEBYSCORE', KEYS[k], ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
  elseif kind == 'hash' then
    reply[k] = redis.call('HGETALL', KEYS[k])
  else
    reply[k] = kind == 'none' and '' or kind
  end
end
return reply
