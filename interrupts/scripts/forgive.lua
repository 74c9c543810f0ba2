--[[
forgive: lets a user begin anew. What is counted from the log stays as it is, since it must equal the log: what is used
of it until now is kept beside it, to be taken off. That goes, too, for what is counted later and was created before.

KEYS    counts reserved exhausted
ARGV    group
RETURN  groups
INCLUDE weigh

exhausted   what the user was told to wait for (see `claim`): it is forgotten
group   the one whose calls are forgiven; its reservations go on counting until they are counted from the log. '': all
        groups, and the reservations
groups  how many had something to forgive
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
local counts, only, forgiven = KEYS[1], ARGV[1], {}
if only ~= '' and is_one_too_many(counts, redis.call('HMGET', counts, unpack(fields(only)))) then
  only = '*'
end
for _, field in ipairs(redis.call('HKEYS', counts)) do
  local group = sub(field, 2)
  if sub(field, 1, 1) ~= '-' and (only == '' or only == group) then
    forgiven[group] = true
  end
end
local number = 0
for group in pairs(forgiven) do
  number = number + 1
  local created, reserved = redis.call('HGET', counts, '+' .. group), redis.call('HGET', counts, '?' .. group)
  if created or reserved then
    redis.call('HSET', counts, '-' .. group, now .. ' ' .. (created or NOTHING))
  end
  redis.call('HDEL', counts, '=' .. group)
  if only == '' then
    redis.call('HDEL', counts, '?' .. group)
  end
end
if only == '' then
  redis.call('DEL', KEYS[2])
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
