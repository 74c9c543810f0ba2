--[[
lease: takes a piece of work for one process, for a while, or gives it back.

KEYS    card
ARGV    owner lease_ms
RETURN  number at begun news

card      what is known of this work in this partition: a hash
owner     who wants it
lease_ms  for how long it is theirs from now; 0: they give it back, if it is theirs
number    of the lease: each one has a higher number, also if the owner is the same, and whoever comes with an older one
          is refused. nil if somebody else has it
at        up to where everything is done, as whoever did it has written down; nil if nobody has
begun     up to where something may have been begun; nil, or ''
news      how often others have changed what is to be done
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local card = redis.call('HMGET', KEYS[1], 'owner', 'until', 'lease', 'at', 'begun', 'news')
local LEASE_MS_MAX = 60000
-- A lease from before the clock was set back would hold for ever.
local held = card[2] and tonumber(card[2]) > now and tonumber(card[2]) <= now + LEASE_MS_MAX
if held and card[1] ~= ARGV[1] then
  return {false, card[4], card[5], card[6]}
end
if ARGV[2] == '0' then
  if card[1] == ARGV[1] then
    redis.call('HDEL', KEYS[1], 'owner', 'until')
  end
  return {false, card[4], card[5], card[6]}
end
-- Also after a failover that lost the last lease: the time, as a number, no two owners are given.
local number = math.max((tonumber(card[3]) or 0) + 1, now)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]), 'lease', number,
  'step', 0)
return {number, card[4], card[5], card[6]}
