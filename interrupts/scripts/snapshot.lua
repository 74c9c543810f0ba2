--[[
snapshot: what some keys of a view hold, and the checkpoint at which they hold that.

KEYS    head: card
        view: key
ARGV    head: generation low high members
RETURN  checkpoint
        view: kind held

low, high, members  of a sorted set only members with scores from and up to these, and at most so many
checkpoint          nil if the generation is gone
kind                the type of the key; 'none': there is no such key
held                members and scores in turn, or fields and values in turn; nil for other types
]]
local reply = {redis.call('HGET', KEYS[1], ARGV[1] .. ':at')}
for k = 2, #KEYS do
  local kind, held = redis.call('TYPE', KEYS[k]).ok, false
  if kind == 'zset' then
    held = redis.call('ZRANGEBYSCORE', KEYS[k], ARGV[2], ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
  elseif kind == 'hash' then
    held = redis.call('HGETALL', KEYS[k])
  end
  reply[2 * k - 2], reply[2 * k - 1] = kind, held
end
return reply
