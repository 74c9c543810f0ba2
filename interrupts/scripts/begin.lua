--[[
begin: the generation in which a view of this version is built: one that was begun before, or a new one.

KEYS    card
ARGV    version
RETURN  generation, or nil where a younger version is live or being built

What was begun in an older version and is not live is given up.
]]
local fields, versions = redis.call('HGETALL', KEYS[1]), {}
local live
for f = 1, #fields, 2 do
  local generation = string.match(fields[f], '^(%d+):version$')
  if generation then
    versions[generation] = tonumber(fields[f + 1])
  elseif fields[f] == 'live' then
    live = fields[f + 1]
  end
end
local wanted, begun = tonumber(ARGV[1]), nil
for generation, version in pairs(versions) do
  if version > wanted then
    return false
  elseif generation ~= live and version == wanted then
    begun = generation
  end
end
for generation, version in pairs(versions) do
  if generation ~= live and version < wanted then
    redis.call('HSET', KEYS[1], 'drop:' .. generation, '')
    redis.call('HDEL', KEYS[1], generation .. ':at', generation .. ':version', generation .. ':stopped')
  end
end
if not begun then
  begun = tostring(redis.call('HINCRBY', KEYS[1], 'last', 1))
  redis.call('HSET', KEYS[1], begun .. ':version', ARGV[1], begun .. ':at', '0-0 0 ')
end
return tonumber(begun)
