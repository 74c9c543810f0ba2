--[[
begin: the generation in which a view of this version is built: one that was begun before, or a new one.

KEYS    log card
ARGV    version anew
RETURN  generation
INCLUDE known

anew        '1': what was begun before is given up
generation  nil where a younger version is live or being built

What was begun before is also given up if it has an older version, or if the log was rolled back behind it.
]]
local EPOCH_S = 1735689600 -- 2025: what is counted from then is shorter, and is in the name of every key
local log, card, wanted, anew = KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2] == '1'
local fields, flat = {}, redis.call('HGETALL', card)
for f = 1, #flat, 2 do
  fields[flat[f]] = flat[f + 1]
end
local begun
for field, version in pairs(fields) do
  if string.match(field, '^%d+:version$') and tonumber(version) > wanted then
    return false
  end
end
for field, version in pairs(fields) do
  local generation = string.match(field, '^(%d+):version$')
  if generation and generation ~= fields['live'] then
    if not anew and tonumber(version) == wanted and known(log, fields[generation .. ':at']) == 1 then
      begun = generation
    else
      redis.call('HSET', card, 'drop:' .. generation, '')
      redis.call('HDEL', card, generation .. ':at', generation .. ':version', generation .. ':stopped')
    end
  end
end
if not begun then
  if not fields['last'] and redis.call('EXISTS', log) == 1 then
    -- The card may have been lost, and keys of generations that it had may be there: this number had none of them.
    local time = redis.call('TIME')
    redis.call('HSET', card, 'last', (time[1] - EPOCH_S) * 1000 + math.floor(time[2] / 1000))
  end
  begun = tostring(redis.call('HINCRBY', card, 'last', 1))
  redis.call('HSET', card, begun .. ':version', ARGV[1], begun .. ':at', '0-0 0 ')
end
return tonumber(begun)
