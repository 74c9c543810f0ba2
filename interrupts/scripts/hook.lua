--[[
hook: changes what is registered: an endpoint is put there, switched off or on, or taken away; or it is only looked at
anew by all who send to it.

KEYS    hooks off news meta said
ARGV    what id text before most
RETURN  rev

hooks   endpoints by id: when they were registered, a space, and what they are
off     those that are switched off, and why
news    ids by the number of their last change
meta    that number, and up to which changes of it are forgotten
said    of this very call: it is remembered for longer than a call is repeated
what    put: it is what `text` says; del: it is not there any more; off: it is switched off, `text` says why; on;
        ring: nothing but a new number
before  put: what was there, as it was read; '': whatever it was. If it is something else by now, nothing is changed.
        off: the number of the last change that was known when there was a reason: if there was a later one, it stays
        on; '': whatever there was
most    put: how many there may be
rev     the number of this change; 0: there is no such endpoint, or it is as it is to be; -1: `before` has changed;
        -2: there are too many
]]
local what, id, text, before = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local KEPT, SAID_S = 1000, 60
local said = redis.call('GET', KEYS[5])
if said then
  return tonumber(said)
end
local was = redis.call('HGET', KEYS[1], id)
if what == 'put' then
  if before ~= '' and before ~= was then
    return -1
  elseif not was and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then
    return -2
  end
  local time = redis.call('TIME')
  local since = string.match(was or '', '^(%d+) ') or string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('HSET', KEYS[1], id, since .. ' ' .. text)
elseif not was then
  return 0
elseif what == 'del' then
  redis.call('HDEL', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
elseif what == 'off' then
  local changed = tonumber(redis.call('ZSCORE', KEYS[3], id) or 0)
  if (before ~= '' and changed > tonumber(before)) or redis.call('HSETNX', KEYS[2], id, text) == 0 then
    return 0
  end
elseif what == 'on' then
  if redis.call('HDEL', KEYS[2], id) == 0 then
    return 0
  end
end
local rev = redis.call('HINCRBY', KEYS[4], 'rev', 1)
redis.call('ZADD', KEYS[3], rev, id)
local over = redis.call('ZCARD', KEYS[3]) - redis.call('HLEN', KEYS[1]) - KEPT
if over > 0 then
  local oldest = redis.call('ZRANGE', KEYS[3], 0, over - 1, 'WITHSCORES')
  redis.call('HSET', KEYS[4], 'forgotten', oldest[#oldest])
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, over - 1)
end
redis.call('SET', KEYS[5], rev, 'EX', SAID_S)
return rev
