--[[
forgive: lets a user begin anew. What is counted from the log stays as it is, since it must equal the log: what is used
of it until now is kept beside it, to be taken off. That goes, too, for what is counted later and was created before.

KEYS    counts reserved exhausted
ARGV    group usual
RETURN  groups
INCLUDE weigh

exhausted  what the user was told to wait for (see `claim`): it is forgotten
group      the one whose calls are forgiven; '': all groups
usual      the group of reservations that name none
groups     how many had something to forgive
Reservations that are known to be in the log are forgiven like it, for one group those that count in no other. The
others are on their way into the log, and go on counting.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
local counts, reserved, only, usual, forgiven = KEYS[1], KEYS[2], ARGV[1], ARGV[2], {}
if only ~= '' and is_one_too_many(counts, redis.call('HMGET', counts, unpack(fields(only)))) then
  only = '*'
end
for _, field in ipairs(redis.call('HKEYS', counts)) do
  local group = sub(field, 2)
  if sub(field, 1, 1) ~= '-' and (only == '' or only == group) then
    forgiven[group] = true
  end
end

-- What stays reserved, by group.
local waiting, scores = {}, redis.call('ZRANGE', reserved, 0, -1, 'WITHSCORES')
for i = 1, #scores, 2 do
  local name, at = scores[i], scores[i + 1] + 0
  local groups = match(name, ' (.*)$') or usual
  if at <= now and (only == '' or only == groups) then
    redis.call('ZREM', reserved, name)
  else
    for group in string.gmatch(groups, '[^\n]+') do
      waiting[group] = waiting[group] or parse()
      add(waiting[group], now, at, 1)
    end
  end
end

local number = 0
for group in pairs(forgiven) do
  number = number + 1
  local created, were = redis.call('HGET', counts, '+' .. group), redis.call('HGET', counts, '?' .. group)
  if created or were then
    redis.call('HSET', counts, '-' .. group, now .. ' ' .. (created or NOTHING))
  end
  redis.call('HDEL', counts, '=' .. group)
  keep_reserved(counts, group, waiting[group] or parse())
end
-- What is counted later and was created before is forgiven, too, whatever there was.
if only == '' then
  redis.call('HSET', counts, '-', now)
else
  redis.call('HSETNX', counts, '-' .. only, now .. ' ' .. NOTHING)
end
redis.call('PEXPIREAT', counts, expiry(now))
redis.call('DEL', KEYS[3])
return number
